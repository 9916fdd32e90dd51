#!/bin/sh
# An endpoint that takes starlette's Request[State], generic since starlette 0.52 and so documented there. FastAPI, whose
# own Request is the same class, takes the annotation for a model of the body and refuses the endpoint as it is declared,
# with an error that speaks of response fields.
#
# Seen with fastapi 0.165.0, starlette 1.10.0:
#   starlette: hello
#   fastapi: FastAPIError: Invalid args for response field! Hint: check that starlette.requests.Request[__main__.State]
set -eu
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet fastapi==0.165.0 starlette==1.10.0
cat >"$folder/program.py" <<'PROGRAM'
import asyncio
import sys
from typing import TypedDict

import fastapi
from starlette.requests import Request


class State(TypedDict):
    phrase: str


async def greet(request: Request[State]) -> str:
    return request.state["phrase"]


print("starlette:", asyncio.run(greet(Request({"type": "http", "state": {"phrase": "hello"}}))))
assert fastapi.Request is Request
try:
    fastapi.FastAPI().get("/")(greet)
    said = "declared"
except fastapi.exceptions.FastAPIError as error:
    said = f"FastAPIError: {str(error)[:93]}"
print("fastapi:", said)
sys.exit(0 if said.startswith("FastAPIError") else 1)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
