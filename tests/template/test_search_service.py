"""The search service's own release: what the template gives to a service with PostgreSQL, and nothing that drifts."""

from pathlib import Path
from typing import Any

import pytest
from rendered import ENVIRONMENTS, ROOT, files
from search_service.settings import SearchSettings
from template.test_manifests import by_kind, kustomize, validate

from lmservice.manifests import check

SERVICE = ROOT / "examples" / "search-service"
OF_ITS_OWN = {"base/kustomization.yaml", "base/podmonitor.yaml", "base/prometheusrule.yaml", "base/dashboard.json"}
"""Of the template's files: these are in `deploy/monitoring`, which Prometheus and Grafana of the compose file share."""

each_environment = pytest.mark.parametrize("environment", ENVIRONMENTS)


def templated(make: Any) -> Path:
    folder: Path = make("search-service", "team=search", "database=postgresql").folder
    return folder


def test_its_manifests_and_its_stop_helper_are_the_template_s(make: Any) -> None:
    folder = templated(make)
    wanted = {path: content for path, content in files(folder / "deploy").items() if path.split()[0] not in OF_ITS_OWN}
    have = {path: each for path, each in files(SERVICE / "deploy").items() if path in wanted}
    assert have == wanted
    assert (SERVICE / "stop_helper.sh").read_bytes() == (folder / "stop_helper.sh").read_bytes()
    assert (SERVICE / "stop_helper.sh").stat().st_mode & 0o111 == 0o111


@each_environment
def test_an_overlay_holds_the_kinds_of_the_template_s_and_is_valid(make: Any, environment: str) -> None:
    overlay = Path("deploy") / "overlays" / environment
    objects = by_kind(kustomize(SERVICE / overlay))
    assert set(objects) == set(by_kind(kustomize(templated(make) / overlay)))
    validate(objects)


@each_environment
def test_an_overlay_agrees_with_the_service(environment: str) -> None:
    overlay = SERVICE / "deploy" / "overlays" / environment
    assert [str(each) for each in check(str(overlay), name="search-service", settings=SearchSettings, image={})] == []
