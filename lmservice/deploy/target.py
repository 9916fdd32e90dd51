"""A service in an environment of a cluster: what is to run there, its releases, its lock, and what a release does."""

import getpass
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lmservice.deploy import git, history, leftovers
from lmservice.deploy.cluster import NOT_FOUND, ApiRefusalError, Cluster
from lmservice.deploy.errors import DeployUsageError, InterruptedReleaseError, RefusedError, ReleaseError
from lmservice.deploy.figures import FiguresSource, PodMetrics, PrometheusMetrics
from lmservice.deploy.gateway_routes import backend, backends, routes, tracked
from lmservice.deploy.history import History, Record, StoredRelease
from lmservice.deploy.lock import Lock
from lmservice.deploy.objects import CANARY, STABLE, Object, is_marked, key
from lmservice.deploy.overlay import Manifests, render
from lmservice.deploy.plan import Plan, canary_plan
from lmservice.deploy.release import Observer, Release
from lmservice.deploy.request import DeployRequest
from lmservice.deploy.settings import DeploySettings

LABEL_LIMIT = 63
"""Characters that a DNS label may have at the most, and so an environment's name."""


@dataclass(frozen=True)
class Target:
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
        """Return the name of the Deployment's Lease, which two environments in one namespace share."""
        return f"{self.request.service}-deploy"

    @property
    def history(self) -> History:
        """Return its releases."""
        return History(self.cluster, self.request.service, self.environment, self.namespace)

    def guarded_history(self, lock: Lock) -> History:
        """Return its releases, written as long as the lock is held."""
        return History(self.cluster.guarded(lock.check), self.request.service, self.environment, self.namespace)

    @property
    def plan(self) -> Plan:
        """Return the steps of a canary here, where nobody gives others."""
        return canary_plan(self.settings, weighted=bool(routes(self.manifests)))

    @property
    def figures(self) -> FiguresSource:
        """Return where analyses read."""
        if self.settings.prometheus_url:
            return PrometheusMetrics(self.settings.prometheus_url)
        return PodMetrics(self.cluster, self.settings.metrics_port)

    def locked(self, observer: Observer) -> Lock:
        """Return the lock, to be entered."""
        return Lock(
            self.cluster,
            self.namespace,
            self.lock_name,
            duration=self.settings.lease_duration,
            wait=self.settings.lock_wait,
            waiting=lambda holder: observer("note", {"text": f"waiting for the lock, which {holder} holds"}),
        )

    def check(self) -> None:
        """Have the API server judge every object, by a dry run, before anything is touched.

        Raises:
            DeployUsageError: the overlay has a name of its own that a canary needs.
            RefusedError: something else has such a name.
            ReleaseFailedError: the API server refuses an object.
        """
        self._check_names()
        for item in self.manifests.objects:
            try:
                self.cluster.apply(item, dry_run=True)
            except ApiRefusalError as error:
                if error.status != NOT_FOUND or self.namespaces_to_make.isdisjoint({item["metadata"].get("namespace")}):
                    raise

    def _check_names(self) -> None:
        own = {key(item) for item in self.manifests.objects}
        services = [backend(service, track) for service in backends(self.manifests) for track in (STABLE, CANARY)]
        for item in (self.manifests.canary(1), *services):
            kind, name = item["kind"], item["metadata"]["name"]
            why = f"a canary of {self.request.service} needs that name"
            if key(item) in own:
                raise DeployUsageError(f"the overlay has a {kind} {name} of its own, and {why}: rename it")
            if leftovers.is_foreign(self.cluster, item):
                raise RefusedError(f"the {kind} {name} in {self.namespace} is not lmservice's, and {why}: rename it")

    @cached_property
    def namespaces_to_make(self) -> set[str]:
        """Return the namespaces of the overlay that there are not yet, in which nothing can be tried."""
        named = [namespace for namespace in self.manifests.objects if namespace["kind"] == "Namespace"]
        return {namespace["metadata"]["name"] for namespace in named if self.cluster.get(namespace) is None}

    def make_namespaces(self) -> None:
        """Make the overlay's namespaces that are missing, as the lock is in one, and try there what could not be."""
        if not self.namespaces_to_make:
            return
        for item in self.manifests.objects:
            if item["kind"] == "Namespace" and item["metadata"]["name"] in self.namespaces_to_make:
                self.cluster.apply(item)
        for item in self.manifests.objects:
            self.cluster.apply(item, dry_run=True)

    def recover(self, lock: Lock, observer: Observer) -> None:
        """Clean up after a pipeline that was killed: undo its release as if it had failed."""
        records = self.history.records()
        left = [kept for kept in records if kept.record.outcome == history.RUNNING]
        for kept in reversed(left):
            observer("note", {"text": f"release {kept.record.number} was left in the middle: cleaning up after it"})
            undone = self._release(kept, history.what_runs(records), lock, observer, records)
            try:
                undone.undo()
            except KeyboardInterrupt:
                raise InterruptedReleaseError(
                    f"interrupted while cleaning up after release {kept.record.number}: run this again to end it"
                ) from None
            self.guarded_history(lock).end(
                kept, history.INTERRUPTED, "its pipeline was killed; cleaned up by the next one"
            )

    def records_with_what_runs(self, lock: Lock, observer: Observer) -> list[StoredRelease]:
        """Return the records, the last of which that went through or was found is what runs now.

        What runs otherwise, by hand or from before the first release, gets a record of its own, to be gone back to.
        """
        records = self.history.records()
        current = history.what_runs(records)
        if current is None:
            adopted = history.adopt_running(self.cluster, self.manifests, self._next(records))
        elif self._is_changed(current.manifests.deployment):
            text = f"what runs is not release {current.record.number}, somebody has changed it: it counts as one more"
            observer("note", {"text": text})
            adopted = history.adopt_running(self.cluster, current.manifests, self._next(records))
        else:
            return records
        return [*records, self.guarded_history(lock).write(adopted)] if adopted else records

    def _is_changed(self, applied: Object) -> bool:
        """Return whether applying it again would make other pods; what others have added beside it does not count."""
        before = self.cluster.get(applied)
        if before is None:
            return False
        again = {**applied, "spec": {**applied["spec"], "replicas": before["spec"]["replicas"]}}
        after = self.cluster.apply(again, dry_run=True)
        return bool(after["spec"]["template"] != before["spec"]["template"])

    def _next(self, records: Sequence[StoredRelease]) -> int:
        return max((kept.record.number for kept in records), default=0) + 1

    def record(self, strategy: str) -> Record:
        """Make a new record for this target, without its number yet."""
        artifact = str(self.request.artifact or "")
        return Record(0, artifact, commit=self.commit, strategy=strategy, by=_who(), started=history.now())

    def release(
        self,
        manifests: Manifests,
        record: Record,
        records: list[StoredRelease],
        plan: Plan,
        lock: Lock,
        observer: Observer,
        digest: str = "",
    ) -> Record:
        """Run the plan, with its record written before anything is touched, and return the record as it ended."""
        number = self._next(records)
        made, marked = self._marked(manifests)
        annotations = {
            f"{history.PREFIX}release": str(number),
            history.CAUSE: f"release {number}: {record.artifact}, {record.strategy}",
        }
        kept = StoredRelease(replace(record, number=number), marked.annotated(annotations), made)
        kept = self.guarded_history(lock).write(kept)
        release = self._release(kept, history.what_runs(records), lock, observer, records)
        release.expected_digest = digest
        release.run(plan)
        with suppress(ReleaseError):  # the next release forgets them
            self.guarded_history(lock).prune(self.settings.history_limit)
        observer("released", {"release": number, "artifact": record.artifact})
        return release.kept.record

    def _marked(self, manifests: Manifests) -> tuple[list[Object], Manifests]:
        """Return what is not there yet, and all with lmservice's mark on that and on what it has made before."""
        live = {key(item): self.cluster.get(item) for item in manifests.objects}
        made = [item for item in manifests.objects if live[key(item)] is None]
        return made, manifests.marked({name for name, item in live.items() if item is None or is_marked(item)})

    def _release(
        self,
        kept: StoredRelease,
        old: StoredRelease | None,
        lock: Lock,
        observer: Observer,
        records: Sequence[StoredRelease],
    ) -> Release:
        cluster, stored = self.cluster.guarded(lock.check), self.guarded_history(lock)
        return Release(cluster, stored, lock, self.figures, self.settings, observer, kept, old, records)


@contextmanager
def opened(request: DeployRequest, environment: str, settings: DeploySettings) -> Iterator[Target]:
    """Give the target that a request means, its overlay fetched and rendered; nothing is changed by looking."""
    _check_environment(environment)
    with _folder(request, settings) as (folder, commit):
        manifests = render(folder, environment, request.service)
        if request.artifact:
            manifests = manifests.with_artifact(request.artifact)
        cluster = Cluster(settings.contexts.get(environment, ""), settings.api_patience)
        namespace = manifests.namespace or cluster.namespace
        objects = [cluster.placed(item, namespace) for item in manifests.objects]
        placed = tracked(Manifests(manifests.service, objects))
        yield Target(request, environment, settings, cluster, placed, namespace, commit, folder)


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


def _check_environment(environment: str) -> None:
    label = environment.replace("-", "")
    if not (label.isascii() and label.isalnum() and label.islower() and len(environment) <= LABEL_LIMIT):
        raise DeployUsageError(f"{environment!r} cannot name an environment: give a DNS label, such as qa")


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return socket.gethostname()
