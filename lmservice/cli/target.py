"""`MODULE:SERVICE`: importing the service that a command names."""

import importlib
import importlib.metadata
import importlib.util
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lmservice.cli import lazy_imports
from lmservice.errors import LmserviceError, UsageError
from lmservice.service import Service
from lmservice.telemetry.frames import owner


def load(target: str) -> Service:
    """Import the service, from the current directory or from what is installed.

    Raises:
        UsageError: in one line, what of the target is wrong.
    """
    module_name, colon, attribute = target.partition(":")
    if not (module_name and colon and attribute):
        raise UsageError(f"{target!r} must be MODULE:SERVICE, for example hello:service")
    value: Any = _import(module_name)
    _resolve(module_name)
    for part in attribute.split("."):
        try:
            value = getattr(value, part)
        except Exception as error:  # noqa: BLE001 - whatever stands behind the name
            if _says_that_it_lacks(error, part):
                raise UsageError(f"module {module_name!r} has no {attribute!r}{_services_in(module_name)}") from None
            raise UsageError(f"reading {target!r} failed: {_said(error)}{_place(error)}") from None
    if not isinstance(value, Service):
        kind = type(value).__name__
        raise UsageError(f"{target} is a {kind}, not a Service: wrap an ASGI app as Service('name', app=...)")
    return value


def _import(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        absent = error.name and (name == error.name or name.startswith(f"{error.name}."))
        if absent and not _place(error):
            raise UsageError(_absence(name, here)) from None
        raise UsageError(_failure(name, error)) from None
    except LmserviceError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the module raises is its import failing
        raise UsageError(_failure(name, error)) from None


def _absence(name: str, here: str) -> str:
    """Say that there is no such module, and what was meant, or that what is installed cannot be imported."""
    package = name.partition(".")[0]
    absence = f"there is no module {name!r}, neither in {here} nor installed"
    if importlib.util.find_spec(package) is None and (installed := _installed(package)):
        return f"{installed} is installed, but module {package!r} cannot be found: install it anew"
    near = get_close_matches(name, _modules(here), n=1)
    return f"{absence}: did you mean {near[0]!r}?" if near else absence


def _installed(package: str) -> str:
    try:
        distribution = importlib.metadata.distribution(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return ""
    return f"{distribution.metadata['Name']} {distribution.version}"


def _modules(folder: str) -> list[str]:
    """List the modules of a folder, and those of the packages in it."""
    modules = [path.stem for path in Path(folder).glob("*.py")]
    for path in Path(folder).glob("*/*.py"):
        if path.parent.name.isidentifier() and path.stem.isidentifier():
            modules += [path.parent.name, f"{path.parent.name}.{path.stem}"]
    return sorted({module for module in modules if not module.endswith("__")})


def _resolve(name: str) -> None:
    try:
        lazy_imports.resolve(name)
    except lazy_imports.LazyImportError as error:
        what = f"importing {error.module!r} failed at its lazy import of {error.wanted!r}"
        place = f" ({error.place})" if error.place else ""
        cause = error.__cause__ or error
        raise UsageError(f"{what}{place}: {_said(cause)}{_place(cause)}") from None


def _says_that_it_lacks(error: Exception, name: str) -> bool:
    """Return whether it is the attribute that is missing, not one somewhere in the code that makes it."""
    if not isinstance(error, AttributeError) or error.name not in (None, name):
        return False
    _, *within = traceback.extract_tb(error.__traceback__)  # but for where it is asked for
    return not within or [frame.name for frame in within] in (["__getattr__"], ["__getattribute__"])


def _failure(name: str, error: BaseException) -> str:
    return f"importing {name!r} failed: {_said(error)}{_place(error)}"


def _said(error: BaseException) -> str:
    try:
        message = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - a __str__ of somebody's own
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _place(error: BaseException) -> str:
    """Return where in the user's own code it was: the innermost frame outside of what is installed, if there is one."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen")
        and frame.filename not in (__file__, importlib.__file__, lazy_imports.__file__)
    ]
    own = [frame for frame in frames if not owner(frame.filename)]
    innermost = (own or frames)[-1:]
    return "".join(f" ({frame.filename}, line {frame.lineno})" for frame in innermost)


def _services_in(module_name: str) -> str:
    names = [name for name, value in vars(sys.modules[module_name]).items() if isinstance(value, Service)]
    return f": its services are {', '.join(sorted(names))}" if names else ", and no Service under another name"
