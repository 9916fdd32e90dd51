"""A tree of files as a value, read from a folder or from the archive in which a service keeps how it was made."""

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lmservice.errors import UsageError

ARCHIVE = ".lmservice/as-made.tar.gz"
"""Where a service keeps it; the template's hook writes it."""
_LARGEST = 16 * 1024 * 1024
"""The most that all of an archive's files may have, in bytes; the template's have a fiftieth of it."""


class File(NamedTuple):
    """What a file holds, and whether it is a program."""

    content: bytes
    executable: bool


Tree = dict[str, File]
"""Files by their paths below the tree's folder, with `/` between their parts."""


def read_tree(folder: Path) -> Tree:
    """Return all files in a folder but the archive."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: read_file(path) for name, path in paths.items() if name != ARCHIVE}


def read_file(path: Path) -> File:
    """Return what one file holds."""
    return File(path.read_bytes(), bool(path.stat().st_mode & 0o100))


def read_archive(path: Path) -> Tree:
    """Return the tree that an archive holds.

    Raises:
        UsageError: there is none, or it is damaged.
    """
    try:
        with tarfile.open(path, "r:gz") as archive:
            return dict(_members(archive))
    except FileNotFoundError:
        raise UsageError(
            f"{path} is not there, in which the service keeps how it was made: it was made by an older lmservice, or "
            "that was deleted (git log -- finds it)"
        ) from None
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        raise UsageError(f"{path} cannot be read: {error}: git restore brings back what was committed") from None


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, File]]:
    room = _LARGEST
    for member in archive:
        name = PurePosixPath(member.name)
        room -= member.size
        stored = archive.extractfile(member) if member.isfile() else None
        if stored is None or name.is_absolute() or ".." in name.parts or room < 0:
            raise ValueError(f"no template made its {member.name!r}")
        yield str(name), File(stored.read(), bool(member.mode & 0o100))
