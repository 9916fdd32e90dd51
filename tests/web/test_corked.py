"""What is held back until a turn of the event loop is over."""

import asyncio
from collections.abc import Callable

import pytest

from lmservice.web.corked import Corked

pytestmark = pytest.mark.anyio


class _Held:
    def __init__(self, flush: Callable[[], None]) -> None:
        self.flush = flush


def _fail() -> None:
    raise ConnectionError


async def test_one_answer_that_cannot_be_sent_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[str] = []
    corked = Corked(asyncio.get_running_loop())
    for flush in (lambda: sent.append("first"), _fail, lambda: sent.append("last")):
        corked.add(_Held(flush))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sent == ["first", "last"]
    assert "an answer could not be sent" in caplog.text
