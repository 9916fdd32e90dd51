"""The rules for secret files: each file of a Secret that is mounted where the service reads secrets has a setting."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import Object, Path, mapping
from lmservice.manifests.workload import Workload
from lmservice.settings.sources import DEFAULT_SECRETS_DIR
from lmservice.settings.variables import PREFIX, SECRETS_DIR, fields_by_variable


class SecretFile(NamedTuple):
    """A file that a volume of the pod makes of a Secret's key.

    Attributes:
        name: the file's, in the volume.
        object: what gives it its name: the Secret, or the workload by `items`.
        path: where in that.
    """

    name: str
    object: Object
    path: Path


def judge(workload: Workload) -> Iterator[Finding]:
    """Find files in the folder of secrets that no setting reads, of Secrets that are among the manifests."""
    folder = _folder(workload)
    known = set(fields_by_variable(workload.settings_class))
    for mount in _mounts(workload):
        place = PurePosixPath(str(mount.get("mountPath")))
        for file in _files(workload, str(mount.get("name"))):
            single = mount.get("subPath")
            if single is None and _normal(place) == folder:
                yield from _unread(file, file.name, folder, known)
            elif single == file.name and _normal(place.parent) == folder:
                yield from _unread(file, place.name, folder, known)


def _folder(workload: Workload) -> PurePosixPath:
    folder = {**workload.outside, **workload.variables.known}.get(SECRETS_DIR)
    return _normal(PurePosixPath(folder or DEFAULT_SECRETS_DIR))


def _normal(path: PurePosixPath) -> PurePosixPath:
    """Return the same path without `/var/run`, which is a link to `/run` in every image."""
    return PurePosixPath("/run", *path.parts[3:]) if path.parts[:3] == ("/", "var", "run") else path


def _mounts(workload: Workload) -> Iterator[Any]:
    return (mount for _, mount in workload.object.entries(*workload.container, "volumeMounts"))


def _files(workload: Workload, volume: str) -> Iterator[SecretFile]:
    for path, entry in workload.object.entries(*workload.pod, "volumes"):
        if entry.get("name") != volume:
            continue
        yield from _of_source(workload, (*path, "secret"), "secretName")
        for inner, _ in workload.object.entries(*path, "projected", "sources"):
            yield from _of_source(workload, (*inner, "secret"), "name")


def _of_source(workload: Workload, path: Path, key: str) -> Iterator[SecretFile]:
    source = workload.object.mapping(*path)
    for secret in workload.variables.maps("Secret"):
        if secret.name != source.get(key):
            continue
        if source.get("items"):
            for inner, item in workload.object.entries(*path, "items"):
                yield SecretFile(str(item.get("path")), workload.object, (*inner, "path"))
        else:
            for part in ("data", "stringData"):
                for name in mapping(secret.value(part)):
                    yield SecretFile(str(name), secret, (part, str(name)))


def _unread(file: SecretFile, name: str, folder: PurePosixPath, known: set[str]) -> Iterator[Finding]:
    """Judge a file by its name; one that resembles no setting may be the service's own business."""
    spelt = name.upper().replace("-", "_")
    near = get_close_matches(spelt, known, n=1, cutoff=0.7) or get_close_matches(
        PREFIX + spelt, known, n=1, cutoff=0.85
    )
    if name.upper() not in known and (near or spelt.startswith(PREFIX)):
        fix = f"did you mean {near[0]}?" if near else "remove it, or declare it in the service's Settings"
        yield file.object.finding(file.path, name, f"no setting reads a file of that name in {folder}", fix)
