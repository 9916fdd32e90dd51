"""What the template makes is what a real API server takes."""

import json
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

LMSERVICE = str(Path(sys.executable).with_name("lmservice"))
ENVIRONMENTS = ("dev", "qa", "preview", "production")


def kubectl(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["kubectl", *words], input=stdin, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("database", ["none", "sqlite", "postgresql"])
def test_every_overlay_is_accepted_by_the_api_server(database: str, tmp_path: Path) -> None:
    """Custom resources are left out where the cluster does not know their kinds."""
    team = f"team-{secrets.token_hex(3)}"
    answers = ["project_name=shop", f"team={team}", f"database={database}"]
    command = [LMSERVICE, "new", str(tmp_path), "--no-input", *answers]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    known = kubectl("api-resources", "--output=name").stdout
    for environment in ENVIRONMENTS:
        rendered = kubectl("kustomize", str(tmp_path / "shop" / "deploy" / "overlays" / environment))
        assert rendered.returncode == 0, rendered.stderr
        objects = [manifest for manifest in yaml.safe_load_all(rendered.stdout) if manifest]
        ours = [
            manifest
            for manifest in objects
            if "monitoring.coreos.com" not in manifest["apiVersion"] or "podmonitors" in known
        ]
        assert {"Deployment", "Service", "Ingress"} <= {manifest["kind"] for manifest in ours}
        namespace = f"{team}-{environment}"
        assert kubectl("create", "namespace", namespace).returncode == 0
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": ours})
        taken = kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=listed)
        kubectl("delete", "namespace", namespace, "--wait=false")
        assert taken.returncode == 0, taken.stderr
