"""What a pipeline calls: a release by canary or at once, and the way back."""

import getpass
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lmservice.deploy import git, history, progress_lines
from lmservice.deploy.cluster import NOT_FOUND, ApiRefusalError, Cluster
from lmservice.deploy.errors import DeployUsageError, InterruptedReleaseError, RefusedError, ReleaseError
from lmservice.deploy.figures import Metrics, PodMetrics, PrometheusMetrics
from lmservice.deploy.gateway_routes import routes, tracked
from lmservice.deploy.history import History, Kept, Record
from lmservice.deploy.lock import Lock
from lmservice.deploy.overlay import Manifests, Object, container, key, render
from lmservice.deploy.plan import Plan, canary_plan, rolling_plan
from lmservice.deploy.release import Observer, Release
from lmservice.deploy.request import Artifact, DeployRequest
from lmservice.deploy.settings import DeploySettings, load
from lmservice.deploy.signals import interruptible

LABEL_LIMIT = 63


def canary(
    request: DeployRequest,
    environment: str,
    *,
    plan: Plan | None = None,
    settings: DeploySettings | None = None,
    force: bool = False,
    observer: Observer | None = None,
) -> Record:
    """Releases by a canary that is compared with the stable version before each stage.

    Args:
        request: what to release.
        environment: the name of the overlay.
        plan: the steps; by default `canary_plan` of the settings, weighted where the overlay has a route.
        settings: by default those of the environment's variables, `LM_DEPLOY_...`.
        force: release to an environment without the artifact having passed those before it.
        observer: is told what happens; by default it is shown live on stderr.

    Returns:
        The release as the history has it.

    Raises:
        DeployUsageError: the request, the plan, the overlay or a setting cannot be used; nothing was touched.
        RefusedError: another pipeline is at it, or the artifact has not passed before; nothing was touched.
        ReleaseFailedError: the new version did not pass, and the old one serves whole again.
    """
    with _begun(observer) as watching:
        return _release(request, environment, plan, "canary", settings or load(), watching, force=force)


def rolling(
    request: DeployRequest,
    environment: str,
    *,
    settings: DeploySettings | None = None,
    force: bool = False,
    observer: Observer | None = None,
) -> Record:
    """Releases by Kubernetes' own rolling update; a rollout that does not end is rolled back. As `canary` otherwise."""
    with _begun(observer) as watching:
        return _release(request, environment, rolling_plan(), "rolling", settings or load(), watching, force=force)


def rollback(
    request: DeployRequest,
    environment: str,
    *,
    to: int = 0,
    settings: DeploySettings | None = None,
    observer: Observer | None = None,
) -> Record:
    """Releases again what ran before, as it was applied then.

    Args:
        request: whose; its artifact plays no part.
        environment: where.
        to: the number of a release that went through; by default the last one with another artifact.
        settings: as for `canary`.
        observer: as for `canary`.

    Raises:
        RefusedError: there is no such release.
    """
    chosen = settings or load()
    with _begun(observer) as watching, opened(request, environment, chosen) as place, place.locked(watching) as lock:
        place.recover(lock, watching)
        records = place.known(watching)
        target = history.before(records, to)
        if target is None:
            raise RefusedError(
                f"{request.service} has no release {to or 'before this one'} in {environment} to go back to"
            )
        record = replace(
            place.record(f"rollback to {target.record.number}"),
            artifact=target.record.artifact,
            commit=target.record.commit,
        )
        return place.release(target.manifests, record, records, rolling_plan(), lock, watching)


@dataclass(frozen=True)
class Running:
    """A Deployment in short.

    Attributes:
        name: its own.
        image: what the service's container is to run.
        pods: how many it is to have.
        ready: how many are ready.
        updated: how many are of its newest template.
    """

    name: str
    image: str
    pods: int
    ready: int
    updated: int


@dataclass(frozen=True)
class Status:
    """What is known of a service in an environment.

    Attributes:
        environment: which.
        namespace: where it is.
        holder: who is releasing, by the lock; empty while nobody is.
        records: the releases so far, oldest first.
        deployments: the stable version's, and the canary's while there is one.
    """

    environment: str
    namespace: str
    holder: str
    records: Sequence[Record]
    deployments: Sequence[Running]


