"""The template's manifests, rendered for every database and environment: `check` has nothing to mend in them."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from cookiecutter.main import cookiecutter

from lmservice import Settings
from lmservice.manifests import check

TEMPLATE = Path(__file__).parents[2] / "templates" / "cookiecutter"
ENVIRONMENTS = ("dev", "qa", "preview", "production")
pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl here, which renders overlays")


class ShopSettings(Settings):
    """Those of a service with a database."""

    database_url: str


@pytest.fixture(scope="module", params=["none", "sqlite", "postgresql"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service of the template, its manifests alone."""
    folder = tmp_path_factory.mktemp(request.param)
    alone = folder / "template"
    deploy = Path("{{cookiecutter.__folder}}") / "deploy"
    shutil.copytree(TEMPLATE / deploy, alone / deploy)
    shutil.copy(TEMPLATE / "cookiecutter.json", alone)
    answers = {"project_name": "shop", "team": "store", "database": request.param}
    made = cookiecutter(str(alone), no_input=True, output_dir=str(folder), extra_context=answers)
    return Path(made)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_overlay_of_the_template_agrees_with_its_service(project: Path, environment: str) -> None:
    settings = Settings if project.parent.name.startswith("none") else ShopSettings
    overlay = project / "deploy" / "overlays" / environment
    assert [str(finding) for finding in check(str(overlay), name="shop", settings=settings, image={})] == []


def test_alerts_and_dashboard_are_the_service_s_own(project: Path) -> None:
    overlay = project / "deploy" / "overlays" / "qa"
    ran = subprocess.run(["kubectl", "kustomize", str(overlay)], capture_output=True, text=True, timeout=60, check=True)
    objects = {
        (manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in yaml.safe_load_all(ran.stdout)
    }
    groups = objects["PrometheusRule", "shop"]["spec"]["groups"]
    assert {rule["labels"]["team"] for group in groups for rule in group["rules"] if "alert" in rule} == {"store"}
    assert "{{ $labels.environment }}" in str(groups)
    board = objects["ConfigMap", "shop-dashboard"]
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert '"title": "shop"' in board["data"]["dashboard.json"]
    assert not {"{%", "cookiecutter"} & set(ran.stdout.split())
    (endpoint,) = objects["PodMonitor", "shop"]["spec"]["podMetricsEndpoints"]
    assert endpoint["relabelings"][0]["regex"] == "store-(.+)"


@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool here: Debian's prometheus brings it")
def test_prometheus_takes_the_alerts(project: Path, tmp_path: Path) -> None:
    rules = yaml.safe_load((project / "deploy" / "base" / "prometheusrule.yaml").read_text())
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules["spec"]))
    ran = subprocess.run(
        ["promtool", "check", "rules", "rules.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
