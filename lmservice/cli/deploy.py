"""`lmservice deploy run|status|rollback|plan`: the release pipeline from a shell."""

import argparse
import contextlib
import json
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import TextIO, TypeAlias

from lmservice.deploy import (
    DeployRequest,
    DeployUsageError,
    canary,
    prospect,
    rollback,
    rolling,
    status,
)
from lmservice.deploy.progress_lines import planned, print_json, shown
from lmservice.errors import ExitCode, LmserviceError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name
_SHARES = {
    "weights": "by the weights of the overlay's routes",
    "pods": "its share of the pods, as no HTTPRoute or GRPCRoute of the overlay names the service",
}


def deploy(words: list[str]) -> ExitCode:
    """Run one of its commands.

    Raises:
        LmserviceError: it failed; the exit code is the error's.
    """
    options = parser().parse_args(words)
    try:
        code: ExitCode = options.command(options)
    except LmserviceError as error:
        if options.output == "json":
            with contextlib.suppress(OSError):  # whoever read the output is gone
                print_json(sys.stdout, "failed", {"reason": str(error), "exit_code": error.exit_code})
        raise
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of `lmservice deploy`; the reference in docs/ is made from it."""
    root = argparse.ArgumentParser(prog="lmservice deploy", description="Release a service to an environment.")
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    run = _add(commands, "run", _run, "release a version; a failure, Ctrl-C or SIGTERM rolls back")
    _add_artifact(run, required=True)
    run.add_argument("--strategy", choices=["canary", "rolling"], default="canary", help="default: canary")
    run.add_argument("--force", action="store_true", help="also where the artifact has not passed before")
    plan = _add(commands, "plan", _plan, "show the steps, and what would change; change nothing")
    _add_artifact(plan, required=False)
    plan.add_argument("--strategy", choices=["canary", "rolling"], default="canary", help="default: canary")
    _add(commands, "status", _status, "show what runs, and the releases so far")
    back = _add(commands, "rollback", _rollback, "release again what ran before")
    back.add_argument("--to", type=int, default=0, metavar="N", help="the number of a release, from status")
    return root


def _add(commands: Commands, name: str, command: object, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text)
    about = "the service, which is the name of its Deployment (default: the project's name in pyproject.toml)"
    parser.add_argument("service", nargs="?", metavar="SERVICE", help=about)
    parser.add_argument("--environment", required=True, metavar="E", help="the overlay: qa, preview, production, ...")
    parser.add_argument("--repository", metavar="URL", help="the Git repository of the overlays (default: this folder)")
    parser.add_argument("--revision", default="HEAD", help="its branch, tag or commit (default: HEAD)")
    parser.add_argument("--path", default="deploy", help="the folder of the overlays (default: deploy)")
    parser.add_argument("--output", choices=["live", "json"], default="live", help="json: one object a line")
    parser.set_defaults(command=command)
    return parser


def _add_artifact(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--image", required=required, help="the image, without its tag")
    parser.add_argument("--version", required=required, help="its tag, or sha256:...")


def _request(options: argparse.Namespace) -> DeployRequest:
    request = DeployRequest(options.service or _project())
    if options.repository:
        request = request.from_git_repo(options.repository, path=options.path, revision=options.revision)
    else:
        request = request.from_folder(options.path)
    image, version = getattr(options, "image", None), getattr(options, "version", None)
    if bool(image) != bool(version):
        raise DeployUsageError("--image and --version go together")
    return request.with_artifact(image, version) if image and version else request


def _project() -> str:
    try:
        return str(tomllib.loads(Path("pyproject.toml").read_text())["project"]["name"])
    except (OSError, KeyError, ValueError):
        raise DeployUsageError("which service? there is no pyproject.toml here that names a project") from None


def _run(options: argparse.Namespace) -> ExitCode:
    request = _request(options)
    release = canary if options.strategy == "canary" else rolling
    with shown(options.output, _stream(options)) as observer:
        release(request, options.environment, force=options.force, observer=observer)
    return ExitCode.CLEAN


def _rollback(options: argparse.Namespace) -> ExitCode:
    with shown(options.output, _stream(options)) as observer:
        rollback(_request(options), options.environment, to=options.to, observer=observer)
    return ExitCode.CLEAN


def _stream(options: argparse.Namespace) -> TextIO:
    return sys.stdout if options.output == "json" else sys.stderr


def _plan(options: argparse.Namespace) -> ExitCode:
    outlook = prospect(_request(options), options.environment, strategy=options.strategy)
    if options.output == "json":
        changes = [asdict(change) for change in outlook.changes]
        summary = {"objects": outlook.objects, "traffic": outlook.traffic, "changes": changes, "note": outlook.note}
        _say(json.dumps({"steps": outlook.plan.data(), **summary}))
        return ExitCode.CLEAN
    for number, step in enumerate(outlook.plan.steps, 1):
        _say(f"{number}. {step}")
    if outlook.note:
        _say(outlook.note)
    elif options.strategy == "canary":
        _say(f"the canary's share of the traffic: {_SHARES[outlook.traffic]}")
    for line in planned(outlook):
        _say(line)
    return ExitCode.CLEAN


def _status(options: argparse.Namespace) -> ExitCode:
    request = _request(options)
    running = status(request, options.environment)
    if options.output == "json":
        _say(json.dumps(asdict(running)))
        return ExitCode.CLEAN
    for deployment in running.deployments:
        _say(f"{deployment.name}: {deployment.ready} of {deployment.pods} pods ready, {deployment.image}")
    if running.holder:
        _say(f"being released by {running.holder}")
    if not running.records:
        _say(f"{request.service} in {running.environment} (namespace {running.namespace}): nothing released yet")
    for record in reversed(running.records):
        about = f"{record.number:>4}  {record.started}  {record.outcome:<11}  {record.strategy:<13}  {record.artifact}"
        _say(" ".join([about, record.commit[:12], record.reason]).rstrip())
    return ExitCode.CLEAN


def _say(line: str) -> None:
    print(line)  # noqa: T201 - the command's output
