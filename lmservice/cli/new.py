"""`lmservice new`: a new service, from the template that the wheel carries, or that of a service again.

A service is made in a folder beside its place and moved there whole.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from lmservice.cli import questions, template, wheel
from lmservice.errors import ExitCode, UsageError

_NAME = "project_name"


def new(words: Sequence[str], *, no_input: bool = False, replay: bool = False) -> ExitCode:
    """Make a service in a new folder, and say what to do next.

    Args:
        words: `NAME=VALUE` answers, the folder in which the service's own is made (default the current one), and the
            project's name: a word that is neither an answer, nor a folder, nor has a `/`.
        no_input: nothing is asked: what is not given is the template's default.
        replay: the answers are those of the last time.

    Raises:
        UsageError: of these answers no service can be made, or its folder exists already. Nothing is left behind.
        MissingExtraError: cookiecutter is not installed: the extra `lmservice[new]` brings it.
    """
    template.must_be_usable()
    parent, answers = _understood(words)
    if replay and (no_input or answers):
        raise UsageError("--replay takes all answers from the last time: give it no NAME=VALUE and no --no-input")
    if _NAME in answers:
        _must_be_free(parent / answers[_NAME])
    if not (no_input or replay):
        answers = questions.ask(answers, lambda name, answer: _taken(parent / answer) if name == _NAME else "")
    try:
        with tempfile.TemporaryDirectory(prefix=".lmservice-new-", dir=parent) as folder:
            made = template.render(folder, answers, replay=replay)
            carried = wheel.put_into(made / "wheels")
            place = parent / made.name
            _must_be_free(place)
            made.rename(place)
    except OSError as error:
        raise UsageError(f"nothing can be made in {parent}: {error.strerror}: name another folder") from None
    _explain(place, carried)
    return ExitCode.CLEAN


def understood_answers(words: Sequence[str]) -> dict[str, str]:
    """Return the answers of `NAME=VALUE` words.

    Raises:
        UsageError: with all that is wrong with them, a line each.
    """
    answers = dict(_pair(word) for word in words)
    if reasons := template.problems(answers):
        raise UsageError("\n".join(reasons))
    return answers


def _understood(words: Sequence[str]) -> tuple[Path, dict[str, str]]:
    plain = [word for word in words if "=" not in word]
    names = [word for word in plain if "/" not in word and not Path(word).is_dir()]
    folders = [word for word in plain if word not in names]
    if len(folders) > 1:
        raise UsageError(f"{' and '.join(folders)} are two folders: give one, and answers as NAME=VALUE")
    parent = Path(*folders)
    if not parent.is_dir():
        raise UsageError(f"there is no folder {parent}: make it first, or name another")
    pairs = [*(word for word in words if "=" in word), *(f"{_NAME}={name}" for name in names)]
    asked = [word for word in pairs if word.startswith(f"{_NAME}=")]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(word.partition('=')[2] for word in asked)} are two names: give one")
    return parent, understood_answers(pairs)


def _pair(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    template.must_be_known(name)
    return name, value


def _taken(place: Path) -> str:
    return f"{place} exists already: choose another {_NAME}, or move it away" if place.exists() else ""


def _must_be_free(place: Path) -> None:
    if reason := _taken(place):
        raise UsageError(reason)


def _explain(place: Path, carried: Path | None) -> None:
    source = f"wheels/{carried.name}, which git does not keep" if carried else "your package index"
    print(  # noqa: T201 - the command's output
        f"{place.name} is in {place.resolve()}. There\n"
        "  make serve   runs it\n"
        "  make test    runs its checks and tests\n"
        f"lmservice comes from {source}. README.md says more."
    )
