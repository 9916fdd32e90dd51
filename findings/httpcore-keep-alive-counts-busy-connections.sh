#!/bin/sh
# max_keepalive_connections is documented as the number of *idle* connections that are kept. httpcore compares it with
# all connections of the pool, those in use included: with 20 (httpx's default) and 20 long streams under way, no other
# connection is ever used twice, and each request connects anew (with TLS: a handshake each).
#
# Seen with httpcore 1.0.9:
#   20 connections busy, 10 requests one after another: 10 new connections
#   none busy, 10 requests one after another: 1 new connection
set -eu
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet httpx==0.28.1 httpcore==1.0.9
cat >"$folder/program.py" <<'PROGRAM'
import asyncio
import contextlib
import sys

import httpx

BUSY, REQUESTS = 20, 10


async def main() -> int:
    connected = 0

    async def answer(reader, writer):
        nonlocal connected
        connected += 1
        with contextlib.suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = b"1000" if b"/stream" in head else b"2"
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: " + length + b"\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
    found = []
    for busy in (BUSY, 0):
        async with contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=url))
            for _ in range(busy):
                await stack.enter_async_context(client.stream("GET", "/stream"))
            before = connected
            for _ in range(REQUESTS):
                await client.get("/")
            found.append(connected - before)
        print(f"{busy or 'none'} busy, {REQUESTS} requests one after another: new connections {found[-1]}")
    server.close()
    return 0 if found == [REQUESTS, 1] else 1


sys.exit(asyncio.run(main()))
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
