"""The order of environments: what may be released to one, as it has passed those before it."""

from collections.abc import Sequence

from lmservice.deploy import history
from lmservice.deploy.cluster import Cluster
from lmservice.deploy.errors import RefusedError
from lmservice.deploy.history import History, Record, StoredRelease
from lmservice.deploy.overlay import render
from lmservice.deploy.request import Artifact
from lmservice.deploy.target import Target


def passed_digest(target: Target, artifact: Artifact) -> str:
    """Return the digest that the artifact had where it has passed before.

    Raises:
        RefusedError: it has not passed in each environment that has to come before, or was not one image there.
    """
    before = target.settings.required_before.get(target.environment, ())
    passed = {environment: _digest_in(environment, target, artifact) for environment in before}
    digests = {environment: digest for environment, digest in passed.items() if digest}
    if len(set(digests.values())) > 1:
        where = ", ".join(f"{digest} in {environment}" for environment, digest in digests.items())
        raise RefusedError(
            f"{artifact} is not one image: {where}: somebody has moved the tag;"
            f" release it there again, or the digest that is meant, or force it into {target.environment}"
        )
    return next(iter(digests.values()), "")


def _digest_in(environment: str, target: Target, artifact: Artifact) -> str:
    namespace = render(target.folder, environment, target.request.service).namespace
    cluster = Cluster(target.settings.contexts.get(environment, ""), target.settings.api_patience)
    stored = History(cluster, target.request.service, environment, namespace or cluster.namespace).records()
    ran = [kept for kept in stored if kept.record.outcome in {history.RELEASED, history.FOUND}]
    passed = next((kept for kept in reversed(ran) if _has_passed(kept.record, artifact)), None)
    if passed is None:
        raise RefusedError(
            f"{target.environment} takes only what has passed {environment}, and {artifact} has not:"
            " release it there first, or force it"
        )
    after = next((kept for kept in ran if kept.record.number > passed.record.number), None)
    if after and (how := _taken_back(after, ran)):
        raise RefusedError(
            f"{artifact} was rolled back in {environment}, {how}:"
            f" release it there again, or force it into {target.environment}"
        )
    return passed.record.digest


def _has_passed(record: Record, artifact: Artifact) -> bool:
    """Return whether it went through, and was of this image, by the version or by the digest that its pods had."""
    if record.outcome != history.RELEASED or record.strategy == history.FOUND:
        return False
    by_digest = record.artifact.startswith(f"{artifact.image}:") and record.digest == artifact.version
    return record.artifact == str(artifact) or by_digest


def _taken_back(after: StoredRelease, ran: Sequence[StoredRelease]) -> str:
    """Return how what had passed was taken back by what came next; empty where it was not."""
    if after.record.strategy.startswith("rollback"):
        return f"by release {after.record.number} ({after.record.by})"
    before = [kept for kept in ran if kept.record.number < after.record.number]
    undone = after.record.outcome == history.FOUND and history.undone_to(after, before)
    return f"by hand, to release {undone.record.number}" if undone else ""
