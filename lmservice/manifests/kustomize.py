"""Folders that hold sources of manifests rather than manifests: kustomizations, which can be rendered, and charts."""

import shutil
import subprocess
from pathlib import Path

from lmservice.errors import UsageError

_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_PROGRAMS = (("kubectl", "kustomize"), ("kustomize", "build"))
TIMEOUT = 60
"""What rendering may take, in seconds."""


def is_source(folder: Path) -> bool:
    """Whether a folder has to be rendered first.

    Raises:
        UsageError: it is a Helm chart, whose values only its owner knows.
    """
    if (folder / "Chart.yaml").is_file():
        raise UsageError(
            f"{folder} is a Helm chart: render it and pipe it in: "
            f"helm template {folder} | lmservice check MODULE:SERVICE --manifests -"
        )
    return any((folder / name).is_file() for name in _NAMES)


def render(folder: Path) -> bytes:
    """The manifests of a kustomization, by the first of kubectl and kustomize that is installed.

    Raises:
        UsageError: neither is, or the kustomization does not build.
    """
    command = next((words for words in _PROGRAMS if shutil.which(words[0])), None)
    if command is None:
        raise UsageError(
            f"{folder} is a kustomization, and neither kubectl nor kustomize is on PATH: render it where one is: "
            f"kubectl kustomize {folder} | lmservice check MODULE:SERVICE --manifests -"
        )
    said = " ".join((*command, str(folder)))
    try:
        ran = subprocess.run([*command, str(folder)], capture_output=True, timeout=TIMEOUT, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise UsageError(f"'{said}' has not ended within {TIMEOUT} s") from None
    if ran.returncode:
        raise UsageError(f"'{said}' failed: {' '.join(ran.stderr.decode(errors='replace').split())}")
    return ran.stdout
