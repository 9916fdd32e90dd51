"""Lines of several processes on one pipe."""

import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from processes import environment, free_port

WRITER = """
import sys
from lmservice.telemetry.output import Output
output = Output()
output.lock = int(sys.argv[2])
for number in range(300):
    output.write(sys.argv[1].encode() * (10_000 if number % 3 == 0 else 200) + b"\\n")
output.close(20)
assert output.dropped == 0
"""
TAKERS = """
import sys, threading
from lmservice.telemetry.output import Output
sys.setswitchinterval(1e-6)
output = Output()
going = True
def take():
    while going:
        output.write(b"other\\n")
thread = threading.Thread(target=take)
thread.start()
for number in range(200_000):
    output.pending.append(f"{number}\\n")
    if number % 3 == 0:
        output.flush()
going = False
thread.join()
output.close(20)
assert output.dropped == 0
"""
HOLDER = """
import fcntl, sys, time
fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)
"""
SLOW = """
import os, sys, time
from lmservice.telemetry.output import BACKLOG, Output
output = Output()
began = time.monotonic()
output.write(b"a" * 2_000_000 + b"\\n")
for number in range(1000):
    output.write(b"b" * 3_000 + b"\\n")
print(output.dropped, time.monotonic() - began, file=sys.stderr, flush=True)
sys.stdin.readline()
output.close(20)
"""
SLOW_WORKER = SLOW.replace(
    "output = Output()",
    """
from lmservice.telemetry import takeover
output = takeover._process.output
output.after_fork_in_child()
takeover.share_output(os.memfd_create("lock"))
""",
)
FORKING = """
import os, sys, threading
from lmservice.telemetry import takeover
output = takeover._process.output
def chatter():
    for number in range(300):
        output.write(b"p" * 3_000 + b"\\n")
threads = [threading.Thread(target=chatter) for _ in range(2)]
for thread in threads:
    thread.start()
for child in range(20):
    output.pending.append("pending\\n")
    pid = os.fork()
    if not pid:
        output.write(b"c" * 9_000 + b"\\n")
        os._exit(0)
    output.flush()
    os.waitpid(pid, 0)
for thread in threads:
    thread.join()
output.close(20)
"""
WAITER = """
import sys, time
from lmservice.telemetry.output import Output
output = Output()
output.lock = int(sys.argv[1])
began = time.monotonic()
for _ in range(5):
    output.write(b"lost\\n")
output.close()
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
output.close(20)
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


def slow_writer(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment({}),
    )


@pytest.mark.parametrize("script", [SLOW, SLOW_WORKER], ids=["a service", "a worker that was forked"])
def test_nobody_waits_for_a_reader_who_stands_still_and_what_is_over_the_bound_is_dropped_whole(script: str) -> None:
    with slow_writer(script) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        dropped, seconds = process.stderr.readline().split()
        assert float(seconds) < 0.5
        assert 0 < int(dropped) < 1000
        process.stdin.write("\n")
        process.stdin.close()
        lines = Counter(process.stdout.read().splitlines())
        assert process.wait(30) == 0
    assert lines == {"a" * 2_000_000: 1, "b" * 3_000: 1000 - int(dropped)}


def test_a_child_that_is_forked_repeats_no_line_breaks_none_and_loses_none() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60, check=True, env=environment({})
    )
    assert ran.stderr == ""
    assert Counter(ran.stdout.splitlines()) == {"p" * 3_000: 600, "c" * 9_000: 20, "pending": 20}


LMSERVICE = Path(sys.executable).with_name("lmservice")
PROGRAM = """
from starlette.responses import JSONResponse
from starlette.routing import Route
from lmservice import Service

async def hello(request):
    print("x" * 100)
    return JSONResponse({})

service = Service("printing", routes=[Route("/", hello)])
"""


@pytest.mark.parametrize("closed", ["by its reader", "from the first"])
def test_a_standard_output_that_is_closed_changes_no_exit_code(tmp_path: Path, closed: str) -> None:
    (tmp_path / "printing.py").write_text(PROGRAM)
    port, management = free_port(), free_port()
    settings = {"LM_PORT": str(port), "LM_MANAGEMENT_PORT": str(management), "LM_LOG_FORMAT": "json"}
    shell = f"exec {LMSERVICE} run printing:service" + (" >&-" if closed == "from the first" else "")
    with subprocess.Popen(
        ["sh", "-c", shell], cwd=tmp_path, env=environment(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        until_ready(management)
        process.stdout.close()
        httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)  # its own print may fail
        assert httpx.get(f"http://127.0.0.1:{management}/stop", trust_env=False, timeout=20).status_code == 200
        assert process.wait(20) == 0
        assert process.stderr.read() == b""


def until_ready(management: int) -> None:
    due = time.monotonic() + 30
    while time.monotonic() < due:
        with suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{management}/readyz", trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise TimeoutError


def test_lines_that_two_threads_take_are_written_once_each() -> None:
    done = subprocess.run([sys.executable, "-c", TAKERS], capture_output=True, text=True, timeout=100, check=True)
    lines = [line for line in done.stdout.splitlines() if line != "other"]
    assert sorted(lines, key=int) == [str(number) for number in range(200_000)]
