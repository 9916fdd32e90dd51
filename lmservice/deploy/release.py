"""One release from its first look to its end: the plan's steps, and the way back whenever one of them fails.

Whatever happens, the old version serves on. Until the last step nothing of it is touched: the canary is a Deployment of
its own, and only objects that did not exist before are made. What the last step applies is undone by applying what the
history kept of the release before. That done, the way back is at its end: an old version that is ill is told of, and
waited for only as long as it may still come to what it was.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

from lmservice.deploy import history, leftovers
from lmservice.deploy.analysis import Outcome, Verdict, Window, compare
from lmservice.deploy.cluster import Cluster
from lmservice.deploy.errors import InterruptedReleaseError, LockLostError, ReleaseFailedError
from lmservice.deploy.figures import FiguresSource
from lmservice.deploy.history import History, StoredRelease
from lmservice.deploy.lock import Lock
from lmservice.deploy.objects import CANARY, STABLE, Object, key, selector
from lmservice.deploy.ownership import take_over, tell_surprises
from lmservice.deploy.plan import WHOLE, Analysis, CanaryPods, Pause, Plan, Promote, SetWeight
from lmservice.deploy.pods import Pod
from lmservice.deploy.rollout import RolloutState, comparable, follow, look, sized, what_ails
from lmservice.deploy.settings import DeploySettings
from lmservice.deploy.signals import sheltered
from lmservice.deploy.weights import Weights
from lmservice.errors import LmserviceError

Observer: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Called with an event's name and its details, from the release's own thread; one that raises is told no more."""

_TURN = 0.5


