"""A clean virtual environment: the wheel of this tree, what it depends on and what is asked for, all byte-compiled."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(__file__).resolve().parent / "programs"
UV = Path(sys.executable).parent / "uv"


@dataclass(frozen=True)
class Installation:
    """A virtual environment, and the folder of programs that run in it."""

    prefix: Path
    programs: Path

    def command(self, name: str) -> str:
        """The path of a console script."""
        return str(self.prefix / "bin" / name)

    def versions(self) -> dict[str, str]:
        """The version of every package, by name."""
        listed = _uv("pip", "list", "--format", "json", "--python", str(self.prefix))
        return {package["name"]: package["version"] for package in json.loads(listed)}


def current() -> Installation:
    """The environment that this benchmark itself runs in."""
    return Installation(Path(sys.prefix), PROGRAMS)


@contextmanager
def clean(*projects: Path) -> Iterator[Installation]:
    """Builds the wheel, installs it, and other projects of this tree if any, and removes everything at the end.

    Files are copied rather than linked: pages shared with other processes would make the memory seem smaller.
    """
    with tempfile.TemporaryDirectory(prefix="lmservice-benchmark-") as name:
        folder = Path(name)
        prefix = folder / "venv"
        _uv("build", "--wheel", "--out-dir", str(folder), str(ROOT))
        _uv("venv", "--python", sys.executable, str(prefix))
        (wheel,) = folder.glob("*.whl")
        target = ["--python", str(prefix), "--link-mode", "copy", "--compile-bytecode", "--no-sources"]
        _uv("pip", "install", *target, "--constraint", str(ROOT / "requirements.lock"), str(wheel), *map(str, projects))
        shutil.copytree(PROGRAMS, folder / "programs", ignore=shutil.ignore_patterns("__pycache__"))
        yield Installation(prefix, folder / "programs")


def environment(**variables: str) -> dict[str, str]:
    """What a process is started with: this one's environment without what would change Python or lmservice."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LM_", "KUBERNETES_"))}
    return {**kept, **variables}


def _uv(*arguments: str) -> str:
    done = subprocess.run([UV, "--quiet", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"uv {' '.join(arguments[:2])} failed:\n{done.stderr}")
    return done.stdout
