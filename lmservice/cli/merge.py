"""A merge of three trees of files: what a template made, what it makes now, and what a person has made of the first.

A file that only one side has changed is that side's; one that both have changed is merged by `git merge-file`, line by
line. What a person has changed or deleted is never lost.
"""

import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from lmservice.cli.tree import File, Tree, read_file

_MOST_CONFLICTS = 127
"""The exit code of `git merge-file` up to which it is the number of conflicts."""
Labels = tuple[str, str, str]
"""How conflicts are marked: a person's side, what both come from, the template's side."""


@dataclass(frozen=True)
class Merge:
    """What a merge comes to.

    Attributes:
        changes: what is to be written, by path; None is to be deleted.
        conflicts: the paths among the changes whose text has marks of conflicts.
        left: why what the template would change is left as it is, by path.
    """

    changes: dict[str, File | None] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def merged(old: Tree, new: Tree, folder: Path, *, labels: Labels) -> Merge:
    """Merge the step from `old` to `new` into a folder's files, which are read alone.

    Args:
        old: what the template made.
        new: what it makes now.
        folder: what became of the first.
        labels: how conflicts are marked.
    """
    merge = Merge()
    for path in sorted({*old, *new}):
        if old.get(path) == new.get(path):
            continue
        if _in_the_way(folder, path):
            merge.left[path] = "something else is in its place, and stays"
        else:
            own = read_file(folder / path) if (folder / path).exists() else None
            _merge_file(merge, path, old.get(path), new.get(path), own, labels)
    return merge


def _in_the_way(folder: Path, path: str) -> bool:
    """Return whether writing there would write elsewhere, or over what is no file."""
    place = folder / path
    above = [folder / parent for parent in Path(path).parents if parent != Path()]
    linked = any(part.is_symlink() or (part.exists() and not part.is_dir()) for part in above)
    return linked or place.is_symlink() or place.is_dir()


def _merge_file(merge: Merge, path: str, old: File | None, new: File | None, own: File | None, labels: Labels) -> None:
    if own == new:
        return
    if own == old:
        merge.changes[path] = new
    elif own is None:
        merge.left[path] = "you have deleted it; the template has changed it since"
    elif new is None:
        merge.left[path] = "the template has it no longer; you have changed it, and it stays"
    else:
        _merge_text(merge, path, old or File(b"", new.executable), new, own, labels)


def _merge_text(merge: Merge, path: str, old: File, new: File, own: File, labels: Labels) -> None:
    executable = new.executable if own.executable == old.executable else own.executable
    content, conflicts = _by_git(own.content, old.content, new.content, labels)
    if conflicts is None:
        merge.left[path] = "it is no text that can be merged; yours stays"
        return
    if File(content, executable) != own:
        merge.changes[path] = File(content, executable)
    if conflicts:
        merge.conflicts.append(path)


def _by_git(own: bytes, old: bytes, new: bytes, labels: Labels) -> tuple[bytes, int | None]:
    """Return the merged text and how many conflicts it has; None where it is no text."""
    with tempfile.TemporaryDirectory(prefix="lmservice-merge-") as folder:
        sides = [Path(folder, name) for name in ("own", "old", "new")]
        for side, content in zip(sides, (own, old, new), strict=True):
            side.write_bytes(content)
        named = [word for label in labels for word in ("-L", label)]
        command = ["git", "merge-file", "--stdout", "--diff3", *named, *map(str, sides)]
        ran = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    return ran.stdout, ran.returncode if 0 <= ran.returncode <= _MOST_CONFLICTS else None
