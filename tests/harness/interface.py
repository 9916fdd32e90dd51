"""The public face as text, a line each: names, signatures with their defaults, commands, settings, endpoints, metrics.

Types are left out, as the ways that they are spelt differ between versions of Python; mypy looks after those.
"""

import argparse
import dataclasses
import enum
import importlib
import inspect
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from lmservice import names
from lmservice.cli import deploy, parser
from lmservice.deploy import DeploySettings
from lmservice.errors import ExitCode
from lmservice.management.endpoints import Endpoints
from lmservice.settings.fields import type_name
from lmservice.settings.model import Settings

if TYPE_CHECKING:
    from lmservice.management.managed import Managed

MODULES = {
    "lmservice": None,
    "lmservice.testing": ("Running", "captured_logs", "running", "virtual_time"),
    "lmservice.deploy": None,
    "lmservice.manifests": None,
}
"""Each public module, and its public names where it has no `__all__`."""


def render() -> str:
    """The whole, section by section."""
    sections = {f"module {name}": _module(name, given) for name, given in MODULES.items()}
    sections |= {
        "exit codes": (f"{code.value} {code.name}" for code in ExitCode),
        "commands": _commands(),
        "settings": _settings(Settings),
        "settings of releases": _settings(DeploySettings),
        "management endpoints": _endpoints(),
        "metrics": iter(sorted(value for name, value in vars(names).items() if name.isupper())),
    }
    return "\n".join(f"[{title}]\n" + "".join(f"{line}\n" for line in lines) for title, lines in sections.items())


def _module(name: str, given: tuple[str, ...] | None) -> Iterator[str]:
    module = importlib.import_module(name)
    for each in sorted(given or module.__all__):
        value = getattr(module, each)
        if inspect.isclass(value):
            yield from _class(each, value)
        else:
            yield (
                f"{each}{_signature(value)}" if inspect.isroutine(value) else each
            )  # a type's alias is called by nobody


def _class(name: str, cls: type) -> Iterator[str]:
    settings = issubclass(cls, BaseSettings)
    roots = ", ".join(root.__name__ for root in cls.__bases__ if root is not object)
    yield f"class {name}{'' if settings else _signature(cls)}" + (f" is {roots}" if roots else "")
    known = BaseSettings if settings else object
    members = {member for home in cls.__mro__ if home.__module__.startswith("lmservice") for member in vars(home)}
    for member in sorted(members - _fields(cls)):
        if not member.startswith("_") and not hasattr(known, member):
            yield f"    {name}.{member}{_member(cls, member)}"


def _fields(cls: type) -> set[str]:
    """What a class shows elsewhere: settings in their section, a dataclass's fields in its signature."""
    if issubclass(cls, BaseSettings):
        return set(cls.model_fields)
    return {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()


def _member(cls: type, name: str) -> str:
    value = inspect.getattr_static(cls, name)
    if _is_method(value):
        return _signature(getattr(cls, name))
    return f" = {_shown(value)}" if isinstance(value, enum.Enum) else ""


def _is_method(value: object) -> bool:
    return inspect.isfunction(value) or isinstance(value, classmethod | staticmethod)


def _signature(value: Any) -> str:
    """As it is called, without types; nothing for what Python itself gives a signature, as an exception's."""
    try:
        signature = inspect.signature(value)
    except ValueError:
        return ""
    plain = [
        each.replace(
            annotation=inspect.Parameter.empty,
            default=each.default if each.default is each.empty else _Shown(each.default),
        )
        for each in signature.parameters.values()
    ]
    return str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))


class _Shown:
    """A default whose text is the same in every run."""

    def __init__(self, value: object) -> None:
        self._text = _shown(value)

    def __repr__(self) -> str:
        return self._text


def _shown(value: object) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, frozenset | set):
        return f"{{{', '.join(sorted(map(repr, value)))}}}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__}({'' if value == type(value)() else '...'})"
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    if isinstance(value, tuple) and value and not isinstance(value[0], str | int | float):
        return ", ".join(map(str, value))
    text = repr(value)
    return type(value).__name__ if " at 0x" in text else text


def _commands() -> Iterator[str]:
    for path, each in (("lmservice", parser.parser()), ("lmservice deploy", deploy.parser())):
        yield from _listed(path, each, *_of_commands(each))


def _listed(path: str, parser: argparse.ArgumentParser, subparsers: Any = None) -> Iterator[str]:
    """A parser's own words, then those of each of its commands; what its help hides is not public."""
    hidden = (subparsers, *(each for each in parser._actions if each.help == argparse.SUPPRESS or each.dest == "help"))
    yield " ".join([path, *(_word(action) for action in parser._actions if action not in hidden)])
    shown = [each.dest for each in subparsers._choices_actions] if subparsers else []
    for name in shown:
        below = subparsers.choices[name]
        yield from _listed(f"{path} {name}", below, *_of_commands(below))


def _of_commands(parser: argparse.ArgumentParser) -> list[Any]:
    return [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]


def _word(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    choices = f" of {'|'.join(map(str, action.choices))}" if action.choices else ""
    default = "" if action.default in (None, False, argparse.SUPPRESS, []) else f"={action.default}"
    text = " ".join(filter(None, ["|".join(action.option_strings), f"{value}{default}"])) + choices
    return f"[{text}]" if action.option_strings and not action.required else f"<{text}>"


def _settings(cls: type[BaseSettings]) -> Iterator[str]:
    for name, field in cls.model_fields.items():
        default = field.default if field.default is not PydanticUndefined else _made(field.default_factory)
        yield f"{cls.model_config['env_prefix']}{name.upper()}: {type_name(field.annotation)} = {_shown(default)}"


def _made(factory: Any) -> object:
    """What a factory makes; the host's name differs from machine to machine, so it is told by its name."""
    return factory if factory.__name__ == "gethostname" else factory()


def _endpoints() -> Iterator[str]:
    endpoints = Endpoints(cast("Managed", SimpleNamespace(settings=Settings())))
    for path, methods in sorted(endpoints.routes.items()):
        for method, endpoint in methods.items():
            restricted = hasattr(endpoint, "__wrapped__")
            yield f"{method} {path}" + (" (peers in LM_MANAGEMENT_ALLOW)" if restricted else "")
