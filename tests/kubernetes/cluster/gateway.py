"""The Gateway API of this cluster: its kinds, out of the Go module proxy, and one gateway, which is the ingress."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import binaries
import configuration

MODULE = "sigs.k8s.io/gateway-api"
VERSION = "v1.6.3"  # which traefik is built with
OBJECTS = f"""\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: traefik}}
spec: {{controllerName: traefik.io/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: web, namespace: default}}
spec:
  gatewayClassName: traefik
  listeners:
    - {{name: web, protocol: HTTP, port: {configuration.INGRESS_PORT}, allowedRoutes: {{namespaces: {{from: All}}}}}}
"""


def kinds() -> Path:
    """The folder of the definitions, fetched once."""
    kept = binaries.folder() / f"gateway-api-{VERSION}"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as name:
            command = ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"]
            module_json = subprocess.run(command, cwd=name, check=True, stdout=subprocess.PIPE, text=True).stdout
        partial = kept.with_suffix(".part")
        shutil.copytree(
            Path(json.loads(module_json)["Dir"]) / "config" / "crd" / "standard", partial, dirs_exist_ok=True
        )
        partial.rename(kept)
    return kept


def install(kubectl: Callable[..., str], state: Path) -> None:
    """Before the ingress starts; a client-side apply would be too large for an annotation."""
    kubectl("apply", "--server-side", "-f", str(kinds()))
    kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
    (state / "gateway.yaml").write_text(OBJECTS)
    kubectl("apply", "-f", str(state / "gateway.yaml"))
