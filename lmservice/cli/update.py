"""`lmservice new --update`: a service's template rendered again, and merged into the service as git would merge it.

Three trees meet: the service as it was made, which it keeps as an archive of its own; the service as this lmservice
makes it of the kept answers; and the service as it is now.
"""

import subprocess
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from lmservice.cli import template, wheel
from lmservice.cli.merge import Merge, merged
from lmservice.cli.new import understood_answers
from lmservice.cli.tree import ARCHIVE, File, read_archive, read_tree
from lmservice.errors import ExitCode, UsageError
from lmservice.version import __version__

_PROJECT = Path("pyproject.toml")
_WHEELS = Path("wheels")
_SHOWN = 3
"""How many of the files that git does not have are named."""


def update(words: Sequence[str]) -> ExitCode:
    """Render the template of the service in this folder again, merge that, and say what became of it.

    Args:
        words: `NAME=VALUE` answers that differ from those that the service keeps.

    Returns:
        FINDINGS where something is left for a person to decide, else CLEAN.

    Raises:
        UsageError: this is no service's folder, git does not keep all that is in it, or an answer is wrong. Nothing has
            changed.
        MissingExtraError: cookiecutter is not installed: the extra `lmservice[new]` brings it.
    """
    template.must_be_usable()
    plain = [word for word in words if "=" not in word]
    if plain:
        raise UsageError(f"--update takes NAME=VALUE alone, not {plain[0]!r}: run it in the service's folder")
    kept, version = _kept()
    answers = _answers(kept, understood_answers(words))
    old = read_archive(Path(ARCHIVE))
    _must_be_kept_by_git()
    with tempfile.TemporaryDirectory(prefix="lmservice-update-") as folder:
        made = template.render(folder, answers)
        archive = (made / ARCHIVE).read_bytes()
        merge = merged(
            old, read_tree(made), Path(), labels=("yours", f"lmservice {version}", f"lmservice {__version__}")
        )
    _write(merge, archive)
    _tell(merge, version)
    return ExitCode.FINDINGS if merge.conflicts or merge.left else ExitCode.CLEAN


def _kept() -> tuple[dict[str, str], str]:
    """Return the answers that the service keeps, and the version of lmservice that made it."""
    try:
        table = tomllib.loads(_PROJECT.read_text()).get("tool", {}).get("lmservice", {})
        answers, version = table.get("answers"), table.get("template")
    except FileNotFoundError:
        answers = version = None
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"{_PROJECT} cannot be read: {error}") from None
    if not isinstance(answers, dict) or not isinstance(version, str):
        raise UsageError(
            f"{Path.cwd()} keeps no answers of lmservice new: they are template and answers in [tool.lmservice] of "
            f"{_PROJECT}; run this in the service's folder"
        )
    known = template.names()
    return {name: str(answer) for name, answer in answers.items() if name in known}, version


def _answers(kept: Mapping[str, str], changed: Mapping[str, str]) -> dict[str, str]:
    if changed.get("project_name", kept.get("project_name")) != kept.get("project_name"):
        raise UsageError("project_name cannot change by an update, as every file is named by it: make a new service")
    answers = {**kept, **changed}
    if reasons := template.problems(answers):
        raise UsageError("\n".join(f"{reason} (from {_PROJECT})" for reason in reasons))
    return answers


def _must_be_kept_by_git() -> None:
    """Raise unless git has all that is in this folder, so that every change can be seen and taken back."""
    known = _git("ls-files", "--error-unmatch", "--", str(_PROJECT), ARCHIVE)
    if known.returncode:
        reason = " ".join(known.stderr.split())
        raise UsageError(f"git does not keep this service ({reason}): git init, git add . and git commit first")
    paths = [line[3:] for line in _git("status", "--porcelain", "--untracked-files=all", "--", ".").stdout.splitlines()]
    if paths:
        more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        shown = f"{', '.join(paths[:_SHOWN])}{more}"
        raise UsageError(f"an update is merged into what git has: commit or stash first: {shown}")


def _git(*words: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(["git", *words], capture_output=True, text=True, errors="replace", check=False)  # noqa: S603, S607 - the user's own git
    except FileNotFoundError:
        raise UsageError("git is not installed, which merges the template's changes with yours: install it") from None


def _write(merge: Merge, archive: bytes) -> None:
    try:
        for path, file in merge.changes.items():
            _place(Path(path), file)
        Path(ARCHIVE).write_bytes(archive)
        if _WHEELS.is_dir():
            wheel.put_into(_WHEELS)
    except OSError as error:
        reason = f"{error.filename} cannot be written: {error.strerror}"
        raise UsageError(f"{reason}: `git restore . && git clean -f` takes back what was done until then") from None


def _place(path: Path, file: File | None) -> None:
    if file is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.content)
    path.chmod(0o755 if file.executable else 0o644)


def _tell(merge: Merge, version: str) -> None:
    lines = [f"{path}: conflicts, marked in it" for path in merge.conflicts]
    lines += [f"{path}: {reason}" for path, reason in merge.left.items()]
    summary = f"made by lmservice {version}, and now as lmservice {__version__} makes it: "
    changes = len(merge.changes)
    summary += f"{changes} file{'s' * (changes != 1)} changed (git diff)" if changes else "nothing else changed"
    if lines:
        summary += "; for you to decide:"
    print("\n  ".join([summary, *lines]))  # noqa: T201 - the command's output
