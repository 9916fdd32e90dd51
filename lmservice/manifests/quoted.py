"""Numbers and booleans written as text, which the API server refuses: each is told, then read as it is meant."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import Object, Path
from lmservice.manifests.workload import KINDS

_KINDS = frozenset(
    (*KINDS, "Pod", "Job", "CronJob", "Service", "Ingress", "NetworkPolicy", "HorizontalPodAutoscaler",
     "PodDisruptionBudget")
)  # fmt: skip
_BOOLEANS = {"true": True, "false": False}
_FIELDS = frozenset(
    ("allowPrivilegeEscalation", "containerPort", "endPort", "failureThreshold", "hostNetwork", "hostPort",
     "initialDelaySeconds", "maxReplicas", "maxSurge", "maxUnavailable", "minAvailable", "minReadySeconds",
     "minReplicas", "number", "paused", "periodSeconds", "port", "privileged", "progressDeadlineSeconds",
     "publishNotReadyAddresses", "readOnlyRootFilesystem", "replicas", "runAsNonRoot", "runAsUser", "successThreshold",
     "targetPort", "terminationGracePeriodSeconds", "timeoutSeconds")
)  # fmt: skip
_TEXTS = frozenset(("annotations", "labels", "matchLabels", "metadata", "nodeSelector", "selector", "env", "data"))
"""What has text by right, under whatever names."""


def unquoted(of: Object) -> tuple[Object, list[Finding]]:
    """Return the object as it is meant, and what is wrong with how it is written."""
    if of.kind not in _KINDS or not isinstance(of.value("spec"), dict):
        return of, []
    paths = list(_quoted(of.value("spec"), ("spec",)))
    if not paths:
        return of, []
    expected = "the API server takes no text there"
    findings = [of.finding(path, f'"{of.value(*path)}"', expected, "remove the quotes") for path in paths]
    return replace(of, content={**of.content, "spec": _mended(of.value("spec"))}), findings


def _quoted(value: Any, path: Path) -> Iterator[Path]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        if key in _FIELDS and _meant(inner) is not inner:
            yield (*path, key)
        elif key not in _TEXTS:
            yield from _quoted(inner, (*path, key))


def _mended(value: Any) -> Any:
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _meant(inner) if key in _FIELDS and isinstance(inner, str) else inner if key in _TEXTS else _mended(inner)
        for key, inner in value.items()
    }


def _meant(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return int(value) if value.isascii() and value.isdigit() else _BOOLEANS.get(value, value)
