#!/bin/sh
# httpcore's connection pool loses a place for good when a request is cancelled in the moment in which it was given a
# connection that has not connected yet. Each loss leaves a connection in the pool that is neither idle nor closed and
# that no request uses; once there are as many of them as max_connections, every further request waits for ever.
# An ordinary use does it: a dependency hangs, and more calls at once than there are connections end at a time-out.
#
# Seen with httpcore 1.0.9, httpx 0.28.1, anyio 4, CPython 3.11:
#   connections of nobody after 3 hangs under 40 calls each, with 10 connections: 10 of 10
#   a call to the server, which is well again: PoolTimeout
set -eu
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet httpx==0.28.1 httpcore==1.0.9
cat >"$folder/program.py" <<'PROGRAM'
import asyncio
import sys

import httpx

CONNECTIONS, CALLS, HANGS = 10, 40, 3


async def main() -> int:
    hung = asyncio.Event()

    async def answer(reader, writer):
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await hung.wait()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=None) as client:

        async def call() -> None:
            try:
                async with asyncio.timeout(0.3):
                    await client.get("/")
            except TimeoutError:
                pass

        for _ in range(HANGS):
            await asyncio.gather(*[call() for _ in range(CALLS)])
        hung.set()
        pool = client._transport._pool
        used = {id(request.connection) for request in pool._requests}
        lost = [each for each in pool.connections if id(each) not in used and not each.is_idle()]
        print(f"connections of nobody after {HANGS} hangs under {CALLS} calls each, with {CONNECTIONS}", end=" ")
        print(f"connections: {len(lost)} of {CONNECTIONS}")
        try:
            answer_now = (await client.get("/", timeout=3)).status_code
        except httpx.HTTPError as error:
            answer_now = type(error).__name__
        print(f"a call to the server, which is well again: {answer_now}")
    server.close()
    return 0 if lost else 1


sys.exit(asyncio.run(main()))
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
