"""The command line and the files of each of the node's processes."""

import base64
import json
import subprocess
from pathlib import Path

import binaries
import images
import network

API_PORT = 6443
API = f"https://localhost:{API_PORT}"
ETCD = "http://127.0.0.1:2379"
INGRESS_PORT = 8080
READY_PATH = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
CONTAINERD = """\
version = 2
root = "{state}/containerd"
state = "{state}/containerd-run"

[grpc]
address = "{state}/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{state}/cni"
"""
INGRESS_CLASS = """\
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata:
  name: traefik
  annotations: {ingressclass.kubernetes.io/is-default-class: "true"}
spec:
  controller: traefik.io/ingress-controller
"""


def write(state: Path, token: str) -> None:
    """What has to be there before the first process starts."""
    (state / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    (state / "containerd.toml").write_text(CONTAINERD.format(state=state, pause=images.PAUSE))
    (state / "ingress-class.yaml").write_text(INGRESS_CLASS)
    (state / "certificates").mkdir(exist_ok=True)
    subprocess.run(["openssl", "genrsa", "-out", str(state / "accounts.key"), "2048"], check=True, capture_output=True)
    subprocess.run(_certificate(state), check=True, capture_output=True)
    (state / "cni").mkdir(exist_ok=True)
    (state / "cni" / "pods.conflist").write_text(json.dumps(_cni(state)))
    (state / "kubelet.json").write_text(json.dumps(_kubelet(state)))
    (state / "proxy.json").write_text(json.dumps(_proxy(state)))
    (state / "traefik.yaml").write_text(json.dumps(_traefik(state, token)))
    _write_kubeconfig(state, token)


def _write_kubeconfig(state: Path, token: str) -> None:
    """For people, tests and the node."""
    authority = base64.b64encode((state / "certificates" / "apiserver.crt").read_bytes()).decode()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": API, "certificate-authority-data": authority}}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "admin", "namespace": "default"}}],
        "current-context": "local",
    }
    (state / "kubeconfig").write_text(json.dumps(kubeconfig))
    (state / "kubeconfig").chmod(0o600)


def etcd(state: Path) -> list[str]:
    """Without fsync: what this cluster holds is gone with it."""
    return [
        "etcd",
        f"--data-dir={state}/etcd",
        "--unsafe-no-fsync",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
    ]


def api_server(state: Path) -> list[str]:
    """On loopback; pods carry no service account's token, as nothing in them asks for one."""
    key = state / "accounts.key"
    return [
        binaries.binary("kube-apiserver"),
        f"--etcd-servers={ETCD}",
        "--bind-address=127.0.0.1",
        f"--advertise-address={network.NODE}",
        f"--secure-port={API_PORT}",
        f"--tls-cert-file={state}/certificates/apiserver.crt",
        f"--tls-private-key-file={state}/certificates/apiserver.key",
        "--service-cluster-ip-range=10.97.0.0/16",
        f"--token-auth-file={state}/tokens.csv",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://localhost",
        f"--service-account-signing-key-file={key}",
        f"--service-account-key-file={key}",
        "--endpoint-reconciler-type=none",
        "--disable-admission-plugins=ServiceAccount",
        "--kubelet-preferred-address-types=InternalIP",
        # Debian's etcd is too old to tell how far a watch is, without which lists from the cache wait for a minute
        "--watch-cache=false",
        "--feature-gates=SizeBasedListCostEstimate=false,DetectCacheInconsistency=false",
        "--etcd-compaction-interval=0",
    ]


def controller_manager(state: Path) -> list[str]:
    """Alone, so it elects no leader."""
    key = f"--service-account-private-key-file={state}/accounts.key"
    return [
        binaries.binary("kube-controller-manager"),
        f"--kubeconfig={state}/kubeconfig",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--horizontal-pod-autoscaler-sync-period=5s",
        key,
    ]


def scheduler(state: Path) -> list[str]:
    """Alone, so it elects no leader."""
    return [
        binaries.binary("kube-scheduler"),
        f"--kubeconfig={state}/kubeconfig",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]


def kubelet(state: Path) -> list[str]:
    """One node, up to its limit of pods."""
    return [
        binaries.binary("kubelet"),
        f"--config={state}/kubelet.json",
        f"--kubeconfig={state}/kubeconfig",
        f"--root-dir={state}/kubelet",
        f"--node-ip={network.NODE}",
        "--hostname-override=node1",
    ]


def proxy(state: Path) -> list[str]:
    """What leads the addresses of Services to pods, for whoever is in the network namespace."""
    return [binaries.binary("kube-proxy"), f"--config={state}/proxy.json"]


def traefik(state: Path) -> list[str]:
    """The ingress."""
    return [binaries.traefik(), f"--configfile={state}/traefik.yaml"]


def _certificate(state: Path) -> list[str]:
    folder = state / "certificates"
    made = ["-keyout", str(folder / "apiserver.key"), "-out", str(folder / "apiserver.crt"), "-days", "365"]
    names = f"subjectAltName=DNS:localhost,IP:127.0.0.1,IP:{network.NODE}"
    return [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        *made,
        "-subj",
        "/CN=localhost",
        "-addext",
        names,
    ]


def _cni(state: Path) -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": network.PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": f"{state}/addresses",
    }
    bridge = {"type": "bridge", "bridge": "pods0", "isGateway": True, "ipMasq": False, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}


def _kubelet(state: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "address": network.NODE,
        "healthzBindAddress": "127.0.0.1",
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": f"unix://{state}/containerd.sock",
        "failCgroupV1": False,
        "failSwapOn": False,
        "resolvConf": "",
        "maxPods": 250,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "serializeImagePulls": False,
        # the machine's disk is not this cluster's to judge
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "podLogsDir": f"{state}/pod-logs",
    }


def _proxy(state: Path) -> dict[str, object]:
    """With nothing of the machine's own changed: what it keeps of connections is not this cluster's to size."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": "node1",
        "clusterCIDR": network.PODS,
        "clientConnection": {"kubeconfig": f"{state}/kubeconfig"},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "iptables": {"localhostNodePorts": False},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _traefik(state: Path, token: str) -> dict[str, object]:
    provider = {
        "endpoint": API,
        "token": token,
        "certAuthFilePath": f"{state}/certificates/apiserver.crt",
        "throttleDuration": "500ms",
    }
    return {
        "entryPoints": {"web": {"address": f":{INGRESS_PORT}"}},
        "providers": {"kubernetesIngress": provider, "kubernetesGateway": provider},
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    }
