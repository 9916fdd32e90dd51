"""The reference of the command line, from its parsers."""

import argparse
from collections.abc import Iterator

from lmservice.cli import deploy, parser
from lmservice.errors import ExitCode
from tools.table import code, table

_HEAD = """\
# Command line

Made from the commands' own parsers by `./dev generate`. `lmservice COMMAND --help` says the same.
"""
_CODES = {
    ExitCode.CLEAN: "done; of `run`: stopped cleanly",
    ExitCode.FINDINGS: "`check`: findings; `verify-drain`: a loss; `stop`, `top`: no answer; `deploy`: taken back",
    ExitCode.USAGE: "bad settings or bad usage, every problem listed",
    ExitCode.START_FAILED: "`run`: the start failed, the job named",
    ExitCode.UNCLEAN: "`run`, and `stop` of what it stopped: work was cut off, or a clean-up failed",
    ExitCode.FORCED: "Ctrl-C, of `run`: the second one",
}


def render() -> str:
    """The reference, in Markdown."""
    codes = table(("exit code", ""), ((code(int(each)), _CODES[each]) for each in ExitCode))
    lines = [*_commands(parser.parser()), *_commands(deploy.parser())]
    return "\n".join([_HEAD, *codes, "", *lines])


def _commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Each command below a parser; one without help is not for people, and `deploy` has commands of its own."""
    below = next(each for each in parser._actions if isinstance(each, argparse._SubParsersAction))  # noqa: SLF001 - argparse offers no other way
    about = {each.dest: each.help for each in below._choices_actions}  # noqa: SLF001
    for name, command in below.choices.items():
        if name in about and command.add_help:
            yield from _command(command, str(about[name]))


def _command(command: argparse.ArgumentParser, about: str) -> Iterator[str]:
    actions = [each for each in command._actions if each.dest != "help" and each.help is not argparse.SUPPRESS]  # noqa: SLF001
    words = " ".join(_called(each) for each in actions if not each.option_strings)
    yield f"## `{' '.join([command.prog, *words.split()])}`\n"
    yield f"{about[:1].upper()}{about[1:]}.\n"
    rows = [(code(_called(each)), _help(each)) for each in actions]
    yield from [*table(("", ""), rows), ""] if rows else []


def _called(action: argparse.Action) -> str:
    name = str(action.metavar or (action.dest.upper() if action.nargs != 0 else ""))
    if action.nargs == "*" and not name.startswith("["):
        return f"[{name} ...]"
    if not action.option_strings:
        return name if action.nargs != "?" or name.startswith("[") else f"[{name}]"
    if action.choices:
        name = "|".join(map(str, action.choices))
    return f"{action.option_strings[0]} {name}".rstrip()


def _help(action: argparse.Action) -> str:
    if action.choices and not action.help:
        return f"default: {action.default}"
    return f"{action.help or ''}{'; required' if action.option_strings and action.required else ''}"
