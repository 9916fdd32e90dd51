"""Whose code a frame is in, where own code raised, and tracebacks in which other people's frames are folded."""

import asyncio
import json
import os
import traceback
from typing import Any

import starlette.routing

from lmservice import retry
from lmservice.telemetry.frames import folded, frames_of, owner, place

HERE = os.path.relpath(__file__)


def raised(function: Any) -> BaseException:
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - it is what the tests look at
        return error
    raise AssertionError


def parse() -> None:
    json.loads("{")


def parse_in_a_group() -> None:
    async def task() -> None:
        parse()

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(task())

    asyncio.run(run())


def test_code_is_own_that_is_neither_installed_nor_pythons_nor_lmservices() -> None:
    assert owner(__file__) == owner("/srv/shop/app.py") == ""
    assert owner(starlette.routing.__file__) == "starlette"
    assert owner(retry.__code__.co_filename) == "lmservice"
    assert owner(json.__file__) == owner("<frozen runpy>") == "Python"
    assert owner("/usr/lib/python3/dist-packages/six.py") == "six"


def test_the_place_of_an_exception_is_the_innermost_line_of_own_code() -> None:
    assert place(raised(parse)) == f"{HERE}:{parse.__code__.co_firstlineno + 1}"
    assert place(raised(parse_in_a_group)) == f"{HERE}:{parse.__code__.co_firstlineno + 1}"
    assert place(ValueError("never raised")) == ""


def test_where_no_code_is_own_the_innermost_of_all_is_the_place_but_for_the_handlers_package() -> None:
    error = raised(lambda: json.loads("{"))
    assert error.__traceback__ is not None
    assert error.__traceback__.tb_next is not None
    error.__traceback__ = error.__traceback__.tb_next.tb_next  # what follows the call
    frames = frames_of(error)
    assert not any(frame.own for frame in frames)
    assert place(error).startswith(f"{frames[-1].file}:")
    assert all(frame.own for frame in frames_of(error, "json"))


def test_frames_of_others_become_one_line_and_own_ones_are_marked() -> None:
    lines = folded("".join(traceback.format_exception(raised(parse)))).splitlines()
    assert [line for line in lines if line.startswith("> File")] == [
        f'> File "{__file__}", line {raised.__code__.co_firstlineno + 2}, in raised',
        f'> File "{__file__}", line {parse.__code__.co_firstlineno + 1}, in parse',
    ]
    assert lines[-2:] == [
        "    … 3 frames of Python",
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ]
    assert '    json.loads("{")' in lines


def test_a_group_is_folded_within_its_margin() -> None:
    lines = folded("".join(traceback.format_exception(raised(parse_in_a_group)))).splitlines()
    assert any(line.startswith("  | > File ") for line in lines)
    assert any(line.startswith("    |     … ") for line in lines)
    assert not any("decoder.py" in line for line in lines)


def test_a_traceback_without_own_code_is_left_as_it_is() -> None:
    text = (
        'Traceback (most recent call last):\n  File "/usr/lib/python3/dist-packages/six.py", line 1, in six\n    a()\nE'
    )
    assert folded(text) == text
