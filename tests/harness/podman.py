"""Images without a registry: a base made of Debian's own packages, and podman on a storage of its own.

Everything is kept in a cache folder outside of the tree (`LMSERVICE_CACHE`, default `~/.cache/lmservice`), where the
base image is made once. `python tests/harness/podman.py NAME...` makes it, under those names, ahead of the tests.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

CACHE = Path(os.environ.get("LMSERVICE_CACHE") or Path.home() / ".cache" / "lmservice") / "images"
SUITE = "trixie"
"""The Debian whose Python is that of the images, 3.13."""

PACKAGES = "python3,ca-certificates"
BASE = f"localhost/lmservice-base:{SUITE}"
ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")
CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


def missing() -> str:
    """Why no image can be made here; empty where it can."""
    if os.geteuid() != 0:
        return "images are built as root here"
    absent = [name for name in ("podman", "buildah", "runc", "debootstrap") if shutil.which(name) is None]
    return f"no {' and no '.join(absent)} on PATH: .ci/run installs them" if absent else ""


class Podman:
    """Podman as the tests have it."""

    @cached_property
    def environment(self) -> dict[str, str]:
        """Its configuration, without a proxy or a registry's login of the machine."""
        CACHE.mkdir(parents=True, exist_ok=True)
        configuration = CACHE / "containers.conf"
        if not configuration.exists() or configuration.read_text() != CONFIGURATION:
            configuration.write_text(CONFIGURATION)
        kept = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
        return {**kept, "CONTAINERS_CONF": str(configuration), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}

    def command(self, *words: str) -> list[str]:
        """The command line of podman with these words."""
        return ["podman", "--root", str(CACHE / "storage"), "--runroot", "/run/lmservice-images", *words]

    def run(self, *words: str, timeout: float = 300) -> str:
        """What podman prints.

        Raises:
            RuntimeError: it failed; with what it said.
        """
        return ran(self.command(*words), self.environment, timeout)

    def has(self, image: str) -> bool:
        """Whether there is such an image."""
        command = self.command("image", "exists", image)
        return subprocess.run(command, env=self.environment, check=False, timeout=60).returncode == 0

    def base(self, *names: str) -> None:
        """Makes Debian with Python, where it is not there yet, and gives it these names."""
        if not self.has(BASE):
            self._bootstrap()
        for name in names:
            self.run("tag", BASE, name)

    def single(self, name: str, **files: Path) -> None:
        """Makes an image that holds nothing but files, each at the root by its name."""
        with tempfile.TemporaryDirectory() as folder:
            for each, source in files.items():
                shutil.copy2(source, Path(folder) / each)
            archive = Path(folder) / "files.tar"
            ran(["tar", "-C", folder, "-cf", str(archive), *files], self.environment, 60)
            self.run("import", "--quiet", str(archive), name)

    def build_with_uv(self, folder: Path, tag: str, *options: str, python: str, uv: str) -> str:
        """Builds a Dockerfile that begins with these two images, which are made of what this machine has."""
        self.base(python)
        self.single(uv, uv=UV)
        cache = ran([str(UV), "cache", "dir"], self.environment, 60).strip()
        # Every build's wheel of this tree has one path and one version, for which the cache may hold another build.
        ran([str(UV), "cache", "clean", "--quiet", "lmservice"], self.environment, 300)
        volumes = ["--volume=/etc/ssl/certs:/etc/ssl/certs:ro", f"--volume={cache}:/root/.cache/uv"]
        return self.build(folder, tag, *volumes, *options)

    def build_search_service(self, tag: str) -> None:
        """Builds the example's image by its own Dockerfile."""
        dockerfile = ROOT / "examples" / "search-service" / "Dockerfile"
        begins = dict(re.findall(r"^ARG (PYTHON|UV)_IMAGE=(\S+)$", dockerfile.read_text(), re.MULTILINE))
        options = [f"--file={dockerfile}", f"--ignorefile={dockerfile}.dockerignore"]
        self.build_with_uv(ROOT, tag, *options, python=begins["PYTHON"], uv=begins["UV"])

    def build(self, folder: Path, tag: str, *options: str) -> str:
        """Builds a Dockerfile on images that are here."""
        return self.run("build", "--pull=never", "--network=host", *options, "--tag", tag, str(folder), timeout=600)

    def _bootstrap(self) -> None:
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            root = Path(folder) / "root"
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root), _mirror()]
            ran(command, self.environment, 900)
            for cached in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
                shutil.rmtree(root / cached, ignore_errors=True)
            archive = Path(folder) / "base.tar"
            ran(["tar", "-C", str(root), "-cf", str(archive), "."], self.environment, 300)
            self.run("import", "--quiet", "--change", "CMD=/bin/sh", str(archive), BASE)


def ran(command: Sequence[str], environment: dict[str, str], timeout: float) -> str:
    """What a command prints.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}"[-4000:])
    return ended.stdout


def _mirror() -> str:
    """Where this machine's own packages come from."""
    sources = [*Path("/etc/apt").glob("sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(path.read_text() for path in sources)
    found = re.search(r"^(?:deb (?:\[.*?\] )?|URIs: *)(https?://\S*debian/?)(?:\s|$)", text, re.MULTILINE)
    return found[1] if found else "http://deb.debian.org/debian"


if __name__ == "__main__":
    Podman().base(*sys.argv[1:])
    print(BASE)  # noqa: T201 - the command's output
