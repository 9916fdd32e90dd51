"""Images without a registry: made here, handed to the node's containerd."""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "harness"))

from podman import Podman

ROOT = Path(__file__).resolve().parents[3]
PAUSE = "registry.local/pause:1"
SEARCH = "registry.local/search-service"
TRIAL = "registry.local/trial"
VERSIONS = ("1", "2", "3", "4", "5")
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


def services(state: Path) -> Path:
    """The archive of two images, each made by its Dockerfile: the search service's, and the trial's, which is on it."""
    podman, archive = Podman(), state / "services.tar"
    podman.build_search_service(f"{SEARCH}:1")
    podman.build(ROOT / "tests" / "kubernetes" / "trial", f"{TRIAL}:1", f"--build-arg=SERVICE_IMAGE={SEARCH}:1")
    archive.unlink(missing_ok=True)
    save = ["save", "--quiet", "--multi-image-archive", "--format=docker-archive", f"--output={archive}"]
    podman.run(*save, f"{SEARCH}:1", f"{TRIAL}:1")
    return archive


def tag(name: str, version: str, state: Path) -> None:
    """Gives an image, on the node, one more version."""
    command = ["ctr", "--address", str(state / "containerd.sock"), "-n", "k8s.io", "images", "tag", "--force"]
    subprocess.run([*command, f"{name}:1", f"{name}:{version}"], check=True, capture_output=True)


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
