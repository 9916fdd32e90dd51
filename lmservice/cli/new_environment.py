"""`lmservice new-environment`: one more environment of a scaffolded service."""

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lmservice.errors import ExitCode, UsageError

OVERLAYS = Path("deploy") / "overlays"
PIPELINE = Path("deploy") / "pipeline.py"
README = Path("README.md")
KUSTOMIZATION = "kustomization.yaml"
LONGEST_NAME = 20
"""Leaves room in namespaces and hosts, in characters."""


def new_environment(name: str, source: str) -> ExitCode:
    """Add an environment to the service in the current folder: the overlay, the host, the stage of the pipeline.

    Args:
        name: the environment's; its host is in the domain of that name.
        source: the environment whose sizes it starts with, and behind which it comes in the pipeline.

    Raises:
        UsageError: no environment can be made, and why; nothing has changed.
    """
    _must_be_usable(name)
    overlay = _Overlay.read(source)
    text = overlay.renamed(name)
    host = _host(text)
    _must_be_new(name, host)
    pipeline, stage = _with_stage(name, source)
    readme = _with_row(name, overlay, host)
    try:
        _place(name, source, text)
        PIPELINE.write_text(pipeline)
        README.write_text(readme)
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}") from None
    _explain(name, source, host, stage, text)
    return ExitCode.CLEAN


def _must_be_usable(name: str) -> None:
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) or len(name) > LONGEST_NAME:
        limit = f"at most {LONGEST_NAME} small letters, digits and dashes, beginning with a letter"
        raise UsageError(f"an environment cannot be called {name!r}: it must be {limit}, as it names hosts")
    if not (OVERLAYS.is_dir() and PIPELINE.is_file()):
        raise UsageError(f"{Path.cwd()} is no scaffolded service, as it has no {OVERLAYS}: run this in the service's")


def _must_be_new(name: str, host: str) -> None:
    if (OVERLAYS / name).exists():
        raise UsageError(f"the environment {name!r} exists: {OVERLAYS / name} is there")
    for other in sorted(OVERLAYS.glob(f"*/{KUSTOMIZATION}")):
        if re.search(rf"\s{re.escape(host)}$", other.read_text(), re.MULTILINE):
            raise UsageError(f"the host {host} is that of {other.parent.name!r} already: choose another name")


@dataclass(frozen=True)
class _Overlay:
    """An environment's overlay, and where in it the environment is named."""

    environment: str
    text: str
    host_label: str

    @classmethod
    def read(cls, environment: str) -> "_Overlay":
        file = OVERLAYS / environment / KUSTOMIZATION
        if not file.is_file():
            there = ", ".join(sorted(path.parent.name for path in OVERLAYS.glob(f"*/{KUSTOMIZATION}")))
            raise UsageError(f"there is no environment {environment!r} to start from: {there or 'none'} are there")
        text = file.read_text()
        return cls(environment, text, _host(text).split(".")[1])

    def renamed(self, name: str) -> str:
        """Return the overlay of another environment."""
        text = self.text
        for what, pattern in self._names().items():
            text, times = re.subn(pattern, rf"\g<1>{name}\g<2>", text, flags=re.MULTILINE)
            if not times and what != "labels":
                file = OVERLAYS / self.environment / KUSTOMIZATION
                raise UsageError(f"{file} does not say its {what} as the template wrote it: copy the overlay by hand")
        return text

    def _names(self) -> dict[str, str]:
        old = re.escape(self.environment)
        return {
            "namespace": rf"^(namespace: .*-){old}()$",
            "instance": rf"^( *app\.kubernetes\.io/instance: .*-){old}()$",
            "LM_ENVIRONMENT": rf"^( *- LM_ENVIRONMENT=){old}()$",
            "host": rf"^( *value: [a-z0-9-]+\.){re.escape(self.host_label)}(\.[a-z0-9.-]+)$",
            "labels": rf"^( *environment: ){old}()$",
        }


def _host(text: str) -> str:
    match = re.search(
        r"^ *path: /spec/rules/0/host\n *value: ([a-z0-9-]+\.[a-z0-9-]+\.[a-z0-9.-]+)$", text, re.MULTILINE
    )
    if match is None:
        raise UsageError("the overlay does not set the host as the template wrote it: copy the overlay by hand")
    return match[1]


def _with_stage(name: str, source: str) -> tuple[str, str]:
    """Return the pipeline with one more stage, behind `source` and before the last; and which stage it comes before."""
    text = PIPELINE.read_text()
    match = re.search(r"^ENVIRONMENTS = \(\n(?P<stages>(?:    \"[a-z0-9-]+\",\n)+)\)$", text, re.MULTILINE)
    if match is None:
        raise UsageError(f"{PIPELINE} does not list its ENVIRONMENTS one a line, as the template wrote them: mend that")
    stages = re.findall(r'"(.*)"', match["stages"])
    if name in stages:
        raise UsageError(f"{PIPELINE} has a stage {name!r} already: take it out first")
    behind = stages.index(source) + 1 if source in stages else 0
    place = min(behind, len(stages) - 1)
    before = stages[place]
    stages.insert(place, name)
    lines = "".join(f'    "{stage}",\n' for stage in stages)
    return text[: match.start("stages")] + lines + text[match.end("stages") :], before


def _with_row(name: str, overlay: _Overlay, host: str) -> str:
    """Return README.md with the environment in its table, where there is one."""
    if not README.is_file():
        raise UsageError(f"{Path.cwd()} has no {README}: run this in the service's folder")
    old = re.escape(overlay.environment)
    row = rf"^\| {old} \| \S+ \| (\S+-){old} \|\n"
    return re.sub(row, rf"\g<0>| {name} | {host} | \g<1>{name} |\n", README.read_text(), count=1, flags=re.MULTILINE)


def _place(name: str, source: str, text: str) -> None:
    with tempfile.TemporaryDirectory(prefix=".new-environment-", dir=OVERLAYS) as folder:
        made = Path(shutil.copytree(OVERLAYS / source, Path(folder) / name))
        (made / KUSTOMIZATION).write_text(text)
        made.rename(OVERLAYS / name)


def _explain(name: str, source: str, host: str, stage: str, text: str) -> None:
    match = re.search(r"^namespace: (.*)$", text, re.MULTILINE)
    print(  # noqa: T201 - the command's output
        f"{name} is there, as large as {source}:\n"
        f"  {OVERLAYS / name}/  its overlay: change sizes there\n"
        f"  http://{host}/  its host\n"
        f"  {PIPELINE}  its stage, before {stage}\n"
        f"Its namespace is {match[1] if match else name}: make it, with the secrets that {source} has."
    )
