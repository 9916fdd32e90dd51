"""What is to be released: a service, an artifact, and where its manifests are. Each word gives a new request."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from lmservice.deploy.errors import DeployUsageError

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?")
_PART = r"[a-z0-9]+([._-]+[a-z0-9]+)*"
_IMAGE = re.compile(rf"([a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]+)?/)?{_PART}(/{_PART})*")
_VERSION = re.compile(r"\w[\w.-]{0,127}|sha256:[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Artifact:
    """An image at a version, which is a tag or a digest (`sha256:...`)."""

    image: str
    version: str

    def __str__(self) -> str:
        return f"{self.image}{'@' if self.version.startswith('sha256:') else ':'}{self.version}"


@dataclass(frozen=True)
class Source:
    """Where the manifests are: a folder of a Git repository at a revision, or of this machine."""

    path: str
    repository: str = ""
    revision: str = ""


@dataclass(frozen=True)
class DeployRequest:
    """A service to release; `with_artifact` and one of `from_git_repo` and `from_folder` complete it.

    Args:
        service: its name, which is that of its Deployment.

    Raises:
        DeployUsageError: from each method, where what it is given cannot be right.
    """

    service: str
    artifact: Artifact | None = None
    source: Source | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.service):
            raise DeployUsageError(
                f"{self.service!r} cannot name a service: give up to 52 of a-z, 0-9 and -, beginning with a letter"
            )

    def with_artifact(self, image: str, version: str | int) -> Self:
        """Release this image; `version` is its tag or its digest."""
        if not _IMAGE.fullmatch(image):
            raise DeployUsageError(f"{image!r} is no image's name: give one like registry.intra/{self.service}")
        if not _VERSION.fullmatch(str(version)) or version == "latest":
            raise DeployUsageError(f"{version!r} is no version: give a tag other than latest, or sha256:...")
        return replace(self, artifact=Artifact(image, str(version)))

    def from_git_repo(self, repository: str, *, path: str = "deploy", revision: str = "HEAD") -> Self:
        """Take the overlays from `path` of a Git repository, at a branch, a tag or a commit.

        `git.intra/team/service` means https; any URL that git knows, `git@host:path` and a folder do as well.
        """
        if not repository or repository.startswith("-") or not revision or revision.startswith("-"):
            raise DeployUsageError(f"{repository!r} at {revision!r} is no Git repository at a revision")
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise DeployUsageError(f"path {path!r} must lie within the repository")
        return replace(self, source=Source(path, repository, revision))

    def from_folder(self, path: str | Path = "deploy") -> Self:
        """Take the overlays from a folder of this machine, as a pipeline that has checked out the repository does."""
        return replace(self, source=Source(str(path)))