def status(request: DeployRequest, environment: str, *, settings: DeploySettings | None = None) -> Status:
    """The releases so far and what runs now; changes nothing."""
    with opened(request, environment, settings or load()) as place:
        lease = place.cluster.get(
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": place.lock_name, "namespace": place.namespace},
            }
        )
        holder = str((lease or {}).get("spec", {}).get("holderIdentity") or "")
        live_ones = [place.cluster.get(each) for each in (place.manifests.deployment, place.manifests.canary(1))]
        records = [kept.record for kept in place.history.records()]
        running = [_running(each) for each in live_ones if each]
        return Status(environment, place.namespace, holder, records, running)


def _running(deployment: Object) -> Running:
    now = deployment.get("status", {})
    name, image = deployment["metadata"]["name"], str(container(deployment)["image"])
    return Running(
        name, image, deployment["spec"]["replicas"], now.get("readyReplicas", 0), now.get("updatedReplicas", 0)
    )


@dataclass(frozen=True)
class Prospect:
    """What a release would do.

    Attributes:
        plan: its steps.
        objects: what the API server's own dry run says of each object: `create`, `change` or `keep`.
        traffic: `weights` or `pods`: what gives the canary its share of the traffic.
    """

    plan: Plan
    objects: Mapping[str, str]
    traffic: Literal["weights", "pods"]


def prospect(
    request: DeployRequest, environment: str, *, strategy: str = "canary", settings: DeploySettings | None = None
) -> Prospect:
    """The steps of a release by `canary` or `rolling`, and what it would change; changes nothing."""
    with opened(request, environment, settings or load()) as place:
        objects = {key(each): place.change(each) for each in place.manifests.objects}
        plan = place.plan if strategy == "canary" else rolling_plan()
        return Prospect(plan, objects, "weights" if routes(place.manifests) else "pods")


def changes(request: DeployRequest, environment: str, *, settings: DeploySettings | None = None) -> dict[str, str]:
    """What a release would do to each object, by the API server's own dry run: `create`, `change` or `keep`."""
    return dict(prospect(request, environment, settings=settings).objects)


