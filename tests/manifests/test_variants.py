"""Manifests that are right in another way than the rendering that the mistakes are made in: none is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifests.conftest import SHOP, Judge, Rendering, ShopSettings, rendered
from pydantic import SecretStr

from lmservice.manifests import check

TEXT = SHOP.read_text()
LABELS = {"app.kubernetes.io/name": "shop"}


def document(kind: str, name: str, spec: dict[str, Any], group: str = "v1", **metadata: Any) -> dict[str, Any]:
    """One more object of the rendering's namespace."""
    named = {"name": name, "namespace": "shop", **metadata}
    return {"apiVersion": group, "kind": kind, "metadata": named, "spec": spec}


def listed(rendering: Rendering) -> dict[str, Any]:
    """All of it as one object."""
    return {"apiVersion": "v1", "kind": "List", "items": list(rendering.values())}


FORMS: dict[str, tuple[str, bytes]] = {
    "Windows' line ends": ("shop.yaml", TEXT.replace("\n", "\r\n").encode()),
    "a byte order mark": ("shop.yml", b"\xef\xbb\xbf" + TEXT.encode()),
    "a list as JSON": ("shop.json", json.dumps(listed(rendered()), indent=2).encode()),
    "JSON that is indented by tabs": ("shop.json", json.dumps(listed(rendered()), indent="\t").encode()),
    "one object of JSON after another": ("shop.json", "\n".join(map(json.dumps, rendered().values())).encode()),
    "objects of JSON of many lines": (
        "shop.json", "\n".join(json.dumps(manifest, indent=0) for manifest in rendered().values()).encode()
    ),
    "Helm's comments": ("shop.yaml", ("---\n# Source: shop/templates/x.yaml\n" + TEXT).encode()),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_form_of_writing_is_read(tmp_path: Path, form: str) -> None:
    name, content = FORMS[form]
    (tmp_path / name).write_bytes(content)
    assert check(str(tmp_path), name="shop", settings=ShopSettings, image={}) == []


def test_lines_of_json_are_the_files(tmp_path: Path) -> None:
    objects = rendered()
    objects["Deployment"]["spec"]["paused"] = True
    text = "\n".join(json.dumps(manifest, indent="\t") for manifest in objects.values())
    (tmp_path / "shop.json").write_text(text)
    (finding,) = check(str(tmp_path), name="shop", settings=ShopSettings, image={})
    assert '"paused"' in text.splitlines()[finding.line - 1]


def test_broken_json_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "shop.json").write_text('{"kind": "Service", \t"apiVersion": "v1"')
    (finding,) = check(str(tmp_path), name="shop", settings=ShopSettings, image={})
    assert finding.expected == "it has to be readable as a manifest"


def charts_test(objects: Rendering) -> None:
    """Helm's starter chart brings a pod with the service's labels, which asks it once."""
    container = {"name": "wget", "image": "busybox", "command": ["wget"], "args": ["shop:80"]}
    hook = {"helm.sh/hook": "test"}
    pod = document("Pod", "shop-test-connection", {"containers": [container]}, labels=LABELS, annotations=hook)
    objects["Pod"] = pod


def argos_hook(objects: Rendering) -> None:
    """A job of which the API server makes a new one each time."""
    job = document("Job", "", {"template": {"spec": {"containers": []}}}, "batch/v1", generateName="migrate-")
    del job["metadata"]["name"]
    objects["Job"] = objects["Job of another time"] = job


def cron_job(objects: Rendering) -> None:
    """Its pods have labels of their own."""
    template = {"metadata": {"labels": {"job": "report"}}, "spec": {"containers": [{"name": "report"}]}}
    objects["CronJob"] = document("CronJob", "report", {"jobTemplate": {"spec": {"template": template}}}, "batch/v1")


def told_by_the_api_server(objects: Rendering) -> None:
    """As `kubectl get -o yaml` gives them."""
    for manifest in objects.values():
        manifest["metadata"] |= {"uid": "1", "managedFields": [{"f:spec": {}}]}
        manifest["status"] = {}
    objects["Deployment"]["spec"]["replicas"] = 3


def stateful_set(objects: Rendering) -> None:
    """Its pods meet each other by a headless Service before they are ready."""
    workload = objects["Deployment"]
    workload["kind"] = objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["kind"] = "StatefulSet"
    del workload["spec"]["strategy"]
    workload["spec"]["serviceName"] = "shop-peers"
    ports = [{"name": "http", "port": 8081}]
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": LABELS, "ports": ports}
    objects["Peers"] = document("Service", "shop-peers", spec)


def rollout(objects: Rendering) -> None:
    """Argo's, in the Deployment's place."""
    workload = objects["Deployment"]
    workload |= {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}
    objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["kind"] = "Rollout"
    workload["spec"]["strategy"] = {"canary": {"maxUnavailable": 0, "maxSurge": 1, "steps": [{"setWeight": 20}]}}


def rollout_of_a_deployment(objects: Rendering) -> None:
    """Argo's, which takes the Deployment's pods over: the Deployment itself has none."""
    objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["kind"] = "Rollout"
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}
    spec = {"workloadRef": reference, "selector": {"matchLabels": LABELS}, "strategy": {"canary": {}}}
    objects["Rollout"] = document("Rollout", "shop", spec, "argoproj.io/v1alpha1")
    objects["Deployment"]["spec"]["replicas"] = 0


