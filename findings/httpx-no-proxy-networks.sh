#!/bin/sh
# NO_PROXY with networks, as clusters have it (10.0.0.0/8,fd00::/8). httpx takes a network of IPv4 for a name, so that
# hosts in it are called through the proxy all the same; and one of IPv6 ends the client's construction with an error
# that names neither the variable nor the entry.
#
# Seen with httpx 0.28.1:
#   NO_PROXY=10.0.0.0/8: 10.1.2.3 is called through the proxy
#   NO_PROXY=fd00::/8: InvalidURL: Invalid port: ':'
set -eu
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet httpx==0.28.1
cat >"$folder/program.py" <<'PROGRAM'
import os
import sys

import httpx

os.environ["HTTP_PROXY"] = "http://proxy.example:3128"
os.environ["NO_PROXY"] = "10.0.0.0/8"
client = httpx.Client()
through = client._transport_for_url(httpx.URL("http://10.1.2.3")) is not client._transport
print("NO_PROXY=10.0.0.0/8: 10.1.2.3 is called", "through the proxy" if through else "directly")
os.environ["NO_PROXY"] = "fd00::/8"
try:
    httpx.Client()
    said = "the client opens"
except httpx.InvalidURL as error:
    said = f"InvalidURL: {error}"
print("NO_PROXY=fd00::/8:", said)
sys.exit(0 if through and said.startswith("InvalidURL") else 1)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
