"""Feeds a connection with damaged requests, and looks that nothing escapes: `wire_fuzz.py --seconds 3600`.

Each is one or several of the corpus, cut, doubled, overwritten, spliced, and given in pieces. Whatever comes of it, no
exception may reach the event loop, nothing may be logged as an error, every answer is one whose form is right, and
nothing is left behind: no request under way, no timer.
"""

import argparse
import asyncio
import logging
import random
import re
import sys
import time
from collections import Counter

from wire import Wire, in_parts
from wire_corpus import BROKEN_BODIES, REFUSED, SERVED

SEEDS = [case.data for case in (*SERVED, *REFUSED, *BROKEN_BODIES) if len(case.data) < 10_000]
WORDS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b"\xff",
        b"0",
        b"-1",
        b"ffffffffffffffff",
        b"\r\n\r\n",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Host: a\r\n", b"Connection: close\r\n"),
    *(
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b"HTTP/1.0",
        b"HTTP/1.1",
        b"GET ",
        b"HEAD ",
    ),
    *(b"0\r\n\r\n", b"http://b/", b"*", b"?", b"#", b"%", b"%zz", b"X: " + b"y" * 5000 + b"\r\n"),
]
_RESPONSE = re.compile(rb"HTTP/1\.1 (?:100 Continue\r\n\r\n|[2-5]\d\d [^\r\n]*\r\n(?:[a-z-]+: [^\r\n]*\r\n)+\r\n)")


class Escaped(Exception):  # noqa: N818 - what the fuzzer looks for
    """Something that must not be has been seen."""


def mutated(source: random.Random) -> bytes:
    """Return some requests, damaged in some places."""
    data = bytearray(b"".join(source.choices(SEEDS, k=source.randint(1, 3))))
    for _ in range(source.randint(0, 6)):
        at, length = source.randrange(len(data) + 1), source.randint(1, 12)
        match source.randrange(6):
            case 0:
                del data[at : at + length]
            case 1:
                data[at:at] = source.choice(WORDS)
            case 2:
                data[at : at + length] = source.choice(WORDS)
            case 3:
                data[at:at] = data[at : at + length]
            case 4:
                data[at:at] = source.randbytes(length)
            case _:
                other = source.choice(SEEDS)
                data[at:] = other[source.randrange(len(other)) :]
    return bytes(data)


async def attempt(source: random.Random) -> list[int]:
    """Feed one connection; return the statuses of its answers.

    Raises:
        Escaped: saying what, and for which bytes.
    """
    data = mutated(source)
    errors: list[str] = []
    wire = Wire()
    watch = logging.Handler(logging.ERROR)
    watch.emit = lambda record: errors.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("lmservice").addHandler(watch)
    try:
        await wire.feed(*in_parts(data, source.choices(range(len(data) + 1), k=source.randint(0, 5))))
        if source.random() < 0.3:
            wire.end()
        await wire.settle()
        statuses, written = wire.statuses, bytes(wire.transport.written)
        await wire.close()
    except Exception as error:
        raise Escaped(f"{type(error).__name__}: {error}, of {data!r}") from error
    finally:
        logging.getLogger("lmservice").removeHandler(watch)
    left = [str(each) for each in (*wire.listener.cycles, *wire.listener.connections)]
    if errors or wire.failures or left or len(wire.listener.wheel):
        raise Escaped(f"{errors} {wire.failures} {left}, of {data!r}")
    if written and not _RESPONSE.match(written):
        raise Escaped(f"{written[:200]!r} is no response, of {data!r}")
    return statuses


async def fuzz(seed: int, *, attempts: int | None = None, seconds: float = 0.0) -> Counter[int]:
    """Feed as many connections, or for so long; return how often each status was answered.

    Raises:
        Escaped: at the first that must not be.
    """
    source, counts, end = random.Random(seed), Counter[int](), time.monotonic() + seconds
    done = 0
    while done < attempts if attempts is not None else time.monotonic() < end:
        counts.update(await attempt(source))
        done += 1
    return counts


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--seed", type=int, default=int(time.time()))
    given = options.parse_args()
    sys.stdout.write(f"seed {given.seed}\n")
    found = asyncio.run(fuzz(given.seed, seconds=given.seconds))
    sys.stdout.write(f"{sum(found.values())} answers: {dict(sorted(found.items()))}\n")
