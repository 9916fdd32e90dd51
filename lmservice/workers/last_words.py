"""What workers said at their end, made one report's: what was not clean, how long it took, what was served."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from lmservice.messaging.consumers import MessageCounts
from lmservice.workers.worker import Worker

_MIB = 1 << 20


class LastWords:
    """The reports of the workers that ended in a stop, and those that could say nothing."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers
        self._reports = [worker.report for worker in workers if worker.report]

    @property
    def unclean(self) -> bool:
        """Return whether any of them ended with another code than 0."""
        return any(report["exit_code"] for report in self._reports)

    @property
    def tasks(self) -> int:
        """Return how many tasks were cut off that handlers had created and left."""
        return sum(report["tasks"] for report in self._reports)

    @property
    def messages(self) -> MessageCounts | None:
        """Return how many messages all of them handled, gave back and cut off; None without consumers."""
        counts = [report["messages"] for report in self._reports if "messages" in report]
        if not counts:
            return None
        return {
            "handled": sum(count["handled"] for count in counts),
            "given_back": sum(count["given_back"] for count in counts),
            "cut_off": sum(count["cut_off"] for count in counts),
        }

    def problems(self) -> Iterator[str]:
        """Yield what was not clean, a line each, and who had not drained."""
        for worker in self._workers:
            if worker.report is not None:
                yield from (f"worker {worker.number}: {problem}" for problem in worker.report.get("problems", ()))
            elif worker.status:
                yield f"worker {worker.number} had not drained: {reason(worker)}"

    def longest(self, phase: Literal["drain", "cleanup"]) -> float:
        """Return how long a phase took the slowest of them, in seconds."""
        return max((report["phases"][phase] for report in self._reports), default=0.0)

    def routes(self, which: Literal["served_by_route", "cancelled_by_route"]) -> Counter[str]:
        """Return how many requests all of them completed, or cut off, by route."""
        return sum((Counter(report[which]) for report in self._reports), Counter[str]())


def reason(worker: Worker) -> str:
    """Return why a worker ended, in its own words where it had any."""
    if worker.report and worker.report.get("problems"):
        return "; ".join(worker.report["problems"])
    if worker.end.get("cause") == "memory":
        limit = worker.end.get("memory_limit")
        return "it was killed for memory" + (f": the container's limit is {limit / _MIB:g} MiB" if limit else "")
    if "signal" in worker.end:
        return f"it was ended by {worker.end['signal']}"
    if "exit_code" in worker.end:
        return f"it ended with exit code {worker.end['exit_code']}"
    return "how it ended is not known, as the process that forked it had ended before"
