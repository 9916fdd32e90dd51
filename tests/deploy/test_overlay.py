"""What a release makes of an overlay."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from lmservice.deploy import Artifact, DeployUsageError
from lmservice.deploy.objects import key, selector
from lmservice.deploy.overlay import Manifests, render

NEEDS_KUBECTL = pytest.mark.skipif(not shutil.which("kubectl"), reason="not installed: kubectl, which renders overlays")


def deployment(*containers: str, name: str = "app") -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": container, "image": "old"} for container in containers]},
    }
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def test_the_artifact_goes_into_the_services_own_container_and_leaves_the_given_objects_alone() -> None:
    written = deployment("proxy", "app")
    made = Manifests("app", [written]).with_artifact(Artifact("registry/app", "2"))
    images = [container["image"] for container in made.deployment["spec"]["template"]["spec"]["containers"]]
    assert images == ["old", "registry/app:2"]
    assert "registry/app:2" not in str(written)


def test_containers_none_of_which_is_the_services_are_refused() -> None:
    with pytest.raises(DeployUsageError, match="none of the Deployment's 2 containers bears its name 'app'"):
        Manifests("app", [deployment("a", "b")]).with_artifact(Artifact("registry/app", "2"))


def test_a_canary_is_told_apart_by_a_label_and_found_by_the_services_own() -> None:
    manifests = Manifests("app", [deployment("app")])
    canary = manifests.canary(2)
    assert canary["metadata"]["name"] == "app-canary"
    assert canary["spec"]["replicas"] == 2
    assert selector(canary) == "app=app,lmservice.dev/track=canary"
    assert canary["spec"]["template"]["metadata"]["labels"] == {"app": "app", "lmservice.dev/track": "canary"}
    assert "track" not in str(manifests.deployment)


def test_an_overlay_without_the_services_deployment_names_those_that_it_has() -> None:
    with pytest.raises(DeployUsageError, match="no Deployment 'app', but: other"):
        Manifests("app", [deployment("x", name="other")])


def test_an_object_is_known_whatever_version_its_api_has() -> None:
    one = {"apiVersion": "autoscaling/v1", "kind": "A", "metadata": {"name": "n"}}
    assert key(one) == key({**one, "apiVersion": "autoscaling/v2"})


@NEEDS_KUBECTL
def test_an_overlay_is_rendered_by_kustomize_and_its_mistakes_are_one_line(tmp_path: Path) -> None:
    overlay = tmp_path / "overlays" / "qa"
    overlay.mkdir(parents=True)
    (overlay / "kustomization.yaml").write_text("resources: [app.yaml]\nnamespace: team-qa\n")
    with pytest.raises(DeployUsageError, match=r"kustomize refuses the overlay: .*app\.yaml") as caught:
        render(tmp_path, "qa", "app")
    assert "\n" not in str(caught.value)
    (overlay / "app.yaml").write_text(str(deployment("app")).replace("'", '"'))
    assert render(tmp_path, "qa", "app").namespace == "team-qa"
    with pytest.raises(DeployUsageError, match="there is no overlay of 'preview'"):
        render(tmp_path, "preview", "app")
