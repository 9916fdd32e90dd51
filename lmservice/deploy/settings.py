"""What a release may be told by its environment: variables `LM_DEPLOY_...`."""

from typing import Any

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from lmservice.deploy.errors import DeployUsageError

PREFIX = "LM_DEPLOY_"


def _required_before() -> dict[str, tuple[str, ...]]:
    return {"production": ("qa", "preview")}


class DeploySettings(BaseSettings):
    """Times are in seconds.

    Attributes:
        contexts: the kubeconfig context of each environment; where it has none, the current context.
        required_before: for an environment, those that the same artifact must have passed before.
        canary_pods: how many pods the canary begins with.
        canary_weight: per cent of the traffic that its first pods get where a route of the Gateway API gives it.
        route_settle: how long gateways may take to follow a change of a route or of what it names.
        stages: the canary's shares of the traffic on its way, in per cent, rising and ending at 100.
        analysis_duration: how long canary and stable are compared at each stage.
        analysis_interval: how often their metrics are read meanwhile.
        failure_limit: how many readings in a row may be bad before the release fails.
        min_requests: each version's requests in the window below which the comparison is inconclusive.
        error_ratio_allowance: how much more of the canary's answers may be 5xx than of the stable's.
        latency_factor: how many times the stable's p99 the canary's may be.
        latency_allowance: seconds on top of that.
        max_restarts: container restarts that a new pod may have.
        prometheus_url: where the metrics are read, with user and password where it asks for them; empty: from the pods,
            through the API server.
        metrics_port: the pods' management port, for reading them from there.
        ready_timeout: how long new pods may take to get ready.
        api_patience: how long the API server may be unreachable before the release is rolled back.
        rollback_patience: how long it may be unreachable while rolling back.
        lease_duration: how long the lock outlives a pipeline that was killed.
        lock_wait: how long to wait for another pipeline's lock.
        git_timeout: how long each git command may take.
        history_limit: how many releases are remembered.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    contexts: dict[str, str] = Field(default_factory=dict)
    required_before: dict[str, tuple[str, ...]] = Field(default_factory=_required_before)
    canary_pods: PositiveInt = 1
    canary_weight: int = Field(10, ge=1, lt=100)
    route_settle: NonNegativeFloat = 3
    stages: tuple[PositiveInt, ...] = Field((25, 50, 100), min_length=1)
    analysis_duration: PositiveFloat = 60
    analysis_interval: PositiveFloat = 5
    failure_limit: NonNegativeInt = 2
    min_requests: PositiveInt = 100
    error_ratio_allowance: float = Field(0.01, ge=0, lt=1)
    latency_factor: float = Field(1.5, ge=1)
    latency_allowance: NonNegativeFloat = 0.05
    max_restarts: NonNegativeInt = 0
    prometheus_url: str = Field("", pattern=r"^(https?://[^\s/]+\S*)?$")
    metrics_port: int = Field(8002, gt=0, lt=65536)
    ready_timeout: PositiveFloat = 300
    api_patience: PositiveFloat = 20
    rollback_patience: PositiveFloat = 300
    lease_duration: int = Field(30, ge=5)
    lock_wait: NonNegativeFloat = 45
    git_timeout: PositiveFloat = 60
    history_limit: int = Field(10, ge=2)


def load(**overrides: Any) -> DeploySettings:
    """Load the settings of this process's environment, with `overrides` above them.

    Raises:
        DeployUsageError: one line for each variable that cannot be used; no line holds a value.
    """
    try:
        return DeploySettings(**overrides)
    except ValidationError as error:
        problems = [f"{_variable(problem['loc'])}: {problem['msg']}" for problem in error.errors(include_input=False)]
        raise DeployUsageError("\n".join(problems)) from None
    except SettingsError as error:
        raise DeployUsageError(f"{PREFIX}*: {error}: give JSON, such as [25, 50, 100]") from None


def _variable(place: tuple[int | str, ...]) -> str:
    name, *within = (str(part) for part in place)
    return ".".join([PREFIX + name.removeprefix(PREFIX.lower()).upper(), *within])
