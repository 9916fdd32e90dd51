"""What may be registered: by its signature, whose annotations nobody needs to be able to read."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from lmservice import Service

FUNCTIONS = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from nowhere_at_all import Database, Pool, State

async def coroutine(state: State) -> Pool: ...

def plain(state: State[Database]) -> Pool | None: ...

class Callable_:
    def __call__(self, state: State) -> Pool: ...

instance = Callable_()
"""
EVALUATED = sys.version_info < (3, 14)
"""Whether annotations are evaluated as a function is defined, unless the module asks for strings."""


def registered(service: Service) -> dict[str, Callable[[Any], Any]]:
    return {
        "start-up job": service.startup_job(name="each"),
        "health check": service.health_check(name="each"),
        "periodic job": service.periodic_job(every=1, name="each"),
    }


@pytest.mark.parametrize("function", ["coroutine", "plain", "instance"])
@pytest.mark.parametrize("kind", ["start-up job", "health check", "periodic job"])
def test_annotations_that_exist_for_type_checkers_alone_are_not_evaluated(kind: str, function: str) -> None:
    functions: dict[str, Any] = {"__name__": "program"}
    exec(f"from __future__ import annotations\n{FUNCTIONS}" if EVALUATED else FUNCTIONS, functions)
    assert registered(Service("annotated", routes=[]))[kind](functions[function]) is functions[function]
