"""Images without a registry: made here, handed to the node's containerd."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from image import podman

ROOT = Path(__file__).resolve().parents[3]
PAUSE = "registry.local/pause:1"
TRIAL = "registry.local/trial"
VERSIONS = ("1", "2", "3", "4", "5")
BASE = "docker.io/library/python:3.11-slim"
PAUSE_PROGRAM = """\
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGINT, syscall.SIGTERM)
	<-stopped
}
"""


def pause(folder: Path) -> Path:
    """The archive of a pause image: the process that holds a pod's namespaces, and does nothing."""
    with tempfile.TemporaryDirectory() as made:
        source, program = Path(made) / "main.go", Path(made) / "pause"
        source.write_text(PAUSE_PROGRAM)
        command = ["go", "build", "-ldflags=-s -w", "-o", str(program), str(source)]
        subprocess.run(["env", "CGO_ENABLED=0", *command], check=True)
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            archive.add(program, "pause")
    return _archive(folder / "pause.tar", layer.getvalue())


def trial(state: Path) -> Path:
    """The archive of the trial's image, built by its Dockerfile on a base of Debian's own packages."""
    base, archive = _base(), state / "trial.tar"
    _buildah(state, "pull", "--quiet", f"docker-archive:{base}")
    with tempfile.TemporaryDirectory() as name:
        context = Path(name)
        shutil.copytree(ROOT / "tests" / "kubernetes" / "trial", context, dirs_exist_ok=True)
        _install(context / "lib")
        _buildah(state, "build", "--pull=never", "--isolation=chroot", "--quiet", "-t", f"{TRIAL}:1", str(context))
    archive.unlink(missing_ok=True)
    _buildah(state, "push", "--quiet", f"{TRIAL}:1", f"docker-archive:{archive}:{TRIAL}:1")
    return archive


def tag(version: str, state: Path) -> None:
    """Gives the trial's image, on the node, one more version."""
    command = ["ctr", "--address", str(state / "containerd.sock"), "-n", "k8s.io", "images", "tag", "--force"]
    subprocess.run([*command, f"{TRIAL}:1", f"{TRIAL}:{version}"], check=True, capture_output=True)


def _base() -> Path:
    """The archive of what the Dockerfile's FROM names, made once: no registry is asked for it."""
    kept = podman.CACHE / f"python-{podman.SUITE}.tar"
    if kept.exists():
        return kept
    podman.Podman().base(BASE)
    partial = kept.with_suffix(".part")
    partial.unlink(missing_ok=True)
    podman.Podman().run("save", "--quiet", "--format", "docker-archive", "--output", str(partial), BASE)
    return partial.rename(kept)


def _install(folder: Path) -> None:
    """What the two packages of this tree need, for the base's own Python."""
    uv = Path(sys.executable).with_name("uv")
    target = ["--target", str(folder), "--python-version", "3.11", "--constraint", str(ROOT / "requirements.lock")]
    packages = [str(ROOT), str(ROOT / "examples" / "search-service")]
    subprocess.run(
        [str(uv), "pip", "install", "--quiet", "--no-sources", *target, *packages], check=True, cwd=folder.parent
    )


def _buildah(state: Path, *words: str) -> str:
    storage = ["--root", str(state / "storage"), "--runroot", str(state / "storage-run"), "--storage-driver", "vfs"]
    ran = subprocess.run(["buildah", *storage, *words], check=True, stdout=subprocess.PIPE, text=True)
    return ran.stdout.strip()


def load(archive: Path, state: Path) -> None:
    """Gives an archive, of Docker's or OCI's form, to the node."""
    address = str(state / "containerd.sock")
    command = ["ctr", "--address", address, "-n", "k8s.io", "images", "import", "--no-unpack", str(archive)]
    subprocess.run(command, check=True, capture_output=True)


def _archive(path: Path, layer: bytes) -> Path:
    digest = hashlib.sha256(layer).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        for name, content in (
            ("layer.tar", layer),
            ("config.json", json.dumps(config).encode()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
