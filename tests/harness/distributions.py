"""The wheel and the sdist, built from this tree by uv, and environments to install them into."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
BUILDS = pytest.mark.skipif(not UV.exists(), reason="there is no uv beside this Python: ./dev test brings one")


def build(folder: Path, kind: str) -> Path:
    """Builds one distribution into `folder`; `kind` is `wheel` or `sdist`."""
    uv("build", "--quiet", f"--{kind}", "--out-dir", str(folder), str(ROOT))
    (built,) = folder.glob("lmservice-*.whl" if kind == "wheel" else "lmservice-*.tar.gz")
    return built


def environment_of(folder: Path, *install: str) -> Path:
    """Makes an empty environment, installs into it, and gives the folder of its commands."""
    uv("venv", "--quiet", "--python", sys.executable, str(folder))
    uv("pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *install)
    return folder / "bin"


def uv(*words: str) -> None:
    """Runs uv to its end.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    variables = {**os.environ, "UV_SYSTEM_CERTS": "1"}
    ran = subprocess.run([str(UV), *words], env=variables, capture_output=True, text=True, timeout=300, check=False)
    if ran.returncode:
        raise RuntimeError(f"uv {words[0]} failed: {ran.stderr}")
