"""Where manifests are read from, and what is said of what cannot be read."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from command import PREAMBLE, Ended, lmservice
from manifests.conftest import SHOP, Judge, ShopSettings, rendered

from lmservice import Settings
from lmservice.errors import UsageError
from lmservice.manifests import check

PROGRAM = f"""{PREAMBLE}
class Shop(Settings):
    token: SecretStr
service = Service("shop", routes=[], settings=Shop)
"""


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., Ended]:
    """`lmservice check` with manifests, as a shell starts it."""
    (tmp_path / "program.py").write_text(PROGRAM)

    def ran(*words: str, **settings: str) -> Ended:
        named = {f"LM_{name}": value for name, value in settings.items()}
        return lmservice("check", "program:service", "--manifests", *words, folder=tmp_path, settings=named)

    return ran


def test_a_folder_that_agrees_is_0(compared: Callable[..., Ended]) -> None:
    ended = compared(str(SHOP.parent))
    assert (ended.code, ended.errors) == (0, "")
    assert "manifests" in ended.output


def test_findings_are_1_each_on_a_line_with_file_and_line(compared: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "spoilt").mkdir()
    (tmp_path / "spoilt" / "shop.yaml").write_text(SHOP.read_text().replace("path: /livez", "path: /readyz"))
    ended = compared("spoilt")
    line = next(number for number, text in enumerate(SHOP.read_text().splitlines(), 1) if "/livez" in text)
    assert (ended.code, len(ended.output.splitlines())) == (1, 1)
    assert ended.output.startswith(f"spoilt/shop.yaml:{line}: Deployment shop: ")
    assert ended.problems == ["1 to mend in program:service"]


def test_findings_come_as_json_too(compared: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "spoilt.yaml").write_text(SHOP.read_text().replace("shop:1.4.0", "shop:latest"))
    ended = compared("spoilt.yaml", "--format", "json")
    (finding,) = json.loads(ended.output)
    assert (ended.code, finding["file"], finding["object"]) == (1, "spoilt.yaml", "Deployment shop")
    assert finding["field"] == "spec.template.spec.containers[shop].image"
    assert set(finding) == {"said", "file", "line", "object", "field", "found", "expected", "fix"}


def test_standard_input_is_read(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "lmservice", "check", "program:service", "--manifests", "-"]
    ran = subprocess.run(
        command,
        cwd=tmp_path,
        input=SHOP.read_text().replace("port: 8002", "port: 8081"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout.count("<stdin>:")) == (1, 1)
    assert "readinessProbe.httpGet.port is 8081" in ran.stdout


def test_the_process_s_own_settings_stand_for_the_image_s(compared: Callable[..., Ended]) -> None:
    ended = compared(str(SHOP.parent), MANAGEMENT_PORT="9000")
    assert ended.code == 1
    assert "livenessProbe.httpGet.port is management (8002), but LM_MANAGEMENT_PORT is 9000" in ended.output


def test_a_service_s_own_default_is_what_manifests_have_to_agree_with(judge: Judge) -> None:
    class Slow(ShopSettings):
        startup_timeout: float = 300

    assert ["LM_STARTUP_TIMEOUT is 300 s" in str(finding) for finding in judge(rendered(), Slow)] == [True]


@pytest.mark.parametrize(
    "text", ["kind: [\n", "a: b: c\n", "a:\n\t- b\n", "on: !nonsense x\n", "date: 2026-99-99\n", "a: &a *b\n"]
)
def test_broken_yaml_is_a_finding_with_file_and_line(judge: Judge, text: str) -> None:
    whole = SHOP.read_text()
    (finding,) = judge(f"{whole}---\n{text}")
    assert finding.line > whole.count("\n")
    assert (finding.object, finding.expected) == ("", "it has to be readable as a manifest")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: \x00", b"[" * 3000])
def test_bytes_that_are_no_yaml_are_a_finding(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.yaml").write_bytes(content)
    (finding,) = check(str(tmp_path), name="shop", settings=Settings, image={})
    assert finding.file.endswith("bad.yaml")


def test_a_key_that_stands_twice_is_a_finding(judge: Judge) -> None:
    spoilt = SHOP.read_text().replace("  LM_ENVIRONMENT: production\n", "  LM_ENVIRONMENT: dev\n  LM_ENVIRONMENT: qa\n")
    (finding,) = judge(spoilt)
    assert (finding.line, finding.found) == (7, "LM_ENVIRONMENT stands twice in one mapping")


def test_what_is_no_object_is_a_finding(judge: Judge) -> None:
    (finding,) = judge(SHOP.read_text() + "---\nkind: Deployment\nmetadata: {name: shop}\n")
    assert finding.found == "is no Kubernetes object: kind or apiVersion is missing"


FOREIGN = {
    "skaffold.yaml": "apiVersion: skaffold/v4beta11\nkind: Config\nmanifests: {rawYaml: [shop.yaml]}\n",
    "annotated.yaml": "apiVersion: skaffold/v4beta11\nkind: Config\nmetadata: {annotations: {of: shop}}\n",
    "kind.yaml": "apiVersion: kind.x-k8s.io/v1alpha4\nkind: Cluster\nnodes: [{role: control-plane}]\n",
    "compose.yaml": "services: {shop: {image: shop}}\n",
    "renovate.json": '{"extends": ["config:recommended"]}',
}


@pytest.mark.parametrize("name", FOREIGN)
def test_another_programs_file_is_left_alone_unless_nothing_else_is_there(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FOREIGN[name])
    with pytest.raises(UsageError, match="no Kubernetes object in it"):
        check(str(tmp_path), name="shop", settings=ShopSettings, image={})
    (tmp_path / "shop.yaml").write_text(SHOP.read_text())
    assert check(str(tmp_path), name="shop", settings=ShopSettings, image={}) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("apiVersion: apps/v1\nkind: Deployment\nspec: {}\n", "missing"),
        ("apiVersion: v1\nkind: Service\n", "missing"),
        ("apiVersion: networking.k8s.io/v1\nkind: Ingress\n", "missing"),
        ("apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {labels: {}}\n", "missing"),
        ("metadata: {name: shop}\nspec: {}\n", "is no Kubernetes object: kind or apiVersion is missing"),
        ("kind: Deployment\n", "is no Kubernetes object: kind or apiVersion is missing"),
        ("apiVersion: apps/v1\n", "is no Kubernetes object: kind or apiVersion is missing"),
    ],
)
def test_an_object_that_lacks_what_every_one_has_is_a_finding(judge: Judge, text: str, problem: str) -> None:
    assert [finding.found for finding in judge(f"{SHOP.read_text()}---\n{text}")] == [problem]


def test_anchors_merges_and_lists_are_read_as_kubectl_does(judge: Judge) -> None:
    objects = rendered()
    metadata = "metadata: &metadata {name: shop, namespace: shop}\n"
    text = SHOP.read_text().replace("metadata: {name: shop, namespace: shop}\n", metadata, 1)
    assert judge(text.replace("data:\n", "data:\n  <<: {LM_LOG_LEVEL: DEBUG}\n", 1)) == []
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects.values())}
    assert judge(yaml.safe_dump(listed)) == []
    objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]["image"] = "shop"
    (finding,) = judge(yaml.safe_dump(listed))
    assert finding.object == "Deployment shop"


def test_a_sidecar_does_not_hide_the_service(judge: Judge) -> None:
    objects = rendered()
    containers = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    containers.insert(0, {"name": "proxy", "image": "envoy", "resources": {"requests": {"cpu": "10m"}}})
    assert judge(objects) == []


def test_a_workload_of_another_name_is_the_service_s_where_it_runs_it(judge: Judge) -> None:
    objects = rendered()
    objects["Deployment"]["metadata"]["name"] = objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] = (
        "x"
    )
    template = objects["Deployment"]["spec"]["template"]
    template["spec"]["containers"][0]["image"] = "shop"
    assert ["image" in finding.field for finding in judge(objects)] == [True]


def test_no_workload_is_a_finding(judge: Judge) -> None:
    (finding,) = judge({"Service": {**rendered()["Service"], "spec": {}}})
    assert str(finding).endswith(
        "no workload found, but none of them is shop's: label its Deployment app.kubernetes.io/name: shop"
    )


@pytest.mark.parametrize("value", [None, "x", 1, [], ["x"], {"x": 1}, True, [[]]])
@pytest.mark.parametrize("kind", list(rendered()))
def test_no_shape_of_an_object_is_a_traceback(judge: Judge, kind: str, value: object) -> None:
    for field in (key for key in rendered()[kind] if key not in ("apiVersion", "kind")):
        judge({**rendered(), kind: {**rendered()[kind], field: value}})
    for field in rendered()[kind].get("spec", {}):
        objects = rendered()
        objects[kind]["spec"][field] = value
        judge(objects)


@pytest.mark.parametrize("value", [None, "x", 1, [], ["x"], {"x": 1}, True])
def test_no_shape_of_a_container_is_a_traceback(judge: Judge, value: object) -> None:
    for field in rendered()["Deployment"]["spec"]["template"]["spec"]["containers"][0]:
        objects = rendered()
        objects["Deployment"]["spec"]["template"]["spec"]["containers"][0][field] = value
        judge(objects)
    for field in rendered()["Deployment"]["spec"]["template"]["spec"]:
        objects = rendered()
        objects["Deployment"]["spec"]["template"]["spec"][field] = value
        judge(objects)


def test_nothing_to_read_is_bad_usage(compared: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "blank").mkdir()
    (tmp_path / "blank" / "blank.yaml").write_text("---\n# nothing\n")
    assert compared("nonesuch").problem == (
        "nonesuch: there is no such folder or file: give a folder of rendered manifests, or - for standard input"
    )
    assert "empty: no .yaml" in compared("empty").problem
    assert "blank: no Kubernetes object in it" in compared("blank").problem
    assert "no Kubernetes object" in compared("-").problem


def test_closed_standard_input_is_bad_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="standard input is closed"):
        check("-", name="shop", image={})


@pytest.fixture
def kustomization(tmp_path: Path) -> Path:
    """A base and an overlay, which has to be rendered."""
    base, overlay = tmp_path / "deploy" / "base", tmp_path / "deploy" / "overlays" / "qa"
    base.mkdir(parents=True)
    overlay.mkdir(parents=True)
    shutil.copy(SHOP, base)
    (base / "kustomization.yaml").write_text("resources: [shop.yaml]\n")
    images = "images: [{name: 'registry.intra:5000/team/shop', newTag: latest}]\n"
    (overlay / "kustomization.yaml").write_text(f"resources: [../../base]\n{images}")
    return overlay


@pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl here")
def test_a_kustomization_is_rendered(kustomization: Path) -> None:
    (finding,) = check(str(kustomization), name="shop", settings=ShopSettings, image={})
    assert (finding.field.rpartition(".")[2], finding.found) == ("image", "registry.intra:5000/team/shop:latest")
    assert finding.file == f"{kustomization} (rendered)"


@pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl here")
def test_a_kustomization_that_does_not_build_is_bad_usage(kustomization: Path) -> None:
    (kustomization / "kustomization.yaml").write_text("resources: [nonesuch.yaml]\n")
    with pytest.raises(UsageError, match=r"'kubectl kustomize .*' failed: .*nonesuch"):
        check(str(kustomization), name="shop", image={})


def test_without_kubectl_a_kustomization_is_explained(kustomization: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match=r"kubectl kustomize .*qa \| lmservice check MODULE:SERVICE --manifests -"):
        check(str(kustomization), name="shop", image={})


def test_a_folder_of_kustomizations_is_bad_usage(kustomization: Path) -> None:
    with pytest.raises(UsageError, match=r"holds a kustomization in .*: name one of them, an overlay, by itself"):
        check(str(kustomization.parents[1]), name="shop", image={})


def test_a_chart_is_explained(tmp_path: Path) -> None:
    (tmp_path / "Chart.yaml").write_text("name: shop\n")
    with pytest.raises(UsageError, match=r"helm template .* \| lmservice check"):
        check(str(tmp_path), name="shop", image={})


def test_without_yaml_the_extra_is_named(tmp_path: Path) -> None:
    code = f"""
import importlib.abc, sys

class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "yaml":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Without())
from lmservice.cli.parser import main
raise SystemExit(main(["check", "program:service", "--manifests", {str(SHOP.parent)!r}]))
"""
    (tmp_path / "program.py").write_text(PROGRAM)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "lmservice: reading manifests needs PyYAML: pip install 'lmservice[manifests]'\n"