@dataclass
class Release:
    """One plan for one service in one environment.

    Attributes:
        cluster: asks the lock before each call that changes something.
        kept: this release's record; written before anything is touched, so that a next run knows what to clean up.
        old: the release before, to which it goes back; None for the first one.
        records: all of them, this one left out.
    """

    cluster: Cluster
    history: History
    lock: Lock
    figures: FiguresSource
    settings: DeploySettings
    observer: Observer
    kept: StoredRelease
    old: StoredRelease | None
    records: Sequence[StoredRelease] = ()
    expected_digest: str = ""
    _touched: bool = False
    _served: bool = True
    _weighing: bool = False
    _weightless: str = ""

    def run(self, plan: Plan) -> None:
        """Take every step, or the way back.

        Raises:
            ReleaseFailedError: a step failed, and what the release had changed is undone.
            LockLostError: another pipeline has taken over; nothing more was touched.
        """
        try:
            steps = self._possible(plan).steps
            tell_surprises(self.cluster, self.kept.manifests.objects, self._note)
            self.observer("plan", {"steps": [str(step) for step in steps]})
            self._prepare()
            for number, step in enumerate(steps, 1):
                self._step(step, number, len(steps))
            self.kept = self.history.end(self.kept, history.RELEASED)
        except LockLostError:
            raise
        except (Exception, KeyboardInterrupt) as error:  # whatever it is, the old version is to serve on
            raise self._failed(_reason(error), interrupted=isinstance(error, KeyboardInterrupt)) from error

    def undo(self) -> None:
        """Undo a release whose pipeline was killed, as if it had failed."""
        self._touched = True
        self._restore()
        promoting = self.kept.record.stage == str(Promote(WHOLE))
        if self.old and promoting and (ailing := self._await_old()):
            self._note(f"{self.old.record.artifact} {ailing}")

    def _possible(self, plan: Plan) -> Plan:
        """Leave the canary out where nothing serves with which it could be compared."""
        now = self._stable() if self.old else None
        self._served = bool(now and now.serving)
        shorter, why = comparable(plan, self.old.record.artifact if self.old else "", now)
        if why:
            self._note(why)
        return shorter

    def _restore(self) -> None:
        """Go back to the old version: delete what the release made, apply again what it changed."""
        with self.cluster.patient(self.settings.rollback_patience):
            self._end_canary()
            if self.old is None:
                leftovers.delete(self.cluster, self.kept.made)
                return
            if self._touched:
                for item in [*self.old.manifests.others, sized(self.cluster, self.old.manifests)]:
                    self.cluster.apply(item)
            known = {key(item) for item in self.old.manifests.objects}
            leftovers.delete(self.cluster, [item for item in self.kept.made if key(item) not in known])

    def _failed(self, reason: str, *, interrupted: bool) -> ReleaseFailedError:
        self.observer("rollback", {"reason": reason})
        kind = InterruptedReleaseError if interrupted else ReleaseFailedError
        outcome = history.INTERRUPTED if interrupted else history.FAILED
        try:
            with sheltered(), self.cluster.patient(self.settings.rollback_patience):
                self._restore()
                self.kept = self.history.end(self.kept, outcome, reason)
        except LockLostError:
            raise
        except KeyboardInterrupt:
            return InterruptedReleaseError(f"{reason}; the rollback was interrupted too: run this again to end it")
        except Exception as error:  # noqa: BLE001 - whatever it is, both reasons are to be told
            return kind(f"{reason}; rolling back did not end ({_reason(error)}): run this again to end it")
        return kind(f"{reason}; rolled back, {self._what_serves()}")

    def _what_serves(self) -> str:
        """Return what there is after the way back, by a look at what runs."""
        if self.old is None:
            return "what it had made is deleted"
        artifact = self.old.record.artifact
        try:
            with sheltered():
                ailing = self._await_old()
        except KeyboardInterrupt:
            return f"interrupted while {artifact} got ready again"
        except Exception as error:  # noqa: BLE001 - all that was to be done is done, and recorded
            return f"but whether {artifact} serves could not be seen ({_reason(error)})"
        return f"but {artifact} {ailing}" if ailing else f"{artifact} serves"

    def _await_old(self) -> str:
        """Wait for the old version as long as it may come back, and return what it lacks; empty for nothing."""
        now = self._stable()
        if self._touched and self._served and now:
            try:
                now = self._follow(self.kept.manifests.deployment, forgiving=True)
            except LockLostError:
                raise
            except ReleaseFailedError:  # which is not this release's: it is told below
                now = self._stable()
        return what_ails(now) if now else "is not there"

    def _stable(self) -> RolloutState | None:
        """Look at the stable version; None where it is not there."""
        deployment = self.kept.manifests.deployment
        return look(self.cluster, deployment, self._labels()) if self.cluster.get(deployment) else None

    def _prepare(self) -> None:
        """Apply what did not exist before, as the canary may need it: a new ConfigMap, a first Service."""
        made = {key(item) for item in self.kept.made}
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
        leftovers.apply_for_canary(self.cluster, canary)
        self._notice(self._follow(canary))

    def _begin_weights(self) -> None:
        """Begin with weights before the first canary pod, which is to have no more traffic than its weight."""
        self._weightless = self._weights.absence
        if self._weightless:
            self._note(self._weightless)
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
        leftovers.delete_for_canary(self.cluster, self._canary(1))
        self._weights.empty()
        self._weights.end()

    def _promote(self) -> None:
        """Make the new version the stable one; the canary goes once it serves whole."""
        self._touched = True
        self._weights.end()
        manifests = self.kept.manifests
        for item in manifests.objects:
            take_over(self.cluster, item)
        for item in manifests.others:
            self.cluster.apply(item)
        self.cluster.apply(sized(self.cluster, manifests))
        self._notice(self._follow(manifests.deployment))
        leftovers.delete_for_canary(self.cluster, self._canary(1))
        gone, left = leftovers.leftovers(self.cluster, self.records, manifests)
        leftovers.delete(self.cluster, gone)
        self.kept = replace(self.kept, left=left)

    def _analyse(self, seconds: float) -> None:
        window = Window(self.figures, self.kept.manifests.namespace)
        verdict = compare(window, self._pods_now, seconds, self.settings, self._wait, self._measured)
        if verdict.outcome is not Outcome.PASSED:
            raise ReleaseFailedError(verdict.reason)

    def _pods_now(self) -> Sequence[Pod]:
        now = look(self.cluster, self._canary(1), self._labels())
        self._seen(now)
        return now.pods

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

    def _follow(self, deployment: Object, *, forgiving: bool = False) -> RolloutState:
        labels, settings = self._labels(), self.settings
        return follow(self.cluster, deployment, labels, settings=settings, seen=self._seen, forgiving=forgiving)

    def _note(self, text: str) -> None:
        self.observer("note", {"text": text})

    def _seen(self, now: RolloutState) -> None:
        self.lock.check()
        self.observer("pods", {"pods": [{**asdict(pod), "state": pod.state} for pod in now.pods]})

    def _notice(self, now: RolloutState) -> None:
        """Remember the digest that the nodes found behind the version, and refuse another than was tested before."""
        digest = next((pod.digest for pod in now.new if pod.digest), "")
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


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = " ".join(str(error).split())
    return text if isinstance(error, LmserviceError) else f"{type(error).__name__}: {text}"
