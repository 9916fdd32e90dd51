"""Lines of several processes on one pipe."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from processes import environment

WRITER = """
import sys
from lmservice.telemetry.output import Output
output = Output()
output.lock = int(sys.argv[2])
for number in range(300):
    output.write(sys.argv[1].encode() * (10_000 if number % 3 == 0 else 200) + b"\\n")
assert output.dropped == 0
"""
HOLDER = """
import fcntl, sys, time
fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)
"""
WAITER = """
import sys, time
from lmservice.telemetry.output import Output
output = Output()
output.lock = int(sys.argv[1])
began = time.monotonic()
for _ in range(5):
    output.write(b"lost\\n")
print(output.dropped, time.monotonic() - began < 5, file=sys.stderr)
"""
PRINTER = """
import sys, threading
from lmservice.telemetry.output import Output
output = Output()
output.write(b"line\\n")
def write():
    for _ in range(2000):
        output.write(b"line\\n")
writing = threading.Thread(target=write)
writing.start()
for _ in range(2000):
    print("printed")
writing.join()
"""


def test_no_line_is_broken_by_another_processs() -> None:
    lock = os.memfd_create("lock")
    reading, writing = os.pipe()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, letter, str(lock)], stdout=writing, pass_fds=[lock], env=environment({})
        )
        for letter in "abc"
    ]
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = Counter(pipe.read().splitlines())
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    os.close(lock)
    assert lines == {letter * length: count for letter in "abc" for length, count in ((10_000, 100), (200, 200))}


def test_who_keeps_the_lock_for_ever_costs_the_others_their_lines_and_no_more() -> None:
    lock = os.memfd_create("lock")
    options = {"pass_fds": [lock], "env": environment({}), "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, **options) as holder:  # type: ignore[call-overload]
        assert holder.stdout.readline() == "locked\n"
        waiter = subprocess.run(
            [sys.executable, "-c", WAITER, str(lock)], capture_output=True, timeout=30, check=True, **options
        )  # type: ignore[call-overload]
        holder.kill()
    os.close(lock)
    assert (waiter.stdout, waiter.stderr.split()) == ("", ["5", "True"])


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_is_printed_comes_out_by_whole_lines_however_python_is_started(unbuffered: str) -> None:
    """Images set PYTHONUNBUFFERED, under which a print is two writes."""
    ran = subprocess.run(
        [sys.executable, "-c", PRINTER],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env=environment({"PYTHONUNBUFFERED": unbuffered}),
    )
    assert Counter(ran.stdout.splitlines()) == {"line": 2001, "printed": 2000}
