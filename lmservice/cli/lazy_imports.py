"""Lazy imports of a program (PEP 810, Python 3.15), which are done before its service starts.

Left lazy, an import that fails does so behind readiness, and the first request that needs one waits for it on the
event loop. The standard library's, and those of what is installed beside the program, stay lazy: they may never be
needed.
"""

import os
import sys
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_INSTALLED = ("/site-packages/", "/dist-packages/")
_PYTHONS = f"{Path(os.__file__).parent}/"
_LAZY: Any = getattr(types, "LazyImportType", None)


class LazyImportError(Exception):
    """A lazy import that fails; what it fails with is the cause.

    Attributes:
        module: the name of the module that has it.
        wanted: what it imports.
        place: file and line of the statement, as far as known.
    """

    def __init__(self, module: str, wanted: str, place: str) -> None:
        super().__init__(f"the lazy import of {wanted!r} in {module!r} fails")
        self.module, self.wanted, self.place = module, wanted, place


def resolve(program: str) -> None:
    """Do all imports that the program's modules have put off, and those of the modules that are imported by that.

    The program's are the modules of the package `program`, and whatever is neither installed nor Python's own.

    Raises:
        LazyImportError: one that fails.
    """
    if _LAZY is None:
        return
    seen: set[str] = set()
    while modules := {name: module for name, module in _modules_of(program) if name not in seen}:
        seen |= modules.keys()
        for name, module in modules.items():
            for attribute, value in list(vars(module).items()):
                if type(value) is _LAZY:
                    _import(name, module, attribute, repr(value))


def _import(name: str, module: types.ModuleType, attribute: str, text: str) -> None:
    try:
        getattr(module, attribute)  # which puts what it names in its place
    except (Exception, SystemExit) as error:
        raise LazyImportError(name, text.split("'")[1], _statement(error)) from error


def _statement(error: BaseException) -> str:
    """Return where the statement is, which Python tells as the last cause of what the import fails with."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    frames = traceback.extract_tb(cause.__traceback__)
    if cause is error or not isinstance(cause, ImportError) or not frames:
        return ""
    return f"{frames[-1].filename}, line {frames[-1].lineno}"


def _modules_of(program: str) -> Iterator[tuple[str, types.ModuleType]]:
    package = program.partition(".")[0]
    loaded: list[tuple[str, Any]] = list(sys.modules.items())  # whatever somebody has put there
    for name, module in loaded:
        root = name.partition(".")[0]
        if isinstance(module, types.ModuleType) and (root == package or (root != "lmservice" and _is_own(module))):
            yield name, module


def _is_own(module: types.ModuleType) -> bool:
    file = vars(module).get("__file__")
    return isinstance(file, str) and not file.startswith(_PYTHONS) and not any(part in file for part in _INSTALLED)
