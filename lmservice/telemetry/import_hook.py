"""What is to be done once a module has been imported, by whomever: nothing is imported for it."""

import contextlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType


def when_imported(name: str, then: Callable[[], None], undo: contextlib.ExitStack) -> None:
    """Call `then` once a module is imported: at once where it has been."""
    if name in sys.modules:
        then()
        return
    hook = _ImportHook(name, then)
    sys.meta_path.insert(0, hook)
    undo.callback(hook.remove)


class _ImportHook:
    """Calls `then` once, right after the module `name` has been imported for the first time."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(self, name: str, *_path_and_target: object) -> ModuleSpec | None:
        if name != self._name:
            return None
        self.remove()
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_then(module: ModuleType) -> None:
                execute(module)
                self._then()

            spec.loader.exec_module = execute_then  # type: ignore[method-assign]
        return spec

    def remove(self) -> None:
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self)
