"""The check that rendered Kubernetes manifests agree with a service: its ports, its probes, its stop, its settings.

`check` reads the manifests, finds the workloads that run the service, takes the environment of their container as
the service's settings, and compares. Nothing here asks a cluster.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from lmservice.manifests import (
    documents,
    exposure,
    monitoring,
    network,
    probes,
    scaling,
    secret_files,
    security,
    selection,
    settings,
    stopping,
)
from lmservice.manifests import workload as workloads
from lmservice.manifests.finding import Finding
from lmservice.manifests.objects import Object
from lmservice.manifests.quoted import unquoted
from lmservice.manifests.workload import Workload
from lmservice.settings.model import Settings
from lmservice.settings.variables import PREFIX

__all__ = ["Finding", "check"]

_RULES = (
    settings.judge, secret_files.judge, probes.judge, stopping.judge, network.judge, monitoring.judge, scaling.judge,
    security.judge, selection.spread, selection.shared, exposure.judge,
)  # fmt: skip


def check(
    source: str,
    *,
    name: str,
    settings: type[Settings] = Settings,
    image: Mapping[str, str] | None = None,
    takes_requests: bool = True,
) -> list[Finding]:
    """Compare rendered manifests with a service; return what disagrees, by file and line.

    Args:
        source: a folder or a file of YAML, a kustomization, or `-` for standard input.
        name: the service's, as its `Service` has it.
        settings: the class of its settings.
        image: variables that the container's image sets; default the `LM_` variables of this process's environment.
        takes_requests: whether the service has `routes` or an `app`, and so a port.

    Raises:
        UsageError: there is nothing to read, or what there is has to be rendered first, and cannot be here.
        MissingExtraError: PyYAML is not installed: the extra `lmservice[manifests]` brings it.
    """
    written, unreadable = documents.read(source)
    objects, findings = [], list(unreadable)
    for manifest in written:
        meant, quoted = unquoted(manifest)
        objects.append(meant)
        findings += quoted
    if image is None:
        image = {key: value for key, value in os.environ.items() if key.upper().startswith(PREFIX)}
    if objects:
        findings += _judged(
            objects,
            _mine(workloads.find(name, objects, settings, image), takes_requests=takes_requests),
            whole=not unreadable,
        )
    return sorted(dict.fromkeys(findings), key=lambda finding: (finding.file, finding.line))


def _mine(candidates: Iterator[Workload | Finding], *, takes_requests: bool) -> list[Workload | Finding]:
    return [
        replace(candidate, takes_requests=takes_requests) if isinstance(candidate, Workload) else candidate
        for candidate in candidates
    ]


def _judged(objects: Sequence[Object], mine: Sequence[Workload | Finding], *, whole: bool) -> Iterator[Finding]:
    """Yield what disagrees; where a file could not be read, nothing is said to be missing that may be in it."""
    if whole:
        yield from selection.judge(objects)
    for candidate in mine:
        if isinstance(candidate, Workload):
            for rule in _RULES:
                yield from rule(candidate)
        elif whole:
            yield candidate
