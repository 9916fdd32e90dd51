"""How searches are answered, with a real Redis behind them."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from prometheus_client import generate_latest
from search_service.answers import Answer, Answers, Counts, DeadlineError, Question
from search_service.cache import Cache
from searching import total
from servers import Server

from lmservice.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio

QUESTION = Question("flights", "a")


class Finder:
    """Finds what it is told to, once it is let."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked = 0
        self.begun = asyncio.Semaphore(0)
        self.let = asyncio.Event()
        self.let.set()

    async def __call__(self) -> Answer:
        self.asked += 1
        self.begun.release()
        await self.let.wait()
        return self.answer


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def cache(redis: Server) -> AsyncIterator[Cache]:
    cache = Cache(f"redis://127.0.0.1:{redis.port}/0", timeout=10, ttl=600)
    cache.use(uuid4().hex)
    yield cache
    await cache.close()


@pytest.fixture
def answers(cache: Cache, metrics: Metrics) -> Answers:
    return Answers(cache, 60, Counts(metrics))


@pytest.fixture
async def finder() -> Finder:
    return Finder(Answer(b'{"found": 2}', 2))


async def test_an_answer_is_worked_out_once_and_then_given_from_the_cache(
    answers: Answers, finder: Finder, metrics: Metrics
) -> None:
    given = [await answers.give(QUESTION, finder) for _ in range(3)]
    assert {bytes(response.body) for response in given} == {b'{"found": 2}'}
    assert {response.headers["content-type"] for response in given} == {"application/json"}
    assert finder.asked == 1
    said = generate_latest(metrics.registry).decode()
    assert total(said, 'search_searches_total{kind="flights"}') == 3
    assert total(said, 'search_cache_total{kind="flights",result="hit"}') == 2
    assert total(said, 'search_cache_total{kind="flights",result="miss"}') == 1
    assert total(said, "search_results_count") == 3
    assert total(said, "search_results_sum") == 6
    assert total(said, "search_empty_total") == 0


async def test_searches_that_find_nothing_are_counted(answers: Answers, metrics: Metrics) -> None:
    await answers.give(QUESTION, Finder(Answer(b"[]", 0)))
    await answers.give(QUESTION, Finder(Answer(b"[]", 0)))
    assert total(generate_latest(metrics.registry).decode(), 'search_empty_total{kind="flights"}') == 2


async def test_equal_searches_at_once_are_worked_out_once(answers: Answers, finder: Finder) -> None:
    finder.let.clear()
    asking = [asyncio.create_task(answers.give(QUESTION, finder)) for _ in range(5)]
    other = asyncio.create_task(answers.give(Question("flights", "b"), finder))
    for _ in range(2):
        await finder.begun.acquire()
    finder.let.set()
    await asyncio.gather(*asking, other)
    assert finder.asked == 2


async def test_whoever_asked_first_may_leave_without_the_others(answers: Answers, finder: Finder) -> None:
    finder.let.clear()
    first = asyncio.create_task(answers.give(QUESTION, finder))
    await finder.begun.acquire()
    second = asyncio.create_task(answers.give(QUESTION, finder))
    first.cancel()
    await asyncio.wait([first])
    finder.let.set()
    assert bytes((await second).body) == b'{"found": 2}'
    assert first.cancelled()


async def test_a_partial_answer_is_not_kept(answers: Answers) -> None:
    finder = Finder(Answer(b"partial", 1, lasting=False))
    for _ in range(2):
        await answers.give(QUESTION, finder)
    assert finder.asked == 2


async def test_a_failure_reaches_everybody_and_is_not_kept(answers: Answers, finder: Finder) -> None:
    async def fail() -> Answer:
        raise ZeroDivisionError

    for outcome in await asyncio.gather(*(answers.give(QUESTION, fail) for _ in range(3)), return_exceptions=True):
        assert isinstance(outcome, ZeroDivisionError)
    assert bytes((await answers.give(QUESTION, finder)).body) == b'{"found": 2}'


@pytest.mark.parametrize("cached", [True, False])
async def test_past_the_deadline_a_search_is_given_up(cached: bool, cache: Cache, metrics: Metrics) -> None:  # noqa: FBT001
    finder = Finder(Answer(b"late", 1))
    finder.let.clear()
    answers = Answers(cache if cached else None, 0.05, Counts(metrics))
    with pytest.raises(DeadlineError, match=r"LM_SEARCH_DEADLINE, 0\.05 s"):
        await answers.give(QUESTION, finder)


async def test_popular_searches_are_worked_out_anew(answers: Answers, finder: Finder) -> None:
    assert await answers.refresh() == 0
    for _ in range(4):
        await answers.give(QUESTION, finder)
    finder.answer = Answer(b"new", 1)
    assert await answers.refresh() == 1
    assert finder.asked == 2
    assert bytes((await answers.give(QUESTION, finder)).body) == b"new"


async def test_what_is_no_longer_asked_is_no_longer_worked_out(answers: Answers, finder: Finder) -> None:
    await answers.give(QUESTION, finder)
    refreshed = [await answers.refresh() for _ in range(3)]
    assert refreshed == [1, 0, 0]


async def test_without_a_cache_every_search_is_worked_out(finder: Finder, metrics: Metrics) -> None:
    answers = Answers(None, 60, Counts(metrics))
    for _ in range(2):
        await answers.give(QUESTION, finder)
    assert finder.asked == 2
    assert await answers.refresh() == 0
