"""Where the thread of the service's event loop spends its time: a sampling profile, by pyinstrument.

It comes with the extra `lmservice[profile]`, and is loaded when somebody first asks.
"""

import asyncio
import concurrent.futures
import sys
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from lmservice.errors import ProfileError
from lmservice.runtime.threads import run_in_thread

if TYPE_CHECKING:
    from pyinstrument import Profiler

DEFAULT_SECONDS = 10.0
LONGEST = 60.0
INTERVAL = 0.001
"""Between two samples, in seconds."""
PATIENCE = 5.0
"""How long an event loop may take until it turns, for a profile to begin, in seconds, …"""
PATIENCE_AT_THE_END = 30.0
"""… and to end: what holds the loop up is what a profile should show."""
FORMS = {"text": "text/plain; charset=utf-8", "html": "text/html; charset=utf-8", "speedscope": "application/json"}
"""What a profile can be had as, with its content type."""

WITHOUT_WHEEL = (3, 15)
"""The Python from which on there are no wheels of pyinstrument, as of its version 5.1."""

T = TypeVar("T")


class ProfileRequest(NamedTuple):
    """The profile that somebody asks for.

    Attributes:
        seconds: how long it is taken.
        form: one of `FORMS`.
        worker: of which worker, from 1, where there are several.
    """

    seconds: float
    form: str
    worker: int

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "ProfileRequest":
        """Return what the query of `GET /profile` asks for.

        Raises:
            ProfileError: saying what of it is not as it must be.
        """
        seconds, worker = _number(query.get("seconds", "")), query.get("worker", "1")
        form = query.get("format", "text")
        wrong = [f"{key}: is not known here" for key in query if key not in ("seconds", "format", "worker")]
        if not 0 < seconds <= LONGEST:
            wrong.append(f"seconds: must be a number, more than 0 and at most {LONGEST:g}")
        if form not in FORMS:
            wrong.append(f"format: must be one of {', '.join(FORMS)}")
        if not worker.isdecimal():
            wrong.append("worker: must be a worker's number, from 1")
        if wrong:
            raise ProfileError("; ".join(wrong), HTTPStatus.UNPROCESSABLE_ENTITY)
        return cls(seconds, form, int(worker))


def _number(text: str) -> float:
    try:
        return float(text or DEFAULT_SECONDS)
    except ValueError:
        return -1.0


class Profile(NamedTuple):
    """A profile, and its content type."""

    body: bytes
    kind: str


class Profiling:
    """The profiles of one event loop's thread, one at a time; to be used on another loop."""

    def __init__(self) -> None:
        self._busy = False

    async def take(self, loop: asyncio.AbstractEventLoop, request: ProfileRequest) -> Profile:
        """Watch the thread of `loop` for as long as is asked for.

        Raises:
            ProfileError: the extra is missing, another profile is being taken, or the loop does not turn.
        """
        profiler = _profiler()
        if self._busy:
            raise ProfileError("another profile is being taken: ask again once it is done", HTTPStatus.CONFLICT)
        self._busy = True
        try:
            await _on(loop, profiler.start, PATIENCE)
            await asyncio.sleep(request.seconds)
            await _on(loop, profiler.stop, PATIENCE_AT_THE_END)
        finally:
            self._busy = False
        body = await run_in_thread(partial(_rendered, profiler, request.form), name="profile")
        return Profile(body.encode(), FORMS[request.form])


def _profiler() -> "Profiler":
    try:
        from pyinstrument import Profiler  # noqa: PLC0415 - it comes with an extra
    except ImportError:
        problem = f"a profile needs the extra lmservice[profile], which is not installed{_compilation()}"
        raise ProfileError(problem, HTTPStatus.NOT_IMPLEMENTED) from None
    return Profiler(interval=INTERVAL, async_mode="disabled")  # the thread, whichever task is on it


def _compilation() -> str:
    """Return what its installation needs on a Python for which it has no wheel."""
    if sys.version_info < WITHOUT_WHEEL:
        return ""
    python = "python{}.{}".format(*sys.version_info)
    return f": pyinstrument 5.1 has no wheel for {python}, so that needs a C compiler and {python}'s headers"


async def _on(loop: asyncio.AbstractEventLoop, call: Callable[[], Any], patience: float) -> None:
    """Call it on another loop's thread, which is the one that pyinstrument then watches."""
    done: concurrent.futures.Future[None] = concurrent.futures.Future()

    def called() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            done.set_exception(error)
        else:
            done.set_result(None)

    loop.call_soon_threadsafe(called)
    try:
        await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(done)), patience)
    except TimeoutError:
        problem = f"the event loop has not turned for {patience:g} s: /tasks shows what holds it"
        raise ProfileError(problem, HTTPStatus.SERVICE_UNAVAILABLE) from None


def _rendered(profiler: "Profiler", form: str) -> str:
    if form == "html":
        return profiler.output_html()
    if form == "speedscope":
        from pyinstrument.renderers import SpeedscopeRenderer  # noqa: PLC0415 - as above

        return profiler.output(SpeedscopeRenderer())
    return profiler.output_text(unicode=True, color=False)
