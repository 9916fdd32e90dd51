"""The order of environments: what may be released to one, as it has passed those before it."""

from lmservice.deploy import history
from lmservice.deploy.cluster import Cluster
from lmservice.deploy.errors import RefusedError
from lmservice.deploy.history import History, Record
from lmservice.deploy.overlay import render
from lmservice.deploy.request import Artifact
from lmservice.deploy.target import Target


def passed_digest(target: Target, artifact: Artifact) -> str:
    """Return the digest that the artifact had where it has passed before.

    Raises:
        RefusedError: it has not passed in each environment that has to come before.
    """
    digests = {
        _digest_in(each, target, artifact) for each in target.settings.required_before.get(target.environment, ())
    }
    return next((each for each in digests if each), "")


def _digest_in(environment: str, target: Target, artifact: Artifact) -> str:
    namespace = render(target.folder, environment, target.request.service).namespace
    cluster = Cluster(target.settings.contexts.get(environment, ""), target.settings.api_patience)
    records = History(cluster, target.request.service, environment, namespace or cluster.namespace).records()
    through = [kept.record for kept in records if kept.record.outcome == history.RELEASED]
    passed = next((each for each in reversed(through) if _is_of(each, artifact) and each.strategy != "found"), None)
    if passed is None:
        raise RefusedError(
            f"{target.environment} takes only what has passed {environment}, and {artifact} has not:"
            " release it there first, or force it"
        )
    after = next((each for each in through if each.number > passed.number), None)
    if after and after.strategy.startswith("rollback"):
        raise RefusedError(
            f"{artifact} was rolled back in {environment}, by release {after.number} ({after.by}):"
            f" release it there again, or force it into {target.environment}"
        )
    return passed.digest


def _is_of(record: Record, artifact: Artifact) -> bool:
    """Return whether it was of this image, by the version that is given or by the digest that its pods had."""
    by_digest = record.artifact.startswith(f"{artifact.image}:") and record.digest == artifact.version
    return record.artifact == str(artifact) or by_digest
