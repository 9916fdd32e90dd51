"""`lmservice completion`: what a shell completes after `lmservice`, made from the commands' own parsers."""

import argparse
from collections.abc import Iterator, Mapping, Sequence

from lmservice.errors import ExitCode

_BASH = """\
# In ~/.bashrc: source <(lmservice completion bash)
_lmservice() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands}"
    else
        case "${{COMP_WORDS[1]}}" in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _lmservice lmservice
"""
_ZSH = """\
# In ~/.zshrc, after compinit: source <(lmservice completion zsh)
_lmservice() {{
    local -a found
    if (( CURRENT == 2 )); then
        found=({commands})
    else
        case "${{words[2]}}" in
{cases}
        esac
    fi
    compadd -- $found
    _files
}}
compdef _lmservice lmservice
"""
SHELLS = ("bash", "zsh", "fish")


def show(shell: str, root: argparse.ArgumentParser) -> ExitCode:
    """Print the script for a shell, to be sourced."""
    words = _words(root)
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](words), end="")  # noqa: T201 - the command's output
    return ExitCode.CLEAN


def _words(root: argparse.ArgumentParser) -> dict[str, list[str]]:
    """Return what may follow each command that is for people: its options, and what its arguments are chosen from."""
    below = next(action for action in root._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001 - argparse offers no other way
    listed = {action.dest for action in below._choices_actions}  # noqa: SLF001
    return {name: list(_following(command)) for name, command in below.choices.items() if name in listed}


def _following(command: argparse.ArgumentParser) -> Iterator[str]:
    for action in command._actions:  # noqa: SLF001
        yield from (option for option in action.option_strings if option.startswith("--"))
        yield from (str(choice) for choice in action.choices or ())


def _cases(words: Mapping[str, Sequence[str]], line: str) -> str:
    return "\n".join(line.format(name=name, words=" ".join(following)) for name, following in words.items())


def _bash(words: Mapping[str, Sequence[str]]) -> str:
    return _BASH.format(commands=" ".join(words), cases=_cases(words, '            {name}) words="{words}" ;;'))


def _zsh(words: Mapping[str, Sequence[str]]) -> str:
    return _ZSH.format(commands=" ".join(words), cases=_cases(words, "            {name}) found=({words}) ;;"))


def _fish(words: Mapping[str, Sequence[str]]) -> str:
    lines = ["# In ~/.config/fish/config.fish: lmservice completion fish | source"]
    lines += [f"complete -c lmservice -n __fish_use_subcommand -a {name}" for name in words]
    for name, following in words.items():
        seen = f"-n '__fish_seen_subcommand_from {name}'"
        kinds = (f"-l {word[2:]}" if word.startswith("--") else f"-a {word}" for word in following)
        lines += [f"complete -c lmservice {seen} {kind}" for kind in kinds]
    return "\n".join(lines) + "\n"
