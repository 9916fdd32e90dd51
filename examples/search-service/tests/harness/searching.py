"""The search service in a process of its own, and a load on it whose every answer is judged."""

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

PATIENCE = 100
"""How long anything may take before it counts as hanging, in seconds: long, as the machine is shared."""

DEADLINE = 3.0
"""`LM_SEARCH_DEADLINE`, in seconds."""

GRACE = 2.0
"""So much later than the deadline an answer may be read, where all share two cores, in seconds."""


class SearchProcess:
    """`lmservice run search_service:service` in a process of its own, and what it has logged."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._events: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self._events if each["event"] == event]

    async def wait_for(self, event: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while not self.logged(event):
                assert not self._reading.done(), f"it ended without {event}: {self._events}"
                await asyncio.sleep(0.02)
        return self.logged(event)[0]

    async def get(self, listener: str, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
            return await client.get(f"{await self.url(listener)}{path}")

    async def url(self, listener: str = "url") -> str:
        """Of the service's listener, or of the management's, `management_url`."""
        address = httpx.URL((await self.wait_for("lmservice.listening"))[listener])
        return f"http://127.0.0.1:{address.port}"

    def send(self, how: signal.Signals) -> None:
        """Sends a signal."""
        self._process.send_signal(how)

    async def ready(self, status: int = 200) -> None:
        """Returns once readiness says so."""

        async def says() -> bool:
            return (await self.get("management_url", "/readyz")).status_code == status

        await until(says)

    async def check(self, name: str, status: str) -> None:
        """Returns once a health check is `up` or `down`."""

        async def says() -> bool:
            answer = await self.get("management_url", "/readyz")
            return bool(answer.json()["checks"][name]["status"] == status)

        await until(says)

    async def end(self, how: signal.Signals) -> int:
        """Sends a signal; gives the exit code, once everything has been read."""
        if self._process.returncode is None:
            self._process.send_signal(how)
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE):
            await self._reading
            return await self._process.wait()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._events.append(json.loads(line))


@asynccontextmanager
async def search_process(
    database_url: str, program: str = "search_service:service", **settings: str
) -> AsyncIterator[SearchProcess]:
    """A search service, or a supplier, on a database, on free ports; killed on leaving, where it still runs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LM_")}
    environment |= {"LM_PORT": "0", "LM_MANAGEMENT_PORT": "0", "LM_LOG_FORMAT": "json"}
    environment |= {"LM_STARTUP_TIMEOUT": str(PATIENCE), "LM_DATABASE_URL": database_url, **settings}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lmservice", "run", program),
        env=environment,
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    search = SearchProcess(process)
    try:
        yield search
    finally:
        await search.end(signal.SIGKILL)


async def until(done: Callable[[], Awaitable[Any]]) -> None:
    """Returns once something is so that another process brings about."""
    async with asyncio.timeout(PATIENCE):
        while not await done():  # noqa: ASYNC110 - nobody here could set an event
            await asyncio.sleep(0.02)


def total(metrics: str, sample: str) -> float:
    """The sum of all samples that begin so, out of a text of metrics."""
    return sum(float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith(sample))


class Load:
    """Clients that never stop asking, and what became of their requests.

    Attributes:
        outcomes: how many answers were `right`, `partial` (marked so) and `refused` (503 with Retry-After).
        wrong: everything else, in words.
        slowest: the longest that an answer took, in seconds.
    """

    def __init__(self, url: str, right: Mapping[str, Any]) -> None:
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.slowest = 0.0
        self._url = url
        self._right = right

    @asynccontextmanager
    async def running(self, clients: int) -> AsyncIterator[None]:
        """So many clients, for as long as it is entered."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask_on(first)) for first in range(clients)]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def _ask_on(self, first: int) -> None:
        paths = list(self._right)
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=PATIENCE) as client:
            while True:
                first += 1
                await self._ask(client, paths[first % len(paths)])

    async def _ask(self, client: httpx.AsyncClient, path: str) -> None:
        began = time.monotonic()
        try:
            response = await client.get(path)
        except httpx.HTTPError as error:
            self.wrong.append(f"{path}: {error!r}")
            return
        self.slowest = max(self.slowest, time.monotonic() - began)
        outcome = self._judged(path, response)
        self.outcomes[outcome] += 1
        if outcome == "wrong":
            self.wrong.append(f"{path}: {response.status_code} {response.text[:300]}")

    def _judged(self, path: str, response: httpx.Response) -> str:
        if response.status_code == 503:
            problem = response.headers["content-type"] == "application/problem+json"
            return "refused" if problem and int(response.headers.get("retry-after", "0")) > 0 else "wrong"
        if response.status_code != 200:
            return "wrong"
        answer = response.json()
        if answer == self._right[path]:
            return "right"
        return "partial" if answer.get("partial") is True else "wrong"

    async def since(self, outcome: str, count: int = 20) -> None:
        """Returns once so many more requests have ended like that."""
        enough = self.outcomes[outcome] + count

        async def come() -> bool:
            return self.outcomes[outcome] >= enough

        await until(come)


async def answers(url: str, paths: Sequence[str]) -> dict[str, Any]:
    """What is answered while all is well."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE) as client:
        found = {path: await client.get(path) for path in paths}
    assert {response.status_code for response in found.values()} == {200}
    return {path: response.json() for path, response in found.items()}
