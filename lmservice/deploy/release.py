"""One release from its first look to its end: the plan's steps, and the way back whenever one of them fails.

Whatever happens, the old version serves whole. Until the last step nothing of it is touched: the canary is a Deployment
of its own, and only objects that did not exist before are made. What the last step applies is undone by applying what
the history kept of the release before.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

from lmservice.deploy import history
from lmservice.deploy.analysis import Outcome, Verdict, Window, judge
from lmservice.deploy.cluster import Cluster
from lmservice.deploy.errors import (
    InterruptedReleaseError,
    LockLostError,
    ReleaseFailedError,
)
from lmservice.deploy.figures import FiguresSource
from lmservice.deploy.history import History, StoredRelease
from lmservice.deploy.lock import Lock
from lmservice.deploy.objects import CANARY, STABLE, Object, key, selector
from lmservice.deploy.overlay import Manifests
from lmservice.deploy.plan import WHOLE, Analysis, CanaryPods, Pause, Plan, Promote, SetWeight
from lmservice.deploy.rollout import RolloutState, follow, look
from lmservice.deploy.settings import DeploySettings
from lmservice.deploy.signals import sheltered
from lmservice.deploy.weights import Weights
from lmservice.errors import LmserviceError

Observer: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Called with an event's name and its details, from the release's own thread; one that raises is told no more."""

_TURN = 0.5
_KEPT_KINDS = {"Namespace", "PersistentVolumeClaim", "CustomResourceDefinition"}


