"""Kustomizations, rendered by the kubectl or the kustomize on PATH: for releases, and for checking manifests."""

import os
import shutil
import subprocess
from pathlib import Path

TIMEOUT = 60
"""The time that rendering may take, in seconds."""
_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_PROGRAMS = (("kubectl", "kustomize"), ("kustomize", "build"))


class NoProgramError(Exception):
    """Neither kubectl nor kustomize is on PATH."""


class RenderError(Exception):
    """A kustomization does not build; the message is one line, and may hold what a URL in it holds."""


def is_kustomization(folder: Path) -> bool:
    """Return whether a folder has to be rendered to become manifests."""
    return any((folder / name).is_file() for name in _NAMES)


def render(folder: Path) -> bytes:
    """Render a kustomization into YAML, by the first of kubectl and kustomize that is installed.

    Raises:
        NoProgramError: neither is.
        RenderError: it does not build, or not within `TIMEOUT` seconds.
    """
    command = next((words for words in _PROGRAMS if shutil.which(words[0])), None)
    if command is None:
        raise NoProgramError
    command_line = " ".join((*command, str(folder)))
    try:
        ran = subprocess.run(  # noqa: S603 - a folder, as a word of its own
            [*command, "--", str(folder)],
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},  # a base by URL must not ask a pipeline for a password
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RenderError(f"'{command_line}' has not ended within {TIMEOUT} s") from None
    if ran.returncode:
        raise RenderError(f"'{command_line}' failed: {' '.join(ran.stderr.decode(errors='replace').split())}")
    return ran.stdout
