"""The release pipeline: real Kubernetes does the work, a plan of steps decides, and a failure goes back by itself.

    microservice = (
        DeployRequest("search-service")
        .with_artifact("registry.intra/search-service", version="2")
        .from_git_repo("git.intra/team/search-service", path="deploy")
    )
    for environment in ("qa", "preview", "production"):
        canary(microservice, environment)

Needs `lmservice[deploy]`, and kubectl and git on PATH; of the server half nothing.
"""

from lmservice.deploy.errors import (
    ClusterUnreachableError,
    DeployUsageError,
    InterruptedReleaseError,
    LockLostError,
    RefusedError,
    ReleaseError,
    ReleaseFailedError,
)
from lmservice.deploy.history import Record
from lmservice.deploy.pipeline import Running, Status, canary, changes, prospect, rollback, rolling, status
from lmservice.deploy.plan import Analysis, CanaryPods, Pause, Plan, Promote, SetWeight, canary_plan, rolling_plan
from lmservice.deploy.prospect import Change, FieldChange, Prospect
from lmservice.deploy.release import Observer
from lmservice.deploy.request import Artifact, DeployRequest, Source
from lmservice.deploy.settings import DeploySettings

__all__ = [
    "Analysis",
    "Artifact",
    "CanaryPods",
    "Change",
    "ClusterUnreachableError",
    "DeployRequest",
    "DeploySettings",
    "DeployUsageError",
    "FieldChange",
    "InterruptedReleaseError",
    "LockLostError",
    "Observer",
    "Pause",
    "Plan",
    "Promote",
    "Prospect",
    "Record",
    "RefusedError",
    "ReleaseError",
    "ReleaseFailedError",
    "Running",
    "SetWeight",
    "Source",
    "Status",
    "canary",
    "canary_plan",
    "changes",
    "prospect",
    "rollback",
    "rolling",
    "rolling_plan",
    "status",
]
