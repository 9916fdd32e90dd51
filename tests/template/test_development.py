"""What a new service has for its development: the containers around it, and the one that it is developed in."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from rendered import IDS, OPTIONS, Rendered

EACH = pytest.mark.parametrize(("database", "client"), OPTIONS, ids=IDS)


def compose(service: Rendered, file: str = "compose.yaml") -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((service.folder / file).read_text())
    return loaded


@EACH
def test_around_it_are_its_database_and_a_prometheus(rendered: Any, database: str, client: str) -> None:
    service: Rendered = rendered(database, client)
    around = compose(service)
    assert set(around["services"]) == {"prometheus", *(["database"] if database == "postgresql" else [])}
    for container in around["services"].values():
        assert re.fullmatch(r"docker\.io/[a-z/]+:v?[0-9.]+", container["image"])
        assert all(port.startswith("127.0.0.1:") for port in container["ports"])
        mounts = [volume.split(":")[0] for volume in container["volumes"]]
        assert all(
            (service.folder / mount).is_file() if "/" in mount else mount in around["volumes"] for mount in mounts
        )


def test_its_database_is_the_one_that_it_asks_for_by_itself(rendered: Any) -> None:
    service: Rendered = rendered("postgresql", "no")
    database = compose(service)["services"]["database"]
    settings = (service.folder / service.package / "settings.py").read_text()
    name = database["environment"]["POSTGRES_DB"]
    assert f'"postgresql+asyncpg://postgres@localhost/{name}"' in settings
    assert "127.0.0.1:5432:5432" in database["ports"]
    inside = compose(service, ".devcontainer/compose.yaml")["services"]["workspace"]["environment"]
    assert inside["LM_DATABASE_URL"] == f"postgresql+asyncpg://postgres@database/{name}"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: .ci/run installs it")
def test_prometheus_can_read_what_it_is_to_scrape(rendered: Any) -> None:
    service: Rendered = rendered("none", "no")
    file = service.folder / ".devcontainer" / "prometheus.yml"
    checked = subprocess.run(["promtool", "check", "config", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (job,) = yaml.safe_load(file.read_text())["scrape_configs"]
    targets = [target for group in job["static_configs"] for target in group["targets"]]
    assert targets == ["host.docker.internal:8002", "workspace:8002"]


@EACH
def test_the_dev_container_is_one_of_them_and_forwards_both_ports(rendered: Any, database: str, client: str) -> None:
    service: Rendered = rendered(database, client)
    folder = service.folder / ".devcontainer"
    container = json.loads((folder / "devcontainer.json").read_text())
    files = [folder / file for file in container["dockerComposeFile"]]
    services = {name: parts for file in files for name, parts in yaml.safe_load(file.read_text())["services"].items()}
    workspace = services[container["service"]]
    assert workspace["volumes"] == [f".:{container['workspaceFolder']}:cached"]
    assert container["forwardPorts"] == [8081, 8002, "prometheus:9090"]
    assert set(workspace.get("depends_on", ())) <= set(services)
    assert container["postCreateCommand"] == f"make {workspace['environment']['VENV']}/.installed"
