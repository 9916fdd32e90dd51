"""`lmservice new`: a new service, from the cookiecutter template that the wheel carries.

The template is cookiecutter's own: answers, `--replay` and the user's configuration are the same here as with
`cookiecutter templates/cookiecutter`. A service is made in a folder beside its place and moved there whole.
"""

import importlib.util
import json
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

from lmservice.errors import ExitCode, MissingExtraError, UsageError

_NAME = "project_name"
HIDDEN = ("repository", "service_port", "management_port")
"""What is derived, but may be given as well; in the template their names begin with `__`."""


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
    make = _cookiecutter()
    parent, given = _understood(words)
    if replay and (no_input or given):
        raise UsageError("--replay takes all answers from the last time: give it no NAME=VALUE and no --no-input")
    if "project_name" in given:
        _must_be_free(parent / given["project_name"])
    try:
        with tempfile.TemporaryDirectory(prefix=".lmservice-new-", dir=parent) as folder:
            made = make(folder, given, no_input=no_input, replay=replay)
            place = parent / made.name
            _must_be_free(place)
            made.rename(place)
    except OSError as error:
        raise UsageError(f"nothing can be made in {parent}: {error.strerror}: name another folder") from None
    _explain(place)
    return ExitCode.CLEAN


def template() -> Path:
    """Find the template: inside the package, or beside it in a tree of the source."""
    package = Path(__file__).parents[1]
    for place in (package, package.parent):
        if (place / "templates" / "cookiecutter").is_dir():
            return place / "templates" / "cookiecutter"
    raise UsageError(f"this lmservice has no template in {package}: install it anew")


class _Make(Protocol):
    def __call__(self, folder: str, given: Mapping[str, str], *, no_input: bool, replay: bool) -> Path: ...


def _cookiecutter() -> _Make:
    try:
        from cookiecutter.exceptions import CookiecutterException, FailedHookException  # noqa: PLC0415 - an extra
        from cookiecutter.main import cookiecutter  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"lmservice new needs cookiecutter ({error}): install lmservice[new]") from None

    logging.getLogger("cookiecutter").propagate = False  # what it logs of a refusal is said here in plain words, …
    logging.getLogger("cookiecutter").addHandler(logging.NullHandler())  # … not printed for want of a handler

    def make(folder: str, given: Mapping[str, str], *, no_input: bool, replay: bool) -> Path:
        answers = {"replay": True} if replay else {"no_input": no_input, "extra_context": _answers(given)}
        try:
            return Path(cookiecutter(str(template()), output_dir=folder, **answers))
        except FailedHookException:
            raise UsageError("nothing was made") from None  # the hook has said why
        except EOFError:
            raise UsageError("nobody answers on standard input: give NAME=VALUE and --no-input") from None
        except FileNotFoundError as error:
            raise UsageError(f"there is nothing to replay: {error.filename} is not there") from None
        except (CookiecutterException, ValueError, OSError) as error:
            raise UsageError(f"no service could be made: {' '.join(str(error).split())}") from None

    return make


def _answers(given: Mapping[str, str]) -> dict[str, str]:
    return {f"__{name}" if name in HIDDEN else name: value for name, value in given.items()}


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
    given = dict(_pair(word) for word in pairs)
    asked = [word for word in pairs if word.startswith(f"{_NAME}=")]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(word.partition('=')[2] for word in asked)} are two names: give one")
    if found := _rules()(_answers(given)):
        raise UsageError("\n".join(line.removeprefix("__") for line in found))
    return parent, given


def _pair(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    known = [*(name for name in json.loads((template() / "cookiecutter.json").read_text()) if name[0] != "_"), *HIDDEN]
    if name not in known:
        near = get_close_matches(name, known, n=1)
        advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UsageError(f"the template asks nothing called {name!r}: {advice}")
    return name, value


def _rules() -> Callable[[Mapping[str, str]], list[str]]:
    """Load what the template's own hook says of answers: one set of rules, whoever asks."""
    hook = template() / "hooks" / "pre_gen_project.py"
    spec = importlib.util.spec_from_file_location("lmservice_template_rules", hook)
    if spec is None or spec.loader is None:
        raise UsageError(f"{hook} cannot be read: install lmservice anew")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rules: Callable[[Mapping[str, str]], list[str]] = module.problems
    return rules


def _must_be_free(place: Path) -> None:
    if place.exists():
        raise UsageError(f"{place} exists already: choose another project_name, or move it away")


def _explain(place: Path) -> None:
    print(  # noqa: T201 - the command's output
        f"{place.name} is in {place.resolve()}. There, with lmservice's wheel in wheels/ or UV_FIND_LINKS naming its\n"
        "folder until it is on your index:\n"
        "  make serve   runs it\n"
        "  make test    runs its checks and tests\n"
        "README.md says more."
    )
