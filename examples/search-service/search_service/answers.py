"""How searches are answered: by their deadline, from the cache where it has them, each equal one worked out once.

Whatever a search finds comes here as JSON with the number of its results, so every kind of search is cached, counted
and refreshed by the same code.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response

from lmservice.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from search_service.cache import Cache

POPULAR = 20
"""So many of the searches that are asked most are kept in the cache, by asking for them again in time."""

REMEMBERED = 2000
"""Different searches whose number is kept."""

RESULTS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Histogram buckets, in results."""


class Answer(NamedTuple):
    """What a search finds.

    Attributes:
        body: in JSON.
        results: how many there are, on all pages.
        lasting: whether it may be given again to others; a partial answer may not.
    """

    body: bytes
    results: int
    lasting: bool = True


class Question(NamedTuple):
    """A search, as far as its answer depends on it.

    Attributes:
        kind: such as `flights`; a label of the metrics.
        key: the same for two searches of one kind only where their answers are.
    """

    kind: str
    key: str


Find = Callable[[], Awaitable[Answer]]


class DeadlineError(Exception):
    """A search was not answered by its deadline."""

    def __init__(self, deadline: float) -> None:
        super().__init__(f"no answer within LM_SEARCH_DEADLINE, {deadline:g} s: try again later")


class Counts:
    """The metrics of the business. They belong to the service and outlive a run of it."""

    def __init__(self, metrics: Metrics) -> None:
        self.searches = metrics.counter("search_searches", "Searches answered, by kind.", ["kind"])
        self.results = metrics.histogram("search_results", "Results of a search, by kind.", ["kind"], buckets=RESULTS)
        self.empty = metrics.counter("search_empty", "Searches that found nothing, by kind.", ["kind"])
        self.suppliers = metrics.counter(
            "search_supplier_outcomes", "Inventories asked in searches, by how each did.", ["supplier", "outcome"]
        )
        self.cache = metrics.counter("search_cache", "Looks into the cache, by kind and result.", ["kind", "result"])


class Answers:
    """Answers searches.

    Args:
        cache: None where there is none.
        deadline: until an answer is given or given up, in seconds.
    """

    def __init__(self, cache: "Cache | None", deadline: float, counts: Counts) -> None:
        self._cache = cache
        self._deadline = deadline
        self._counts = counts
        self._under_way: dict[Question, asyncio.Task[Answer]] = {}
        self._asked: Counter[Question] = Counter()
        self._finds: dict[Question, Find] = {}

    async def give(self, question: Question, find: Find) -> Response:
        """The answer to a question, which `find` works out where the cache does not have it.

        Raises:
            DeadlineError: it took too long.
        """
        try:
            async with asyncio.timeout(self._deadline):
                answer = await (find() if self._cache is None else self._cached(self._cache, question, find))
        except TimeoutError:
            raise DeadlineError(self._deadline) from None
        self._count(question.kind, answer.results)
        return Response(answer.body, media_type="application/json")

    def _count(self, kind: str, results: int) -> None:
        self._counts.searches.labels(kind).inc()
        self._counts.results.labels(kind).observe(results)
        if not results:
            self._counts.empty.labels(kind).inc()

    async def _cached(self, cache: "Cache", question: Question, find: Find) -> Answer:
        self._remember(question, find)
        kept = await cache.get(cache.key(f"{question.kind}:{question.key}"))
        self._counts.cache.labels(question.kind, "miss" if kept is None else "hit").inc()
        if kept is not None:
            results, _, body = kept.partition(b"\n")
            return Answer(body, int(results))
        task = self._under_way.get(question)
        if task is None:
            task = asyncio.create_task(self._worked_out(cache, question, find))
            self._under_way[question] = task
            task.add_done_callback(lambda done: self._finished(question, done))
        return await asyncio.shield(task)

    async def _worked_out(self, cache: "Cache", question: Question, find: Find) -> Answer:
        """For everybody who asks the same meanwhile: goes on where the first of them leaves."""
        key = cache.key(f"{question.kind}:{question.key}")  # of the data as they are before they are read
        async with asyncio.timeout(self._deadline):
            answer = await find()
        if answer.lasting:
            await cache.put(key, b"%d\n%b" % (answer.results, answer.body))
        return answer

    def _finished(self, question: Question, task: asyncio.Task[Answer]) -> None:
        del self._under_way[question]
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may have

    def _remember(self, question: Question, find: Find) -> None:
        self._asked[question] += 1
        self._finds[question] = find
        if len(self._asked) > REMEMBERED:
            self._forget()

    def _forget(self) -> None:
        """Halves all numbers, so that what was popular once makes room, down to half of what is remembered."""
        halved = {question: times // 2 for question, times in self._asked.most_common(REMEMBERED // 2)}
        self._asked = Counter({question: times for question, times in halved.items() if times})
        self._finds = {question: self._finds[question] for question in self._asked}

    async def refresh(self) -> int:
        """Works the popular searches out anew, so that nobody waits for them; gives how many."""
        if self._cache is None:
            return 0
        popular = [question for question, _ in self._asked.most_common(POPULAR)]
        for question in popular:
            await self._worked_out(self._cache, question, self._finds[question])
        self._forget()
        return len(popular)