@dataclass(frozen=True)
class Place:
    """A service in an environment of a cluster, with the manifests that are to be there."""

    request: DeployRequest
    environment: str
    settings: DeploySettings
    cluster: Cluster
    manifests: Manifests
    namespace: str
    commit: str
    folder: Path

    @property
    def lock_name(self) -> str:
        """The Lease of this service in this environment."""
        return f"{self.request.service}-{self.environment}-deploy"

    @property
    def history(self) -> History:
        """Its releases."""
        return History(self.cluster, self.request.service, self.environment, self.namespace)

    @property
    def plan(self) -> Plan:
        """The steps of a canary here, where nobody gives others."""
        return canary_plan(self.settings, weighted=bool(routes(self.manifests)))

    @property
    def metrics(self) -> Metrics:
        """Where analyses read."""
        if self.settings.prometheus_url:
            return PrometheusMetrics(self.settings.prometheus_url)
        return PodMetrics(self.cluster, self.settings.metrics_port)

    def locked(self, observer: Observer) -> Lock:
        """The lock, to be entered."""
        return Lock(
            self.cluster,
            self.namespace,
            self.lock_name,
            duration=self.settings.lease_duration,
            wait=self.settings.lock_wait,
            waiting=lambda holder: observer("note", {"text": f"waiting for the lock, which {holder} holds"}),
        )

    def change(self, item: Object) -> str:
        """What applying this object would do to the cluster."""
        before = self.cluster.get(item)
        try:
            after = self.cluster.apply(item, dry_run=True)
        except ApiRefusalError as error:
            if error.status != NOT_FOUND or not self._is_missing(str(item["metadata"].get("namespace", ""))):
                raise
            return "create"
        if before is None:
            return "create"
        return "keep" if _meant(before) == _meant(after) else "change"

    def _is_missing(self, namespace: str) -> bool:
        """Whether there is no such namespace yet, in which nothing can be tried."""
        return self.cluster.get({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}) is None

    def check(self) -> None:
        """Has the API server judge every object, by a dry run, before anything is touched.

        Raises:
            ReleaseFailedError: it refuses one.
        """
        for item in self.manifests.objects:
            if item["kind"] == "Namespace" and self.cluster.get(item) is None:
                self.cluster.apply(item)
            self.cluster.apply(item, dry_run=True)

    def recover(self, lock: Lock, observer: Observer) -> None:
        """Cleans up after a pipeline that was killed: its release is undone as if it had failed."""
        records = self.history.records()
        left = [kept for kept in records if kept.record.outcome == history.RUNNING]
        for kept in reversed(left):
            observer("note", {"text": f"release {kept.record.number} was left in the middle: cleaning up after it"})
            undone = self._release(kept, history.released(records), lock, observer)
            undone.touched()
            try:
                undone.restore()
            except KeyboardInterrupt:
                raise InterruptedReleaseError(
                    f"interrupted while cleaning up after release {kept.record.number}: run this again to end it"
                ) from None
            self.history.end(kept, history.INTERRUPTED, "its pipeline was killed; cleaned up by the next one")

    def known(self, observer: Observer) -> list[Kept]:
        """The records, the last of which to have gone through is what runs now.

        What runs otherwise, by hand or from before the first release, gets a record of its own, to be gone back to.
        """
        records = self.history.records()
        current = history.released(records)
        if current is None:
            there = history.found(self.cluster, self.manifests) if not records else None
        elif self._is_changed(current.manifests.deployment):
            text = f"what runs is not release {current.record.number}, somebody has changed it: it counts as one more"
            observer("note", {"text": text})
            there = history.found(self.cluster, current.manifests, self._next(records))
        else:
            return records
        return [*records, self.history.write(there)] if there else records

    def _is_changed(self, applied: Object) -> bool:
        """Whether applying it again would make other pods; what others have added beside it does not count."""
        before = self.cluster.get(applied)
        if before is None:
            return False
        again = {**applied, "spec": {**applied["spec"], "replicas": before["spec"]["replicas"]}}
        after = self.cluster.apply(again, dry_run=True)
        return bool(after["spec"]["template"] != before["spec"]["template"])

    def _next(self, records: Sequence[Kept]) -> int:
        return max((kept.record.number for kept in records), default=0) + 1

    def record(self, strategy: str) -> Record:
        """A new one for this place, without its number yet."""
        artifact = str(self.request.artifact or "")
        return Record(0, artifact, commit=self.commit, strategy=strategy, by=_who(), started=history.now())

    def release(
        self,
        manifests: Manifests,
        record: Record,
        records: list[Kept],
        plan: Plan,
        lock: Lock,
        observer: Observer,
        digest: str = "",
    ) -> Record:
        """Runs the plan, with its record written before anything is touched, and gives the record as it ended."""
        number = self._next(records)
        annotations = {
            f"{history.PREFIX}release": str(number),
            "kubernetes.io/change-cause": f"release {number}: {record.artifact}, {record.strategy}",
        }
        made = [each for each in manifests.objects if self.cluster.get(each) is None]
        kept = Kept(replace(record, number=number), manifests.annotated(annotations), made)
        kept = self.history.write(kept)
        release = self._release(kept, history.released(records), lock, observer)
        release.expected_digest = digest
        release.run(plan)
        with suppress(ReleaseError):  # the next release forgets them
            self.history.prune(self.settings.history_limit)
        observer("released", {"release": number, "artifact": record.artifact})
        return release.kept.record

    def _release(self, kept: Kept, old: Kept | None, lock: Lock, observer: Observer) -> Release:
        return Release(self.cluster, self.history, lock, self.metrics, self.settings, observer, kept, old)


@contextmanager
def opened(request: DeployRequest, environment: str, settings: DeploySettings) -> Iterator[Place]:
    """The place that a request means, its overlay fetched and rendered; nothing is changed by looking."""
    _check_environment(environment)
    with _folder(request, settings) as (folder, commit):
        manifests = render(folder, environment, request.service)
        if request.artifact:
            manifests = manifests.with_artifact(request.artifact)
        cluster = Cluster(settings.contexts.get(environment, ""), settings.api_patience)
        namespace = manifests.namespace or cluster.namespace
        placed = tracked(manifests.in_namespace(namespace))
        yield Place(request, environment, settings, cluster, placed, namespace, commit, folder)


