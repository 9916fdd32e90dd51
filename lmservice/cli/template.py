"""The template of a service, which the wheel carries: where it is, what it asks, and what it makes of the answers.

It is cookiecutter's own: the user's configuration of cookiecutter counts here as with
`cookiecutter templates/cookiecutter`, and the rules that answers are held against are its hook's.
"""

import importlib.util
import json
import logging
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from lmservice.errors import MissingExtraError, UsageError

HIDDEN = ("repository", "service_port", "management_port")
"""What is derived, but may be given as well; in the template their names begin with `__`."""


def place() -> Path:
    """Find the template: inside the package, or beside it in a tree of the source."""
    package = Path(__file__).parents[1]
    for folder in (package, package.parent):
        if (folder / "templates" / "cookiecutter").is_dir():
            return folder / "templates" / "cookiecutter"
    raise UsageError(f"this lmservice has no template in {package}: install it anew")


def must_be_usable() -> None:
    """Raise where what renders the template is not installed.

    Raises:
        MissingExtraError: cookiecutter is not there: the extra `lmservice[new]` brings it.
    """
    try:
        import cookiecutter.main  # noqa: F401, PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"lmservice new needs cookiecutter ({error}): install lmservice[new]") from None


def names() -> list[str]:
    """Return the names of all answers that may be given."""
    return [*(name for name in json.loads((place() / "cookiecutter.json").read_text()) if name[0] != "_"), *HIDDEN]


def must_be_known(name: str) -> None:
    """Raise where the template has no such question.

    Raises:
        UsageError: with the name that was meant, or all there are.
    """
    known = names()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UsageError(f"the template asks nothing called {name!r}: {advice}")


def questions() -> dict[str, tuple[str, Any]]:
    """Return each question's words and its default: a text, a truth value, or a list whose first is the default."""
    from cookiecutter.config import get_user_config  # noqa: PLC0415 - an extra
    from cookiecutter.generate import generate_context  # noqa: PLC0415

    context = generate_context(
        str(place() / "cookiecutter.json"), default_context=get_user_config()["default_context"]
    )["cookiecutter"]
    words = context["__prompts__"]
    return {name: (words.get(name, name), default) for name, default in context.items() if name[0] != "_"}


def problems(answers: Mapping[str, str]) -> list[str]:
    """Return what is wrong with these answers, a line each, which begins with the answer's name."""
    return [line.removeprefix("__") for line in _rules().problems(_inner(answers))]


def render(folder: str, answers: Mapping[str, str], *, replay: bool = False) -> Path:
    """Make a service in `folder`, asking nothing, and return its own folder.

    Args:
        folder: where the service's own is made.
        answers: those that differ from the template's defaults.
        replay: the answers are those of cookiecutter's last run instead.

    Raises:
        UsageError: of these answers no service can be made.
    """
    from cookiecutter.exceptions import CookiecutterException, FailedHookException  # noqa: PLC0415 - an extra
    from cookiecutter.main import cookiecutter  # noqa: PLC0415

    logging.getLogger("cookiecutter").propagate = False  # what it logs of a refusal is said here in plain words, …
    logging.getLogger("cookiecutter").addHandler(logging.NullHandler())  # … not printed for want of a handler
    options: dict[str, Any] = {"replay": True} if replay else {"no_input": True, "extra_context": _inner(answers)}
    try:
        return Path(cookiecutter(str(place()), output_dir=folder, **options))
    except FailedHookException:
        raise UsageError("nothing was made") from None  # the hook has said why
    except FileNotFoundError as error:
        raise UsageError(f"there is nothing to replay: {error.filename} is not there") from None
    except (CookiecutterException, ValueError, OSError) as error:
        raise UsageError(f"no service could be made: {' '.join(str(error).split())}") from None


def _inner(answers: Mapping[str, str]) -> dict[str, str]:
    return {f"__{name}" if name in HIDDEN else name: answer for name, answer in answers.items()}


@cache
def _rules() -> Any:
    """Load what the template's own hook says of answers: one set of rules, whoever asks."""
    hook = place() / "hooks" / "pre_gen_project.py"
    spec = importlib.util.spec_from_file_location("lmservice_template_rules", hook)
    if spec is None or spec.loader is None:
        raise UsageError(f"{hook} cannot be read: install lmservice anew")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
