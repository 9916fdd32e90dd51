"""The types that a service's code has for its state, compared with what its start-up jobs give.

An endpoint takes `Request[ShopState]`, a job `state: ShopState`, a TypedDict: type checkers hold the code to it, and
nobody holds it to the jobs but this. What cannot be told for certain is let pass.
"""

import collections.abc
import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute

from lmservice.jobs.callables import Kind
from lmservice.jobs.startup_graph import RESERVED
from lmservice.service import Service

_UNKNOWN = object()
_GENERATORS = (collections.abc.AsyncIterator, collections.abc.AsyncGenerator, collections.abc.AsyncIterable)


def state_findings(service: Service) -> list[str]:
    """Return where a type of the state and the start-up jobs do not agree, a line each."""
    results = {job.name: _result(job.registered.function, job.registered.kind) for job in service.jobs}
    results["settings"] = service.settings_class
    return [line for kind in _state_types(service) for line in _differences(kind, results)]


def _differences(kind: type, results: Mapping[str, Any]) -> Iterator[str]:
    required: frozenset[str] = kind.__required_keys__  # type: ignore[attr-defined] # a TypedDict's
    hints = _hints(kind)
    for key in sorted(required - RESERVED - results.keys()):
        nearest = get_close_matches(key, results, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ": if something else does, make it NotRequired"
        yield f"{kind.__name__} has {key!r}, which no start-up job gives{hint}"
    for key in sorted(results.keys() & hints.keys()):
        if not _fits(results[key], hints[key]):
            source = "the service's settings are" if key == "settings" else f"the start-up job {key!r} gives"
            yield f"{kind.__name__} has {key!r} as {_shown(hints[key])}, and {source} {_shown(results[key])}"


def _state_types(service: Service) -> list[type]:
    """Return the TypedDicts that jobs, checks and endpoints have for the state, each once, in their order."""
    jobs, checks, periodic = service.jobs, service.checks, service.periodic_jobs
    registered = [one.registered for group in (jobs, checks, periodic) for one in group]
    functions = [one.function for one in registered]
    kinds = [kind for function in functions for kind in _parameter_types(function)[:1]]
    for endpoint in _endpoints(getattr(service.app, "routes", ())):
        for kind in _parameter_types(endpoint):
            if typing.get_origin(kind) is Request:
                kinds += typing.get_args(kind)
    return [kind for kind in dict.fromkeys(kinds) if typing.is_typeddict(kind)]


def _endpoints(routes: Iterable[BaseRoute]) -> Iterator[Callable[..., Any]]:
    for route in routes:
        endpoint = getattr(route, "endpoint", None)
        if endpoint is not None:
            yield inspect.unwrap(endpoint)
        yield from _endpoints(getattr(route, "routes", None) or ())


def _parameter_types(function: Callable[..., Any]) -> list[Any]:
    """Return the types of a function's parameters, without those that cannot be known."""
    hints = _hints(function)
    return [kind for name, kind in hints.items() if name != "return" and isinstance(kind, collections.abc.Hashable)]


def _hints(of: Any) -> dict[str, Any]:
    """Return the annotations of a function or class; each that names what is not there at run time is left out."""
    try:
        return typing.get_type_hints(of)
    except Exception:  # noqa: BLE001 - an annotation is any expression
        return dict(_single_hints(of))


def _single_hints(of: Any) -> Iterator[tuple[str, Any]]:
    for name, kind in _annotations(of).items():
        holder = type("Holder", (), {"__annotations__": {name: kind}, "__module__": getattr(of, "__module__", "")})
        try:
            yield name, typing.get_type_hints(holder, getattr(of, "__globals__", None))[name]
        except Exception:  # noqa: BLE001, S112 - as above
            continue


def _annotations(of: Any) -> Mapping[str, Any]:
    if sys.version_info >= (3, 14):
        from annotationlib import Format, get_annotations  # noqa: PLC0415 - new in 3.14

        return get_annotations(of, format=Format.FORWARDREF)
    return getattr(of, "__annotations__", {})


def _result(function: Callable[..., Any], kind: Kind) -> Any:
    """Return what a job is annotated to give; `_UNKNOWN` where that cannot be told."""
    returned = _hints(function).get("return", _UNKNOWN)
    if kind is not Kind.GENERATOR:
        return NoneType if returned is None else returned
    arguments = typing.get_args(returned)
    return arguments[0] if typing.get_origin(returned) in _GENERATORS and arguments else _UNKNOWN


def _fits(result: Any, wanted: Any) -> bool:
    """Return whether a result may be of the type that is wanted; true where that cannot be told."""
    if result == wanted or any(kind in (_UNKNOWN, Any, object) for kind in (result, wanted)):
        return True
    if _is_union(result):
        return all(_fits(part, wanted) for part in typing.get_args(result))
    if _is_union(wanted):
        return any(_fits(result, part) for part in typing.get_args(wanted))
    classes = [typing.get_origin(kind) or kind for kind in (result, wanted)]
    if not all(isinstance(kind, type) for kind in classes) or _is_structural(classes[1]):
        return True
    if not issubclass(*classes):
        return tuple(classes) in _PROMOTED
    pairs = zip(typing.get_args(result), typing.get_args(wanted), strict=False)
    return classes[0] is not classes[1] or all(_fits(one, other) for one, other in pairs)


_PROMOTED = frozenset({(int, float)})
"""What type checkers take for the other (PEP 484)."""


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, UnionType)


def _is_structural(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False)) or typing.is_typeddict(kind)


def _shown(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