def _release(
    request: DeployRequest,
    environment: str,
    plan: Plan | None,
    strategy: str,
    settings: DeploySettings,
    observer: Observer,
    *,
    force: bool,
) -> Record:
    if request.artifact is None:
        raise DeployUsageError(f"{request.service}: there is nothing to release yet: give it with_artifact")
    with opened(request, environment, settings) as place:
        told = {"namespace": place.namespace, "cluster": place.cluster.server}
        observer(
            "begin", {"service": request.service, "environment": environment, "artifact": str(request.artifact), **told}
        )
        digest = "" if force else _passed(place, request.artifact)
        place.check()
        with place.locked(observer) as lock:
            place.recover(lock, observer)
            records = place.known(observer)
            steps = plan or place.plan
            return place.release(place.manifests, place.record(strategy), records, steps, lock, observer, digest)


def _passed(place: Place, artifact: Artifact) -> str:
    """The digest that the artifact had where it has passed before.

    Raises:
        RefusedError: it has not passed in each environment that has to come before.
    """
    digests = {_digest_in(each, place, artifact) for each in place.settings.required_before.get(place.environment, ())}
    return next((each for each in digests if each), "")


def _digest_in(environment: str, place: Place, artifact: Artifact) -> str:
    namespace = render(place.folder, environment, place.request.service).namespace
    cluster = Cluster(place.settings.contexts.get(environment, ""), place.settings.api_patience)
    records = History(cluster, place.request.service, environment, namespace or cluster.namespace).records()
    through = [kept.record for kept in records if kept.record.outcome == history.RELEASED]
    passed = next((each for each in reversed(through) if _is_of(each, artifact) and each.strategy != "found"), None)
    if passed is None:
        raise RefusedError(
            f"{place.environment} takes only what has passed {environment}, and {artifact} has not:"
            " release it there first, or force it"
        )
    after = next((each for each in through if each.number > passed.number), None)
    if after and after.strategy.startswith("rollback"):
        raise RefusedError(
            f"{artifact} was rolled back in {environment}, by release {after.number} ({after.by}):"
            f" release it there again, or force it into {place.environment}"
        )
    return passed.digest


def _is_of(record: Record, artifact: Artifact) -> bool:
    """Whether it was of this image, by the version that is given or by the digest that its pods had."""
    by_digest = record.artifact.startswith(f"{artifact.image}:") and record.digest == artifact.version
    return record.artifact == str(artifact) or by_digest


@contextmanager
def _folder(request: DeployRequest, settings: DeploySettings) -> Iterator[tuple[Path, str]]:
    source = request.source
    if source is None:
        raise DeployUsageError(f"{request.service}: where are its manifests? give it from_git_repo or from_folder")
    if not source.repository:
        folder = Path(source.path)
        if not folder.is_dir():
            raise DeployUsageError(f"there is no folder {source.path!r} with manifests")
        yield folder, git.commit_of(folder, timeout=settings.git_timeout)
        return
    with git.checked_out(source.repository, source.revision, timeout=settings.git_timeout) as (root, commit):
        if not (root / source.path).resolve().is_relative_to(root.resolve()) or not (root / source.path).is_dir():
            raise DeployUsageError(f"the repository has no folder {source.path!r}")
        yield root / source.path, commit


@contextmanager
def _begun(observer: Observer | None) -> Iterator[Observer]:
    """What every way to release runs in: who is told, by default a live table, and what signals do."""
    with interruptible(), nullcontext(observer) if observer else progress_lines.shown() as watching:
        try:
            yield progress_lines.undisturbed(watching)
        except KeyboardInterrupt:
            raise InterruptedReleaseError("interrupted before anything was touched, or after all was done") from None


def _check_environment(environment: str) -> None:
    label = environment.replace("-", "")
    if not (label.isascii() and label.isalnum() and label.islower() and len(environment) <= LABEL_LIMIT):
        raise DeployUsageError(f"{environment!r} cannot name an environment: give a DNS label, such as qa")


def _meant(item: Object) -> Object:
    """The object without what the API server keeps for itself."""
    own = {"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"}
    metadata = {name: value for name, value in item["metadata"].items() if name not in own}
    return {**{name: value for name, value in item.items() if name != "status"}, "metadata": metadata}


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return socket.gethostname()
