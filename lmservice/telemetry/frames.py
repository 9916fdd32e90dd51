"""The frames of a traceback: whose code each is in, where in its author's own code an exception was raised.

Own code is what is neither Python's, nor installed, nor lmservice's. A service that is installed, as in an image, is
told by the package of its handler.
"""

import os
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import NamedTuple

_PYTHONS = f"{Path(os.__file__).parent}/"
_LMSERVICES = f"{Path(__file__).parents[1]}/"
_INSTALLED = re.compile(r".*/(?:site|dist)-packages/([^/]+)")
_FRAME = re.compile(r'(?P<margin>[ |]*)  File "(?P<file>.+)", line \d+(?:, in .*)?$')


class Frame(NamedTuple):
    """One frame.

    Attributes:
        file: the name of the file, as Python has it.
        line: the number of the line.
        function: the name of the function.
        own: whether it is in own code.
    """

    file: str
    line: int
    function: str
    own: bool


@lru_cache(maxsize=1024)
def owner(file: str) -> str:
    """Return whose code a file is: a package's name, `Python`, or '' for own code."""
    if file.startswith(_LMSERVICES):
        return "lmservice"
    if installed := _INSTALLED.match(file):
        return installed[1].removesuffix(".py")
    return "Python" if file.startswith(("<", _PYTHONS)) else ""


def frames_of(error: BaseException, package: str = "") -> list[Frame]:
    """Return the frames of an exception's traceback, the innermost last.

    Args:
        error: the exception; of a group, the first of those in it.
        package: the name of one whose code is own, too.
    """
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(_frame(trace.tb_frame, trace.tb_lineno, package))
        trace = trace.tb_next
    if isinstance(error, BaseExceptionGroup):
        frames += frames_of(error.exceptions[0], package)
    return frames


def place(error: BaseException, package: str = "") -> str:
    """Return file and line of own code where an exception was raised; of any code where none is own.

    Args:
        error: the exception.
        package: the name of one whose code is own, too.
    """
    frames = frames_of(error, package)
    last = next((frame for frame in reversed(frames) if frame.own), frames[-1] if frames else None)
    return f"{shown(last.file)}:{last.line}" if last is not None else ""


def shown(file: str) -> str:
    """Return a file's name as people are shown it: relative to the current folder where it is below."""
    try:
        return file.removeprefix(f"{Path.cwd()}/")
    except OSError:  # there is no such folder any more
        return file


def folded(text: str) -> str:
    """Return a traceback in which own frames are marked, and neighbouring frames of others are one line.

    Args:
        text: as `traceback` formats it, with causes and groups; where no frame is own, it is left as it is.
    """
    lines: list[str] = []
    others: list[str] = []
    own, margin, marked = True, "", False
    for line in text.split("\n"):
        frame = _FRAME.match(line)
        if frame is None and not own and line.startswith(f"{margin}    "):
            continue  # the code of a frame that is folded
        own = frame is None or not owner(frame["file"])
        if frame is not None and not own:
            others.append(owner(frame["file"]))
            margin = frame["margin"]
            continue
        if others:
            lines.append(f"{margin}    … {_folded_line(others)}")
            others = []
        if frame is not None:
            marked = True
            line = f"{frame['margin']}> {line[len(frame['margin']) + 2 :]}"  # noqa: PLW2901 - the line, marked
        lines.append(line)
    return "\n".join(lines) if marked else text


def _folded_line(others: list[str]) -> str:
    names = ", ".join(Counter(others))
    return f"{len(others)} frame{'s' if len(others) > 1 else ''} of {names}"


def _frame(frame: FrameType, line: int, package: str) -> Frame:
    code = frame.f_code
    module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    own = not owner(code.co_filename) or (bool(package) and module == package)
    return Frame(code.co_filename, line, code.co_qualname if hasattr(code, "co_qualname") else code.co_name, own)
