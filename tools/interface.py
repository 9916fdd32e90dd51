"""The reference of the public API, from its source and docstrings."""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any, TypeGuard

_HEAD = """\
# Python API

Made from the docstrings by `./dev generate`. What is not here may change without notice.
"""
_MODULES = {
    "lmservice": (),
    "lmservice.errors": (),
    "lmservice.lifecycle": ("Lifecycle", "State"),
    "lmservice.telemetry.metrics": ("Metrics",),
    "lmservice.testing": ("running", "Running", "captured_logs", "virtual_time"),
    "lmservice.manifests": ("check", "Finding"),
    "lmservice.deploy": (),
}
"""The modules that services import from, and what of each is for them; default what it exports."""
_OWN = {
    "Lifecycle": {"attach", "advance", "stop", "hurry", "force"},
    "Metrics": {"on_scrape", "durations"},
}
"""Methods that are lmservice's own to call."""
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$")


def render() -> str:
    """The reference, in Markdown."""
    return "\n".join([_HEAD, *(line for name in _MODULES for line in _module(name))])


def _module(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    yield f"## `{name}`\n"
    for each in _MODULES[name] or _exported(module):
        found = getattr(module, each)
        if inspect.isclass(found) or inspect.isfunction(found):
            yield from _entry(each, found, level=3)


def _exported(module: ModuleType) -> list[str]:
    """What a module says that it exports, else what it defines."""
    defined = [name for name, found in vars(module).items() if getattr(found, "__module__", "") == module.__name__]
    return getattr(module, "__all__", defined)


def _entry(name: str, found: Any, level: int, within: str = "") -> Iterator[str]:
    yield f"{'#' * level} `{within}{name}`\n"
    tree = _source(found)
    if (signature := _signature(name, tree)) != name:
        yield f"```text\n{signature}\n```\n"
    yield from _docstring(inspect.getdoc(found) or "")
    if isinstance(tree, ast.ClassDef):
        for each in tree.body:
            inherited = any(hasattr(parent, getattr(each, "name", "")) for parent in found.__mro__[1:])
            if _is_public(each) and each.name not in _OWN.get(name, ()) and ast.get_docstring(each) and not inherited:
                yield from _method(each, level + 1, f"{name}.")


def _method(node: Any, level: int, within: str) -> Iterator[str]:
    decorators = {ast.unparse(each) for each in node.decorator_list}
    yield f"{'#' * level} `{within}{node.name}`\n"
    if "property" not in decorators:
        yield f"```text\n{_call(node.name, node)}\n```\n"
    yield from _docstring(inspect.cleandoc(ast.get_docstring(node) or ""))


def _is_public(node: ast.stmt) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")


def _source(found: Any) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(found))).body[0]


def _signature(name: str, tree: ast.AST) -> str:
    """As it is called: a class by its constructor, or the fields of a dataclass."""
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        return _call(name, tree)
    if not isinstance(tree, ast.ClassDef):
        return name
    makers = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
    if makers:
        return _call(name, makers[0])
    fields = [ast.unparse(each) for each in tree.body if isinstance(each, ast.AnnAssign)]
    if not fields or "dataclass" not in "".join(map(ast.unparse, tree.decorator_list)):
        return name
    return _wrapped(name, fields, "")


def _call(name: str, node: Any) -> str:
    """A function's arguments, without `self`, and what it gives."""
    arguments = [*node.args.posonlyargs, *node.args.args]
    gaps: list[Any] = [None] * (len(arguments) - len(node.args.defaults))
    words = [_argument(*pair) for pair in zip(arguments, [*gaps, *node.args.defaults], strict=True)]
    words = [word for word in words if word not in ("self", "cls")]
    if node.args.vararg or node.args.kwonlyargs:
        words.append(f"*{_argument(node.args.vararg, None) if node.args.vararg else ''}")
    words += [_argument(*pair) for pair in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
    if node.args.kwarg:
        words.append(f"**{_argument(node.args.kwarg, None)}")
    gives = ast.unparse(node.returns) if node.returns and name != "__init__" else ""
    start = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return start + _wrapped(name, words, "" if gives in ("", "None") else f" -> {_plain(gives)}")


def _argument(node: ast.arg, default: ast.expr | None) -> str:
    kind = f": {_plain(ast.unparse(node.annotation))}" if node.annotation else ""
    return f"{node.arg}{kind}" + (f" = {ast.unparse(default)}" if default is not None else "")


def _plain(annotation: str) -> str:
    """An annotation without the quotes of one that is not to be evaluated."""
    return annotation.strip("'\"")


def _wrapped(name: str, words: list[str], end: str) -> str:
    line = f"{name}({', '.join(words)}){end}"
    return line if len(line) <= 100 else f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){end}"  # noqa: PLR2004 - characters a line


def _docstring(text: str) -> Iterator[str]:
    """A docstring with its sections as lists."""
    section = False
    for line in text.splitlines():
        if match := _SECTION.match(line):
            section = True
            yield f"**{'Arguments' if match[1] == 'Args' else match[1]}**\n"
        elif section and re.match(r"    \S", line):
            name, separator, rest = line.strip().partition(": ")
            yield f"- `{name}`: {rest}" if separator else f"- {line.strip()}"
        elif section and line.strip():
            yield f"  {line.strip()}"
        else:
            yield line
    yield ""