@dataclass
class Release:
    """One plan for one service in one environment.

    Attributes:
        kept: this release's record; written before anything is touched, so that a next run knows what to clean up.
        old: the release before, to which it goes back; None for the first one.
    """

    cluster: Cluster
    history: History
    lock: Lock
    metrics: FiguresSource
    settings: DeploySettings
    observer: Observer
    kept: StoredRelease
    old: StoredRelease | None
    expected_digest: str = ""
    _touched: bool = False
    _weighing: bool = False
    _weightless: str = ""

    def run(self, plan: Plan) -> None:
        """Take every step, or the way back.

        Raises:
            ReleaseFailedError: a step failed, and the old version serves whole again.
            LockLostError: another pipeline has taken over; nothing more was touched.
        """
        self.observer("plan", {"steps": [str(step) for step in plan.steps]})
        try:
            self._prepare()
            for number, step in enumerate(plan.steps, 1):
                self._step(step, number, len(plan.steps))
            self.kept = self.history.end(self.kept, history.RELEASED)
        except LockLostError:
            raise
        except (Exception, KeyboardInterrupt) as error:  # whatever it is, the old version is to serve whole
            raise self._failed(_reason(error), interrupted=isinstance(error, KeyboardInterrupt)) from error

    def restore(self) -> None:
        """Go back to the old version, whole: delete what the release made, apply again what it changed."""
        with self.cluster.patient(self.settings.rollback_patience):
            self._end_canary()
            if self.old is None:
                self._delete(self.kept.made)
                return
            for item in [*self.old.manifests.others, self._at_size(self.old.manifests)] if self._touched else []:
                self.cluster.apply(item)
            known = {key(each) for each in self.old.manifests.objects}
            self._delete([each for each in self.kept.made if key(each) not in known])
            self._follow(self.old.manifests.deployment, to_the_end=True)

    def touched(self) -> None:
        """Say that the stable version may have been changed, as by a run that was killed."""
        self._touched = True

    def _failed(self, reason: str, *, interrupted: bool) -> ReleaseFailedError:
        self.observer("rollback", {"reason": reason})
        kind = InterruptedReleaseError if interrupted else ReleaseFailedError
        try:
            with sheltered(), self.cluster.patient(self.settings.rollback_patience):
                self.restore()
                self.kept = self.history.end(self.kept, history.INTERRUPTED if interrupted else history.FAILED, reason)
        except LockLostError:
            raise
        except KeyboardInterrupt:
            return InterruptedReleaseError(f"{reason}; the rollback was interrupted too: run this again to end it")
        except Exception as error:  # noqa: BLE001 - whatever it is, both reasons are to be told
            return kind(f"{reason}; rolling back did not end ({_reason(error)}): run this again to end it")
        left = f"{self.old.record.artifact} serves" if self.old else "what it had made is deleted"
        return kind(f"{reason}; rolled back, {left}")

    def _prepare(self) -> None:
        """Apply what did not exist before, as the canary may need it: a new ConfigMap, a first Service."""
        made = {key(each) for each in self.kept.made}
        for item in self.kept.manifests.others:
            if key(item) in made:
                self.cluster.apply(item)

    def _step(self, step: object, number: int, count: int) -> None:
        self.lock.check()
        self.observer("step", {"step": str(step), "number": number, "of": count})
        self.kept = self.history.write(replace(self.kept, record=replace(self.kept.record, stage=str(step))))
        match step:
            case Promote(percent) if percent == WHOLE:
                self._promote()
            case _ if self.old is None:
                self.observer("note", {"text": "nothing runs yet to compare with: this step is left out"})
            case CanaryPods(pods):
                self._grow(pods)
            case SetWeight() if not self._weighing:
                pass
            case SetWeight(percent) | Promote(percent):
                self._grow(max(step.canary_pods(self._pods(STABLE)), self._pods(CANARY), 1))
                self._weigh(percent)
            case Pause(seconds):
                self._wait(seconds)
            case Analysis(seconds):
                self._analyse(seconds)

    def _grow(self, pods: int) -> None:
        if not self._weighing and not self._weightless:
            self._begin_weights()
        canary = self._canary(pods)
        self.cluster.apply(canary)
        self._notice(self._follow(canary))

    def _begin_weights(self) -> None:
        """Begin with weights before the first canary pod, which is to have no more traffic than its weight."""
        self._weightless = self._weights.absence
        if self._weightless:
            self.observer("note", {"text": self._weightless})
            return
        self._weights.begin()
        self._weighing = True

    def _weigh(self, percent: int) -> None:
        if self._weighing:
            self._weights.set(percent)
            self.observer("weight", {"percent": percent})

    def _end_canary(self) -> None:
        """End the canary: its traffic first, then its pods, then what told the two versions' pods apart."""
        self._weights.retreat()
        self.cluster.delete(self._canary(1))
        self._weights.empty()
        self._weights.end()

    def _promote(self) -> None:
        """Make the new version the stable one; the canary goes once it serves whole."""
        self._touched = True
        self._weights.end()
        manifests = self.kept.manifests
        for item in manifests.others:
            self.cluster.apply(item)
        self.cluster.apply(self._at_size(manifests))
        self._notice(self._follow(manifests.deployment))
        self.cluster.delete(self._canary(1))
        known = {key(each) for each in manifests.objects}
        if self.old:
            self._delete([each for each in self.old.manifests.objects if key(each) not in known])

    def _analyse(self, seconds: float) -> None:
        window, bad = Window(self.metrics, self.kept.manifests.namespace), 0
        window.read(self._look().pods)
        end = time.monotonic() + seconds
        while True:
            self._wait(min(end - time.monotonic(), self.settings.analysis_interval))
            pods = self._look().pods
            window.read(pods)
            verdict = judge(window.canary, window.stable, pods, self.settings, window.gap)
            self._measured(window, verdict)
            bad = bad + 1 if verdict.outcome is Outcome.FAILED else 0
            if max(bad, window.unread) > self.settings.failure_limit or time.monotonic() >= end:
                break
        if verdict.outcome is not Outcome.PASSED:
            raise ReleaseFailedError(verdict.reason)

    def _measured(self, window: Window, verdict: Verdict) -> None:
        figures = {
            name: {"requests": counts.requests, "error_ratio": counts.error_ratio, "p99": counts.quantile(0.99)}
            for name, counts in (("canary", window.canary), ("stable", window.stable))
        }
        self.observer("analysis", {**figures, "verdict": verdict.outcome.value, "reason": verdict.reason})

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.lock.check()
            time.sleep(min(left, _TURN))

    def _look(self) -> RolloutState:
        now = look(self.cluster, self._canary(1), self._labels())
        self._seen(now)
        return now

    def _follow(self, deployment: Object, *, to_the_end: bool = False) -> RolloutState:
        labels, settings = self._labels(), self.settings
        return follow(self.cluster, deployment, labels, settings=settings, seen=self._seen, to_the_end=to_the_end)

    def _seen(self, now: RolloutState) -> None:
        self.lock.check()
        self.observer("pods", {"pods": [{**asdict(each), "state": each.state} for each in now.pods]})

    def _notice(self, now: RolloutState) -> None:
        """Remember the digest that the nodes found behind the version, and refuse another than was tested before."""
        digest = next((each.digest for each in now.new if each.digest), "")
        if digest and self.expected_digest and digest != self.expected_digest:
            raise ReleaseFailedError(
                f"{self.kept.record.artifact} is another image ({digest}) than passed before ({self.expected_digest})"
            )
        self.kept = replace(self.kept, record=replace(self.kept.record, digest=digest))

    @property
    def _weights(self) -> Weights:
        old = self.old.manifests if self.old else None
        return Weights(self.cluster, old, self.kept.manifests, self.settings, self._wait)

    def _canary(self, pods: int) -> Object:
        return self.kept.manifests.canary(pods)

    def _labels(self) -> str:
        """Select all pods of the service: a Deployment's selector cannot change, so both versions have one."""
        return selector(self.kept.manifests.deployment)

    def _pods(self, track: str) -> int:
        """Return how many pods a version's Deployment asks for now."""
        live = self.cluster.get(self._canary(1) if track == CANARY else self.kept.manifests.deployment)
        return int(live["spec"]["replicas"]) if live else 0

    def _at_size(self, manifests: Manifests) -> Object:
        """Keep the size that it has where an autoscaler decides it, or where its manifest names none."""
        deployment = manifests.deployment
        if manifests.scaled or "replicas" not in deployment["spec"]:
            live = self.cluster.get(deployment)
            if live:
                return {**deployment, "spec": {**deployment["spec"], "replicas": live["spec"]["replicas"]}}
        return deployment

    def _delete(self, items: Sequence[Object]) -> None:
        """Delete these, but not what holds what others need, or what nothing can bring back."""
        for item in items:
            if item["kind"] not in _KEPT_KINDS:
                self.cluster.delete(item)


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = " ".join(str(error).split())
    return text if isinstance(error, LmserviceError) else f"{type(error).__name__}: {text}"
