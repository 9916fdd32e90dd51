"""The manifests of each set of options: built by kustomize, valid by Kubernetes' own schemas, and what they promise."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from rendered import ENVIRONMENTS, IDS, OPTIONS, Rendered

Manifests = dict[str, dict[str, Any]]

VERSIONS = sorted({tuple(map(int, each.split("."))) for each in kubernetes_validate.utils.all_versions()})[-3:]
HOSTS = {"dev": "dev", "qa": "qa", "preview": "preview", "production": "prd"}
EACH = pytest.mark.parametrize(("database", "client"), OPTIONS, ids=IDS)
OWN_KINDS = {
    "PodMonitor": {
        "selector": {"matchLabels", "matchExpressions"},
        "podMetricsEndpoints": {"port", "path", "interval", "scrapeTimeout", "relabelings"},
        "jobLabel": set(),
    },
    "PrometheusRule": {"groups": {"name", "rules"}},
}
"""The fields of monitoring.coreos.com/v1 that are used; their schema is no part of Kubernetes'."""


def kustomize(overlay: Path) -> str:
    """What `kubectl kustomize` makes of an overlay."""
    programs = {"kustomize": ["kustomize", "build"], "kubectl": ["kubectl", "kustomize"]}
    found = next((words for name, words in programs.items() if shutil.which(name)), None)
    if found is None:
        pytest.skip("neither kustomize nor kubectl on PATH: .ci/run builds one")
    command = [*found, str(overlay)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert built.returncode == 0, built.stderr
    return built.stdout


def by_kind(text: str) -> Manifests:
    """The objects, one of each kind; the dashboard is a ConfigMap of its own."""
    objects = [each for each in yaml.safe_load_all(text) if each]
    found = {_kind(each): each for each in objects}
    assert len(found) == len(objects)
    return found


def _kind(of: dict[str, Any]) -> str:
    return "Dashboard" if "grafana_dashboard" in of["metadata"].get("labels", {}) else str(of["kind"])


@pytest.fixture(scope="module")
def built(rendered: Any) -> Callable[[str, str, str], Manifests]:
    """The objects of an environment, by kind."""
    made: dict[tuple[str, str, str], Manifests] = {}

    def get(database: str, client: str, environment: str) -> Manifests:
        key = (database, client, environment)
        if key not in made:
            service: Rendered = rendered(database, client)
            made[key] = by_kind(kustomize(service.folder / "deploy" / "overlays" / environment))
        return made[key]

    return get


def validate(objects: Manifests) -> None:
    """Each object against the strict schema of each of the newest three minors."""
    for kind, each in objects.items():
        if kind in OWN_KINDS:
            continue
        for version in VERSIONS:
            kubernetes_validate.validate(each, ".".join(map(str, version)), strict=True)


@EACH
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_overlay_is_valid_in_the_newest_three_minors(
    built: Any, database: str, client: str, environment: str
) -> None:
    objects = built(database, client, environment)
    validate(objects)
    for kind, fields in OWN_KINDS.items():
        for field, known in fields.items():
            value = objects[kind]["spec"][field]
            for each in value if isinstance(value, list) else [value]:
                assert isinstance(each, str) or set(each) <= known
        assert set(objects[kind]["spec"]) <= set(fields)


def test_a_wrong_field_is_not_valid(built: Any) -> None:
    objects = built("none", "no", "qa")
    spec = {**objects["Service"]["spec"], "portz": []}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate({"Service": {**objects["Service"], "spec": spec}})


@EACH
def test_overlays_differ_in_size_host_image_and_the_environments_name_alone(
    built: Any, database: str, client: str
) -> None:
    assert len({neutral(built(database, client, environment), environment) for environment in ENVIRONMENTS}) == 1


def neutral(objects: Manifests, environment: str) -> str:
    """The manifests without what overlays may differ in."""
    text = yaml.safe_dump(objects)
    names = r"namespace: my-team|/instance: shop-\S+|LM_ENVIRONMENT: |\benvironment: "
    text = re.sub(rf"({names})-?{environment}\b", r"\1", text)
    text = re.sub(rf"(host: [a-z0-9-]+)\.{HOSTS[environment]}\.", r"\1.", text)
    text = re.sub(r"(minReplicas|maxReplicas|memory|cpu): \S+", r"\1", text)
    return re.sub(r"(image: \S+):\S+|(name: shop-[a-z]+-(?:yes|no))-[a-z0-9]{10}", r"\1\2", text)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_has_its_host_and_tells_the_service_its_name(built: Any, environment: str) -> None:
    objects = built("none", "no", environment)
    host = objects["Ingress"]["spec"]["rules"][0]["host"]
    assert host == f"shop-none-no.{HOSTS[environment]}.mykubecluster.intra"
    assert objects["ConfigMap"]["data"]["LM_ENVIRONMENT"] == environment
    assert not container(objects)["image"].endswith(":latest")
    assert container(objects)["image"].startswith("registry.intra/shop-none-no:")


def container(objects: Manifests) -> dict[str, Any]:
    """The one container."""
    (only,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def test_probes_ask_the_management_port_and_wait_for_the_start(built: Any) -> None:
    found = container(built("none", "no", "qa"))
    asked = {name: found[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    paths = {"startup": "/startupz", "liveness": "/livez", "readiness": "/readyz"}
    assert asked == {name: {"path": path, "port": "management"} for name, path in paths.items()}
    assert {"name": "management", "containerPort": 8002} in found["ports"]
    window = found["startupProbe"]["periodSeconds"] * found["startupProbe"]["failureThreshold"]
    assert window > 60


def test_a_pod_drains_before_it_ends_and_none_is_missed_meanwhile(built: Any) -> None:
    objects = built("none", "no", "qa")
    spec = objects["Deployment"]["spec"]
    assert container(objects)["lifecycle"]["preStop"]["exec"]["command"] == ["./stop_helper.sh"]
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 60
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert spec["template"]["spec"]["topologySpreadConstraints"]
    assert "replicas" not in spec  # the autoscaler's


@pytest.mark.parametrize("database", ["none", "sqlite", "postgresql"])
def test_a_pod_keeps_to_the_restricted_security_standard(built: Any, database: str) -> None:
    objects = built(database, "yes", "production")
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert min(pod["securityContext"][name] for name in ("runAsUser", "runAsGroup")) > 10_000  # none of a node's own
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    context = container(objects)["securityContext"]
    assert context == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"name": "tmp", "mountPath": "/tmp"} in container(objects)["volumeMounts"]
    assert all({"name", "emptyDir"} == set(each) or {"name", "secret"} == set(each) for each in pod["volumes"])
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("database", ["none", "sqlite", "postgresql"])
def test_a_pod_asks_for_what_it_uses_and_no_more_than_it_may(built: Any, database: str, environment: str) -> None:
    objects = built(database, "yes", environment)
    resources = container(objects)["resources"]
    assert set(resources["requests"]) == {"cpu", "memory", "ephemeral-storage"}
    assert set(resources["limits"]) == {"memory", "ephemeral-storage"}  # CPU is left out on purpose
    for name in resources["limits"]:
        assert mebibytes(resources["requests"][name]) <= mebibytes(resources["limits"][name])
    volumes = objects["Deployment"]["spec"]["template"]["spec"]["volumes"]
    sizes = [mebibytes(volume["emptyDir"]["sizeLimit"]) for volume in volumes if "emptyDir" in volume]
    assert mebibytes(resources["limits"]["ephemeral-storage"]) >= sum(sizes) + 128  # and its log


def mebibytes(quantity: str) -> int:
    """What a quantity of memory or storage says."""
    return int(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_single_pod_is_all_there_is_but_in_dev(built: Any, environment: str) -> None:
    objects = built("none", "no", environment)
    scaling = objects["HorizontalPodAutoscaler"]["spec"]
    assert scaling["minReplicas"] >= (1 if environment == "dev" else 2)
    assert scaling["maxReplicas"] > scaling["minReplicas"]
    assert objects["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize(
    ("file", "left_out"),
    [
        ("base/deployment.yaml", "limit of CPU"),
        ("base/deployment.yaml", "imagePullPolicy"),
        ("base/deployment.yaml", "podAntiAffinity"),
        ("base/networkpolicy.yaml", "egress"),
        ("overlays/dev/kustomization.yaml", "one pod is a gap"),
    ],
)
def test_what_a_linter_misses_says_why_it_is_left_out(rendered: Any, file: str, left_out: str) -> None:
    """Of kube-score's checks these alone fail; the last one in dev alone."""
    text = (rendered("none", "no").folder / "deploy" / file).read_text()
    code, comments = re.sub(r" *# .*", "", text), " ".join(re.findall(r"# .*", text))
    assert left_out in comments
    assert left_out not in code


def test_what_selects_pods_selects_these(built: Any) -> None:
    objects = built("none", "no", "qa")
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    wanted = {"app.kubernetes.io/name": "shop-none-no", "app.kubernetes.io/instance": "shop-none-no-qa"}
    assert wanted.items() <= labels.items()
    selectors = [
        objects["Service"]["spec"]["selector"],
        objects["Deployment"]["spec"]["selector"]["matchLabels"],
        objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        objects["PodMonitor"]["spec"]["selector"]["matchLabels"],
    ]
    assert selectors == [wanted] * 5
    assert objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "shop-none-no"


def test_every_object_says_what_it_belongs_to(built: Any) -> None:
    wanted = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "part-of", "managed-by")}
    for each in built("none", "no", "qa").values():
        assert wanted <= set(each["metadata"]["labels"])
        assert each["metadata"]["namespace"] == "my-team-qa"


def test_the_management_port_is_monitorings_alone(built: Any) -> None:
    objects = built("none", "no", "qa")
    everyone, monitoring = objects["NetworkPolicy"]["spec"]["ingress"]
    assert "from" not in everyone
    assert [each["port"] for each in everyone["ports"]] == ["http"]
    assert [each["port"] for each in monitoring["ports"]] == ["management"]
    assert monitoring["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert [each["targetPort"] for each in objects["Service"]["spec"]["ports"]] == ["http"]


def test_in_flight_requests_scale_it_where_the_adapter_is(make: Any) -> None:
    service = make("adapted")
    overlay = service.folder / "deploy" / "overlays" / "production" / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("# components: ", "components: "))
    objects = by_kind(kustomize(overlay.parent))
    validate(objects)
    cpu, in_flight = objects["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert cpu["resource"]["name"] == "cpu"
    assert in_flight["pods"]["metric"]["name"] == "lmservice_concurrency_demand"


@pytest.mark.parametrize("source", ENVIRONMENTS)
def test_a_new_environment_is_valid_at_once(make: Any, source: str) -> None:
    service = make("shop-none-no")
    added = service.tool("lmservice", "new-environment", "staging", "--from", source)
    assert added.returncode == 0, added.stdout
    overlays = service.folder / "deploy" / "overlays"
    objects, old = (by_kind(kustomize(overlays / name)) for name in ("staging", source))
    validate(objects)
    assert objects["Ingress"]["spec"]["rules"][0]["host"] == "shop-none-no.staging.mykubecluster.intra"
    assert objects["ConfigMap"]["data"]["LM_ENVIRONMENT"] == "staging"
    assert objects["HorizontalPodAutoscaler"]["spec"] == old["HorizontalPodAutoscaler"]["spec"]
