"""`lmservice check`: what is wrong with a service before it runs."""

import sys

from lmservice.cli import target
from lmservice.errors import ExitCode, ServiceDefinitionError, SettingsError
from lmservice.settings import Settings, misspelt


def check(name: str) -> ExitCode:
    """Looks at the settings and the job graph; prints each finding on a line.

    Raises:
        UsageError: there is no such service.
    """
    findings: list[str] = []
    try:
        service = target.load(name)
        findings += _settings_findings(service.settings_class)
        service.check()
    except ServiceDefinitionError as error:
        findings.append(str(error))
    for finding in findings:
        print(finding)  # noqa: T201 - the command's output
    if findings:
        print(f"lmservice: {len(findings)} to mend in {name}", file=sys.stderr)  # noqa: T201
        return ExitCode.FINDINGS
    print(f"{name}: settings, start-up jobs and periodic jobs are well")  # noqa: T201
    return ExitCode.CLEAN


def _settings_findings(settings: type[Settings]) -> list[str]:
    unknown = [
        f"{name}: no setting reads it" + (f"; did you mean {nearest}?" if nearest else "")
        for name, nearest in misspelt(settings).items()
    ]
    try:
        settings.load()
    except SettingsError as error:
        return error.problems + unknown
    return unknown
