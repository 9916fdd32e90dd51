"""Importing a package's parts without its root, whose own code runs when somebody first asks the root for something.

For packages whose root imports far more than what is used of them: `import uvicorn.config` alone loads uvicorn's
command line too, which takes a tenth of a service's start.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any


def defer(package: str, *, keep: tuple[str, str]) -> None:
    """Put off the execution of `package`'s root; nothing happens where it has been imported already.

    Args:
        package: the package's name.
        keep: a module of the package, and a name in it, that the package's own parts ask the root for.
    """
    if package in sys.modules:
        return
    spec = importlib.util.find_spec(package)
    if spec is None or spec.loader is None:
        return
    root = importlib.util.module_from_spec(spec)
    root.__class__ = _Deferred
    sys.modules[package] = root
    module, name = keep
    setattr(root, name, getattr(importlib.import_module(module), name))


class _Deferred(ModuleType):
    """A package's root that has not been executed."""

    def __getattr__(self, name: str) -> Any:
        self.__class__ = ModuleType  # type: ignore[assignment] # an ordinary module from here on
        if self.__spec__ is not None and self.__spec__.loader is not None:
            self.__spec__.loader.exec_module(self)
        return getattr(self, name)
