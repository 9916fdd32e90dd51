"""`lmservice check`: what is wrong with a service before it runs, or with the manifests that would run it."""

import json
import re
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

from lmservice.cli import migration, target, upgrade
from lmservice.cli.state_types import state_findings
from lmservice.errors import ExitCode, ServiceDefinitionError, SettingsError
from lmservice.service import Service
from lmservice.settings.default_secrets import default_secrets
from lmservice.settings.model import Settings
from lmservice.settings.variables import misspelt

Finding: TypeAlias = dict[str, Any]
"""What is told of one: `said`, a line, and of manifests where it is."""


def check(name: str, manifests: str | None = None, form: str = "table") -> ExitCode:
    """Check the settings and the job graph, and manifests where they are given; print each finding on a line.

    Notes follow: what changes for an app that ran by another server, and for a service that ran on an older version.
    They fail nothing.

    Args:
        name: MODULE:SERVICE.
        manifests: a folder of rendered manifests, or `-`; the settings are then the container's.
        form: `table` or `json`.

    Raises:
        UsageError: there is no such service, or nothing to read.
        MissingExtraError: PyYAML is not installed.
    """
    findings: list[Finding] = []
    notes: list[str] = []
    try:
        service = target.load(name)
        findings += _findings(service, manifests)
        lines = (*_graph_findings(service), *state_findings(service), *migration.missing_websockets(service))
        findings += [{"said": line} for line in lines]
        notes = _notes(service) if manifests is None else []
    except ServiceDefinitionError as error:
        findings.append({"said": str(error)})
    return _tell(findings, notes, form, name, manifests)


def _notes(service: Service) -> list[str]:
    try:
        settings = service.settings_class.load()
    except SettingsError:
        return migration.changes(service, None)
    return [*migration.changes(service, settings), *upgrade.changed_defaults(service, settings)]


def _findings(service: Service, manifests: str | None) -> list[Finding]:
    if manifests is None:
        return [{"said": line} for line in _settings_findings(service)]
    from lmservice.manifests import check as compared  # noqa: PLC0415 - YAML comes with an extra

    unknown = [{"said": line} for line in _unknown(service.settings_class)]
    settings, takes_requests = service.settings_class, service.takes_requests
    differences = compared(manifests, name=service.name, settings=settings, takes_requests=takes_requests)
    return [*unknown, *({"said": str(difference), **difference.report()} for difference in differences)]


def _tell(findings: Sequence[Finding], notes: Sequence[str], form: str, name: str, manifests: str | None) -> ExitCode:
    if form == "json":
        entries = [*findings, *({"said": note, "note": True} for note in notes)]
        print(json.dumps(entries, indent=2, ensure_ascii=False))  # noqa: T201 - the command's output
    else:
        for line in (*(finding["said"] for finding in findings), *(f"note: {note}" for note in notes)):
            print(line)  # noqa: T201
    if findings:
        print(f"lmservice: {len(findings)} to mend in {name}", file=sys.stderr)  # noqa: T201
        return ExitCode.FINDINGS
    if form != "json":
        also = f", and the manifests of {manifests} agree with it" if manifests else ""
        print(f"{name}: settings, start-up jobs and periodic jobs are well{also}")  # noqa: T201
    return ExitCode.CLEAN


def _settings_findings(service: Service) -> list[str]:
    settings = service.settings_class
    unknown = _unknown(settings)
    try:
        loaded = settings.load()
    except SettingsError as error:
        return error.problems + unknown
    known = "is a secret, and at the default that everybody can read in the code: set it, or LM_ALLOW_DEFAULT_SECRETS"
    secrets = (f"{name}: {known}" for name in default_secrets(loaded))
    return [*unknown, *secrets, *_overwriting(loaded), *_unreadable(service, loaded)]


def _unreadable(service: Service, settings: Settings) -> list[str]:
    """Return what is declared as a function of the settings and cannot be read from these."""
    try:
        service.check(settings)
    except ServiceDefinitionError as error:
        return [line for line in str(error).splitlines() if line not in _graph_findings(service)]
    return []


def _graph_findings(service: Service) -> list[str]:
    try:
        service.check()
    except ServiceDefinitionError as error:
        return str(error).splitlines()
    return []


def _overwriting(settings: Settings) -> list[str]:
    """Return what is wrong with dotted names for Graphite, which nothing but their prefix tells apart."""
    prefix, instance = settings.graphite_prefix, re.sub(r"[^A-Za-z0-9_-]", "_", settings.instance)
    if not settings.graphite_url or settings.graphite_tags or not prefix or instance in prefix:
        return []
    wrong = f"LM_GRAPHITE_PREFIX: {prefix!r} does not tell instances apart, which overwrite each other's dotted names"
    return [f"{wrong}: leave it empty, have the instance ({instance}) in it, or set LM_GRAPHITE_TAGS=true"]


def _unknown(settings: type[Settings]) -> list[str]:
    return [
        f"{name}: no setting reads it" + (f"; did you mean {nearest}?" if nearest else "")
        for name, nearest in misspelt(settings).items()
    ]