def scaled_by_keda(objects: Rendering) -> None:
    """With a budget that leaves one pod to go."""
    del objects["HorizontalPodAutoscaler"]
    spec = {"scaleTargetRef": {"name": "shop"}, "minReplicaCount": 2}
    objects["ScaledObject"] = document("ScaledObject", "shop", spec, "keda.sh/v1alpha1")
    objects["PodDisruptionBudget"]["spec"] = {"minAvailable": 1, "selector": {"matchLabels": LABELS}}


def sidecar(objects: Rendering) -> None:
    """Requests come to another container of the pod, which passes them on."""
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    proxy = {"name": "proxy", "image": "oauth2-proxy:7", "ports": [{"name": "https", "containerPort": 4180}]}
    pod["containers"].append({**proxy, "resources": {"requests": {"cpu": "10m"}}})
    objects["Service"]["spec"]["ports"][0]["targetPort"] = "https"
    objects["By number"] = document("Service", "shop-2", {"selector": LABELS, "ports": [{"port": 4180}]})


def native_sidecar(objects: Rendering) -> None:
    """The same by an init container that goes on running."""
    proxy: dict[str, Any] = {"name": "proxy", "restartPolicy": "Always"}
    proxy["ports"] = [{"name": "mesh", "containerPort": 15001}]
    proxy["resources"] = {"limits": {"cpu": "100m"}}  # which is what it requests, then
    objects["Deployment"]["spec"]["template"]["spec"]["initContainers"] = [proxy]
    objects["Service"]["spec"]["ports"][0]["targetPort"] = "mesh"


def service_monitor(objects: Rendering) -> None:
    """It finds the management listener by a Service of its own."""
    del objects["PodMonitor"]
    ports = [{"name": "metrics", "port": 8002, "targetPort": "management"}]
    labels = {"scraped": "yes"}
    objects["Metrics"] = document("Service", "shop-metrics", {"selector": LABELS, "ports": ports}, labels=labels)
    spec = {"selector": {"matchLabels": labels}, "endpoints": [{"port": "metrics"}]}
    objects["ServiceMonitor"] = document("ServiceMonitor", "shop", spec, "monitoring.coreos.com/v1")


def annotations(objects: Rendering) -> None:
    """Those of a Prometheus without its operator."""
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": "8002"}
    objects["Deployment"]["spec"]["template"]["metadata"]["annotations"] = scraped


def gateway(objects: Rendering) -> None:
    """Routes of the Gateway API, in the Ingress's place."""
    del objects["Ingress"]
    backends = [{"name": "shop", "port": 80}, {"name": "elsewhere", "namespace": "other", "port": 8002}]
    spec = {"rules": [{"backendRefs": backends}]}
    objects["HTTPRoute"] = document("HTTPRoute", "shop", spec, "gateway.networking.k8s.io/v1")


def text_by_right(objects: Rendering) -> None:
    """Labels and variables are text, whatever their names and values are."""
    template = objects["Deployment"]["spec"]["template"]
    template["metadata"]["labels"] = {**LABELS, "port": "8081"}
    template["spec"]["nodeSelector"] = {"paused": "false"}


VARIANTS = (
    charts_test, argos_hook, cron_job, told_by_the_api_server, stateful_set, rollout, rollout_of_a_deployment,
    scaled_by_keda, sidecar, native_sidecar, service_monitor, annotations, gateway, text_by_right,
)  # fmt: skip


@pytest.mark.parametrize("change", VARIANTS, ids=lambda change: change.__name__)
def test_a_variant_that_is_right_has_no_finding(judge: Judge, change: Callable[[Rendering], None]) -> None:
    objects = rendered()
    change(objects)
    assert [str(finding) for finding in judge(objects)] == []


@pytest.mark.parametrize(
    "hook",
    [
        ["lmservice", "stop", "--timeout", "55"],
        ["python", "-m", "lmservice", "stop"],
        ["/app/.venv/bin/lmservice", "stop"],
        ["sh", "-c", "curl -fsS http://127.0.0.1:8002/stop"],
        ["/bin/sh", "/app/stop_helper.sh"],
        ["wget", "-qO-", "--no-proxy", "http://localhost:8002/stop"],
    ],
)
def test_a_hook_that_calls_stop_has_no_finding(judge: Judge, hook: list[str]) -> None:
    objects = rendered()
    container = objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    container["lifecycle"]["preStop"]["exec"]["command"] = hook
    assert judge(objects) == []


def test_two_environments_at_once_are_told_apart(judge: Judge) -> None:
    findings = judge(yaml.safe_dump_all([*rendered().values(), rendered()["Deployment"]]))
    assert ["Deployment shop: metadata.name is shop, but " in str(finding) for finding in findings] == [True]


class Guessable(ShopSettings):
    """A service's settings with a secret that the code gives a default."""

    signing_key: SecretStr = SecretStr("letmein")


def test_a_secret_that_nothing_sets_is_told(judge: Judge) -> None:
    (finding,) = judge(rendered(), settings=Guessable)
    assert "env is without LM_SIGNING_KEY, but its default can be read in the code" in str(finding)
    assert judge(rendered(), settings=Guessable, LM_ALLOW_DEFAULT_SECRETS="true") == []
    assert judge(rendered(), settings=Guessable, LM_SIGNING_KEY="its own") == []
