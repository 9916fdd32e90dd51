"""The questions of `lmservice new`: each answer is checked as it is given, and asked for again with the reason."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from lmservice.cli import template
from lmservice.errors import UsageError

Check = Callable[[str, str], str]
"""What is wrong with the answer to a question of this name; empty where nothing is."""


def ask(answers: Mapping[str, str], check: Check) -> dict[str, str]:
    """Return these answers, and those to whatever else the template asks, read from standard input.

    Args:
        answers: what is known already, and not asked.
        check: what is held against an answer beside the template's own rules.

    Raises:
        UsageError: standard input ended before all was answered.
    """
    complete = dict(answers)
    for name, (words, default) in template.questions().items():
        if name not in complete:
            complete[name] = _answer(name, words, default, check)
    return complete


def _answer(name: str, words: str, default: Any, check: Check) -> str:
    prompt = _prompt(words, default)
    while True:
        try:
            typed = input(prompt).strip()
        except EOFError:
            raise UsageError("nobody answers on standard input: give NAME=VALUE and --no-input") from None
        except UnicodeDecodeError:
            print("  what was typed is no text in UTF-8", file=sys.stderr)  # noqa: T201 - the command's output
            continue
        answer = _meant(typed, default)
        reason = "".join(template.problems({name: answer})) or check(name, answer)
        if not reason:
            return answer
        print(f"  {reason}", file=sys.stderr)  # noqa: T201 - the command's output


def _prompt(words: str, default: Any) -> str:
    if isinstance(default, list):
        numbered = ", ".join(f"{number} {choice}" for number, choice in enumerate(default, 1))
        return f"{words}: {numbered} [1]: "
    return f"{words} [{_text(default)}]: "


def _meant(typed: str, default: Any) -> str:
    """Return the answer: nothing typed is the default, and a choice may be typed as its number."""
    if not isinstance(default, list):
        return typed or _text(default)
    choices = [str(choice) for choice in default]
    numbers = {str(number): choice for number, choice in enumerate(choices, 1)}
    return numbers.get(typed or "1", typed)


def _text(default: Any) -> str:
    return ("yes" if default else "no") if isinstance(default, bool) else str(default)
