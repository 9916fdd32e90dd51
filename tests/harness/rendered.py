"""Services as the template makes them, and what runs in them: this environment's own tools, as the locks are one."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from processes import environment

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "templates" / "cookiecutter"
BIN = Path(sys.executable).parent
DATABASES = ("none", "sqlite", "postgresql")
OPTIONS = tuple(itertools.product(DATABASES, ("no", "yes")))
IDS = [f"{database}-{'client' if client == 'yes' else 'alone'}" for database, client in OPTIONS]
FRAMEWORKS = ("starlette", "fastapi")
WRITTEN = tuple(itertools.product(DATABASES, ("no", "yes"), FRAMEWORKS))
WRITTEN_IDS = [
    f"{database}-{'client' if client == 'yes' else 'alone'}-{framework}" for database, client, framework in WRITTEN
]
ENVIRONMENTS = ("dev", "qa", "preview", "production")


@dataclass(frozen=True)
class Rendered:
    """A service that was made, with what makes its distribution known without an installation."""

    folder: Path
    home: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def package(self) -> str:
        return self.name.replace("-", "_")

    @property
    def variables(self) -> dict[str, str]:
        return {"PYTHONPATH": f"{self.home}:{self.folder}", "PATH": f"{BIN}:{os.environ['PATH']}"}

    def tool(self, *words: str, timeout: float = 120, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Runs one of the tools of this environment in the service's folder."""
        return run([str(BIN / words[0]), *words[1:]], self.folder, {**self.variables, **variables}, timeout)


def run(
    command: list[str], folder: Path, variables: Mapping[str, str], timeout: float = 120
) -> "subprocess.CompletedProcess[str]":
    """Runs a command to its end; both outputs are one."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )


def cookiecutter(folder: Path, *answers: str, replays: Path) -> "subprocess.CompletedProcess[str]":
    """The `cookiecutter` command on the template, which asks nothing and keeps its files in `replays`."""
    words = [str(BIN / "cookiecutter"), str(TEMPLATE), "--no-input", "--output-dir", str(folder), *answers]
    return run(words, folder, configured(replays))


def configured(replays: Path) -> dict[str, str]:
    """Variables by which cookiecutter keeps its files in that folder, and reads nobody's configuration."""
    configuration = replays / "cookiecutter.yaml"
    paths = {"replay_dir": str(replays / "replays"), "cookiecutters_dir": str(replays / "templates")}
    configuration.write_text(json.dumps(paths))  # JSON is YAML
    return {"COOKIECUTTER_CONFIG": str(configuration)}


def render(folder: Path, name: str, *answers: str) -> Rendered:
    """Makes a service in `folder`."""
    made = cookiecutter(folder, f"project_name={name}", *answers, replays=folder)
    assert made.returncode == 0, made.stdout
    home = folder / f"{name}.home"
    package = name.replace("-", "_")
    (home / f"{package}-0.1.0.dist-info").mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n"
    (home / f"{package}-0.1.0.dist-info" / "METADATA").write_text(metadata)
    return Rendered(folder / name, home)


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder, by path; a file's mode is part of it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"{path.relative_to(folder)} {path.stat().st_mode:o}": path.read_bytes() for path in paths}
