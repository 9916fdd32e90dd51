"""What a pipeline calls: a release by canary or at once, and the way back."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

from lmservice.deploy import history, progress_lines
from lmservice.deploy.errors import DeployUsageError, InterruptedReleaseError, RefusedError
from lmservice.deploy.gate import passed_digest
from lmservice.deploy.history import Record
from lmservice.deploy.objects import Object, container
from lmservice.deploy.plan import Plan, rolling_plan
from lmservice.deploy.prospect import Prospect, prospect_of
from lmservice.deploy.release import Observer
from lmservice.deploy.request import DeployRequest
from lmservice.deploy.settings import DeploySettings, load
from lmservice.deploy.signals import interruptible
from lmservice.deploy.target import Target, opened
from lmservice.lease import holder_of, reference


def canary(
    request: DeployRequest,
    environment: str,
    *,
    plan: Plan | None = None,
    settings: DeploySettings | None = None,
    force: bool = False,
    observer: Observer | None = None,
) -> Record:
    """Release by a canary that is compared with the stable version before each stage.

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
    """Release by Kubernetes' own rolling update; a rollout that does not end is rolled back. As `canary` otherwise."""
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
    """Release again what ran before, as it was applied then.

    Args:
        request: whose; its artifact plays no part.
        environment: where.
        to: the number of a release that went through; by default what ran before, each time one further back.
        settings: as for `canary`.
        observer: as for `canary`.

    Raises:
        RefusedError: there is no such release.
    """
    chosen = settings or load()
    with _begun(observer) as watching, opened(request, environment, chosen) as target, target.locked(watching) as lock:
        target.recover(lock, watching)
        records = target.records_with_what_runs(lock, watching)
        goal = history.rollback_target(records, to)
        if goal is None:
            raise RefusedError(
                f"{request.service} has no release {to or 'before this one'} in {environment} to go back to"
            )
        watching("begin", _beginning(target, goal.record.artifact))
        watching("note", {"text": f"going back to release {goal.record.number}, of {goal.record.started}"})
        record = replace(
            target.record(f"rollback to {goal.record.number}"),
            artifact=goal.record.artifact,
            commit=goal.record.commit,
        )
        return target.release(goal.manifests, record, records, rolling_plan(), lock, watching)


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
    """Return the releases so far and what runs now; change nothing."""
    with opened(request, environment, settings or load()) as target:
        holder = holder_of(target.cluster.get(reference(target.namespace, target.lock_name)))
        live_ones = [target.cluster.get(item) for item in (target.manifests.deployment, target.manifests.canary(1))]
        records = [kept.record for kept in target.history.records()]
        running = [_running(deployment) for deployment in live_ones if deployment]
        return Status(environment, target.namespace, holder, records, running)


def _running(deployment: Object) -> Running:
    now = deployment.get("status", {})
    name, image = deployment["metadata"]["name"], str(container(deployment)["image"])
    return Running(
        name, image, deployment["spec"]["replicas"], now.get("readyReplicas", 0), now.get("updatedReplicas", 0)
    )


def prospect(
    request: DeployRequest, environment: str, *, strategy: str = "canary", settings: DeploySettings | None = None
) -> Prospect:
    """Return the steps of a release by `canary` or `rolling`, and what it would change; change nothing."""
    with opened(request, environment, settings or load()) as target:
        return prospect_of(target, strategy)


def changes(request: DeployRequest, environment: str, *, settings: DeploySettings | None = None) -> dict[str, str]:
    """Return what a release would do to each object: `create`, `change`, `keep` or `delete`."""
    return dict(prospect(request, environment, settings=settings).objects)


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
    with opened(request, environment, settings) as target:
        observer("begin", _beginning(target, str(request.artifact)))
        digest = "" if force else passed_digest(target, request.artifact)
        target.check()
        target.make_namespaces()
        with target.locked(observer) as lock:
            target.recover(lock, observer)
            records = target.records_with_what_runs(lock, observer)
            steps = plan or target.plan
            return target.release(target.manifests, target.record(strategy), records, steps, lock, observer, digest)


def _beginning(target: Target, artifact: str) -> Mapping[str, str]:
    where = {"namespace": target.namespace, "cluster": target.cluster.server}
    return {"service": target.request.service, "environment": target.environment, "artifact": artifact, **where}


@contextmanager
def _begun(observer: Observer | None) -> Iterator[Observer]:
    """Run a way to release: tell somebody, by default a live table, and let signals end it."""
    with interruptible(), nullcontext(observer) if observer else progress_lines.shown() as watching:
        try:
            yield progress_lines.undisturbed(watching)
        except KeyboardInterrupt:
            raise InterruptedReleaseError("interrupted before anything was touched, or after all was done") from None
