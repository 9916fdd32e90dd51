"""The commands: what each takes, and which module does it."""

import argparse
import sys
from collections.abc import Sequence
from typing import TypeAlias

from lmservice.cli.outcome import exit_code
from lmservice.cli.project import service_of
from lmservice.errors import ExitCode, UsageError
from lmservice.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default the process's own arguments; the exit codes are the contract's."""
    options = _parsed(arguments)
    return exit_code(lambda: int(options.command(options)))


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command's options; words may stand before and after them, which argparse itself leaves over."""
    root = parser()
    options, left = root.parse_known_args(arguments)
    if left and ("words" not in options or any(word.startswith("-") for word in left)):
        root.error(f"unrecognized arguments: {' '.join(left)}")
    if left:
        options.words += left
    return options


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command; the reference in docs/ is made from it."""
    root = argparse.ArgumentParser(prog="lmservice", description="Run and look after lmservice services.")
    root.add_argument("--version", action="version", version=f"lmservice {__version__}")
    root.set_defaults(command=lambda _options: _help(root))
    commands = root.add_subparsers(metavar="COMMAND")
    _add_run(commands)
    _add_job(commands)
    _add_stop(commands)
    _add_config(commands)
    _add_check(commands)
    _add_new(commands)
    _add_new_environment(commands)
    _add_top(commands)
    _add_verify_drain(commands)
    _add_deploy(commands)
    _add_routes(commands)
    _add_doctor(commands)
    _add_completion(commands)
    _add_worker(commands)
    return root


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name


def _add_run(commands: "Commands") -> None:
    parser = commands.add_parser("run", help="run a service in the foreground")
    _add_target(parser)
    parser.add_argument("--reload", action="store_true", help="start anew whenever a source file changes")
    parser.set_defaults(command=_run)


def _add_job(commands: "Commands") -> None:
    parser = commands.add_parser("job", help="run one command of a service, and exit")
    about = "where the service is, as for run; the command's name; and what it is given"
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="MODULE:SERVICE NAME [WORDS ...]", help=about)
    parser.set_defaults(command=_job)


def _add_stop(commands: "Commands") -> None:
    parser = commands.add_parser("stop", help="drain a running service, wait for it, print its report")
    parser.add_argument("--url", help="the management listener (default: http://localhost:$LM_MANAGEMENT_PORT)")
    parser.add_argument("--timeout", type=float, default=None, metavar="S", help="how long to wait, in seconds")
    parser.set_defaults(command=_stop)


def _add_config(commands: "Commands") -> None:
    parser = commands.add_parser("config", help="every setting: type, default, value, and where it came from")
    _add_target(parser)
    parser.add_argument("--format", choices=["table", "env", "markdown", "json"], default="table")
    parser.set_defaults(command=_config)


def _add_check(commands: "Commands") -> None:
    parser = commands.add_parser("check", help="find what is wrong before it runs")
    _add_target(parser)
    parser.add_argument(
        "--manifests", metavar="DIR", help="rendered Kubernetes manifests to compare it with; - is standard input"
    )
    parser.add_argument("--format", choices=["table", "json"], default="table")
    parser.set_defaults(command=_check)


ANSWERS = (
    "the folder to make it in, its name, and answers in advance: project_name, description, team, registry, "
    "cluster_domain, database, client, framework, and repository, service_port, management_port"
)


def _add_new(commands: "Commands") -> None:
    parser = commands.add_parser("new", help="make a new service, ready to run, test and deploy")
    parser.add_argument("words", nargs="*", metavar="[DIR] [NAME] [NAME=VALUE ...]", help=ANSWERS)
    parser.add_argument("--no-input", action="store_true", help="ask nothing: take the defaults for what is not given")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--replay", action="store_true", help="take the answers of the last time")
    again.add_argument(
        "--update", action="store_true", help="make the service in this folder anew, keeping what was changed in it"
    )
    parser.set_defaults(command=_new)


def _add_new_environment(commands: "Commands") -> None:
    parser = commands.add_parser("new-environment", help="add an environment to the service in this folder")
    parser.add_argument("name", metavar="NAME", help="what it is called, for example staging")
    parser.add_argument("--from", dest="source", metavar="ENV", default="qa", help="whose sizes it has (default: qa)")
    parser.set_defaults(command=_new_environment)


def _add_top(commands: "Commands") -> None:
    parser = commands.add_parser("top", help="watch running services in the terminal (needs lmservice[top])")
    about = "services on this machine by their names, or management listeners (default: all that run here)"
    parser.add_argument("instances", metavar="NAME|URL", nargs="*", help=about)
    parser.add_argument("--once", action="store_true", help="print what is going on once, and exit")
    parser.set_defaults(command=_top)


def _add_verify_drain(commands: "Commands") -> None:
    parser = commands.add_parser("verify-drain", help="stop a service under load, and say whether a request was lost")
    _add_target(parser)
    parser.add_argument("--path", default="/", help="what the clients ask for (default: /)")
    parser.add_argument("--clients", type=int, default=32, metavar="N", help="how many clients (default: 32)")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="of load before the stop (default: 2)")
    parser.add_argument("--signal", action="store_true", help="stop it by SIGTERM instead of /stop")
    parser.set_defaults(command=_verify_drain)


def _add_deploy(commands: "Commands") -> None:
    parser = commands.add_parser("deploy", help="release a service to an environment", add_help=False)
    parser.add_argument("words", nargs=argparse.REMAINDER)
    parser.set_defaults(command=_deploy)


def _add_routes(commands: "Commands") -> None:
    parser = commands.add_parser("routes", help="every route of a service: methods, path, endpoint")
    _add_target(parser)
    parser.set_defaults(command=_routes)


def _add_doctor(commands: "Commands") -> None:
    parser = commands.add_parser("doctor", help="what this machine has and lacks: extras, kubectl, ports, settings")
    parser.add_argument("target", metavar="MODULE:SERVICE", nargs="?", help="the service whose settings are read")
    parser.set_defaults(command=_doctor)


def _add_completion(commands: "Commands") -> None:
    parser = commands.add_parser("completion", help="print what makes a shell complete lmservice's commands")
    parser.add_argument("shell", choices=["bash", "zsh", "fish"])
    parser.set_defaults(command=_completion)


def _add_worker(commands: "Commands") -> None:
    parser = commands.add_parser("worker")  # without help, which keeps it out of the list: it is not for people
    parser.add_argument("target")
    parser.add_argument("descriptors", nargs=4, type=int)
    parser.set_defaults(command=_worker)


def _add_target(parser: argparse.ArgumentParser) -> None:
    about = "where the service is, for example hello:service (default: service in pyproject.toml's [tool.lmservice])"
    parser.add_argument("target", metavar="MODULE:SERVICE", nargs="?", help=about)


# Each command loads what it needs itself: a preStop hook must not wait for a web framework.


def _help(root: argparse.ArgumentParser) -> int:
    root.print_help(sys.stderr)
    return int(ExitCode.USAGE)


def _run(options: argparse.Namespace) -> int:
    if options.reload:
        from lmservice.cli import reload  # noqa: PLC0415

        return reload.run(service_of(options.target))
    from lmservice.cli import run  # noqa: PLC0415

    return int(run.run(service_of(options.target)))


def _worker(options: argparse.Namespace) -> int:
    from lmservice.cli import run  # noqa: PLC0415

    return int(run.worker(options.target, options.descriptors))


def _job(options: argparse.Namespace) -> int:
    from lmservice.cli import job  # noqa: PLC0415

    return int(job.job(options.words))


def _stop(options: argparse.Namespace) -> int:
    from lmservice.cli import stop  # noqa: PLC0415

    return int(stop.stop(options.url, options.timeout))


def _config(options: argparse.Namespace) -> int:
    from lmservice.cli import config, target  # noqa: PLC0415

    return int(config.show(target.load(service_of(options.target)), options.format))


def _check(options: argparse.Namespace) -> int:
    from lmservice.cli import check  # noqa: PLC0415

    return int(check.check(service_of(options.target), options.manifests, options.format))


def _new(options: argparse.Namespace) -> int:
    from lmservice.cli import new, update  # noqa: PLC0415

    if options.update:
        return int(update.update(options.words))
    return int(new.new(options.words, no_input=options.no_input, replay=options.replay))


def _new_environment(options: argparse.Namespace) -> int:
    from lmservice.cli import new_environment  # noqa: PLC0415

    return int(new_environment.new_environment(options.name, options.source))


def _top(options: argparse.Namespace) -> int:
    from lmservice.cli.top import command  # noqa: PLC0415

    return int(command.top(options.instances, once=options.once))


def _verify_drain(options: argparse.Namespace) -> int:
    from lmservice.cli import target  # noqa: PLC0415
    from lmservice.cli.verify_drain import command  # noqa: PLC0415

    name = service_of(options.target)
    service = target.load(name)
    if not service.takes_requests:
        raise UsageError(f"service {service.name!r} takes no requests that could be lost")
    settings = service.settings_class.load()
    asked = command.TrialOptions(name, options.path, options.clients, options.seconds, options.signal)
    return int(command.verify(asked, settings))


def _deploy(options: argparse.Namespace) -> int:
    from lmservice.cli import deploy  # noqa: PLC0415

    return int(deploy.deploy(options.words))


def _routes(options: argparse.Namespace) -> int:
    from lmservice.cli import routes, target  # noqa: PLC0415

    return int(routes.show(target.load(service_of(options.target))))


def _doctor(options: argparse.Namespace) -> int:
    from lmservice.cli import doctor  # noqa: PLC0415

    return int(doctor.doctor(options.target))


def _completion(options: argparse.Namespace) -> int:
    from lmservice.cli import completion  # noqa: PLC0415

    return int(completion.show(options.shell, parser()))
