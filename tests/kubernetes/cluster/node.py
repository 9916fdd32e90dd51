"""The processes of one node, control plane included, in a network namespace of their own."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import binaries
import configuration
import gateway
import images
import network

STATE = Path(os.environ.get("LMSERVICE_CLUSTER") or "/run/lmservice-cluster")
SYSCTLS = ("kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory")
CGROUPS = Path("/sys/fs/cgroup")
START_LIMIT = 120.0
_started: list[subprocess.Popen[bytes]] = []  # they outlive this process, which is not to wait for them


def up() -> str:
    """Starts the cluster, if it is not running, and gives the path of its kubeconfig."""
    if os.getuid():
        raise SystemExit("a cluster of our own needs root")
    if STATE.exists():
        if _serves():
            return str(STATE / "kubeconfig")
        down()  # what is left of one whose processes somebody has ended
    binaries.build()
    STATE.mkdir(parents=True, exist_ok=True)
    (STATE / "sysctls.json").write_text(json.dumps({name: _sysctl(name).read_text() for name in SYSCTLS}))
    network.make()
    try:
        _start()
    except BaseException:
        down()
        raise
    return str(STATE / "kubeconfig")


def down() -> None:
    """Ends the cluster and removes what it made; nothing happens where there is none."""
    if not STATE.exists():
        return
    for pid in [*_pids(), *_pods()]:  # nothing of it is kept, so nothing needs to end in order
        _kill(pid)
    for mounted in _mounts():
        subprocess.run(["umount", "--lazy", mounted], check=False)
    network.remove()
    for name, value in json.loads((STATE / "sysctls.json").read_text()).items():
        _sysctl(name).write_text(value)
    _remove_cgroups()
    shutil.rmtree(STATE)


def _start() -> None:
    configuration.write(STATE, secrets.token_hex(16))
    _spawn("etcd", configuration.etcd(STATE))
    _spawn("containerd", ["containerd", "--config", str(STATE / "containerd.toml")])
    _spawn("kube-apiserver", configuration.api_server(STATE))
    _wait("the API server", _serves)
    _spawn("kube-controller-manager", configuration.controller_manager(STATE))
    _spawn("kube-scheduler", configuration.scheduler(STATE))
    _wait("containerd", lambda: _runs("ctr", "--address", str(STATE / "containerd.sock"), "version"))
    images.load(images.pause(STATE), STATE)
    _spawn("kubelet", configuration.kubelet(STATE))
    _wait("the node", lambda: "True" in kubectl("get", "node", "node1", "-o", configuration.READY_PATH))
    _spawn("kube-proxy", configuration.proxy(STATE))
    gateway.install(kubectl, STATE)
    _spawn("traefik", configuration.traefik(STATE))
    kubectl("apply", "-f", str(STATE / "ingress-class.yaml"))
    images.load(images.services(STATE), STATE)
    for name in (images.SEARCH, images.TRIAL):
        for version in images.VERSIONS[1:]:
            images.tag(name, version, STATE)


def _serves() -> bool:
    return kubectl("get", "--raw", "/readyz") == "ok"


def kubectl(*words: str) -> str:
    """What kubectl says of this cluster."""
    command = network.inside([binaries.binary("kubectl"), "--kubeconfig", str(STATE / "kubeconfig"), *words])
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def restart(name: str, pause: float) -> None:
    """Kills one of the cluster's processes and starts it again after so many seconds."""
    commands = json.loads((STATE / "commands.json").read_text())
    _kill(int((STATE / f"{name}.pid").read_text()))
    time.sleep(pause)
    _spawn(name, commands[name])


def _spawn(name: str, command: Sequence[str]) -> None:
    environment = {**os.environ, "AWS_EC2_METADATA_DISABLED": "true", "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    with (STATE / f"{name}.log").open("ab") as log:
        started = subprocess.Popen(
            network.inside(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={key: value for key, value in environment.items() if not key.lower().endswith("_proxy")},
        )
    _started.append(started)
    (STATE / f"{name}.pid").write_text(str(started.pid))
    with (STATE / "pids").open("a") as pids:
        pids.write(f"{started.pid}\n")
    kept = STATE / "commands.json"
    commands = json.loads(kept.read_text()) if kept.exists() else {}
    kept.write_text(json.dumps({**commands, name: list(command)}))


def _wait(what: str, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + START_LIMIT
    while not ready():
        if time.monotonic() > end:
            tails = "\n".join(f"{log.name}: {log.read_text(errors='replace')[-600:]}" for log in STATE.glob("*.log"))
            raise SystemExit(f"{what} did not come up within {START_LIMIT:g} s\n{tails}")
        time.sleep(0.5)


def _runs(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _pids() -> list[int]:
    """The processes that were started; a number that belongs to another one by now is left out."""
    file = STATE / "pids"
    numbers = [int(line) for line in file.read_text().split()] if file.exists() else []
    return [pid for pid in numbers if _is_ours(pid)]


def _is_ours(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return str(STATE).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _pods() -> list[int]:
    """The pods' processes, which outlive kubelet and containerd: the children of this containerd's shims, and those."""
    shims = [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _is_shim(entry)]
    return [*(int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _parent(entry) in shims), *shims]


def _parent(entry: Path) -> int:
    with contextlib.suppress(OSError):
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _is_shim(entry: Path) -> bool:
    with contextlib.suppress(OSError):
        words = (entry / "cmdline").read_bytes().split(b"\0")
        return b"containerd-shim" in words[0] and str(STATE / "containerd.sock").encode() in words
    return False


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _mounts() -> list[str]:
    listed = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((mount for mount in listed if mount.startswith(f"{STATE}/")), reverse=True)


def _remove_cgroups() -> None:
    for root in (
        *CGROUPS.glob("*/kubepods"),
        *CGROUPS.glob("kubepods"),
        *CGROUPS.glob("*/k8s.io"),
        *CGROUPS.glob("k8s.io"),
    ):
        for folder, _, _ in os.walk(root, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def _sysctl(name: str) -> Path:
    return Path("/proc/sys") / name
