#!/bin/sh
# prometheus_client's bridge to Graphite replaces whatever is no letter, digit, '_' or '-' by '_' in label values, so
# that values which differ in punctuation alone are one series, of which the last line stays; and the bounds of buckets
# are no numbers any more (le=0_005, le=_Inf).
#
# Seen with prometheus_client 0.26.0:
#   4 values, 2 names: calls_total;route=_a_b, calls_total;route=_a_c
#   bounds: 0_5, _Inf
set -eu
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet prometheus_client==0.26.0
cat >"$folder/program.py" <<'PROGRAM'
import re
import socket
import sys
import threading

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.bridge.graphite import GraphiteBridge

registry = CollectorRegistry()
calls = Counter("calls", "Calls.", ["route"], registry=registry)
for route in ("/a/b", "/a_b", "/a.b", "/a/c"):
    calls.labels(route).inc()
Histogram("seconds", "S.", registry=registry, buckets=(0.5,)).observe(0.1)
server, text = socket.create_server(("127.0.0.1", 0)), []


def listen() -> None:
    connection, _ = server.accept()
    with connection:
        while piece := connection.recv(65536):
            text.append(piece)


listener = threading.Thread(target=listen)
listener.start()
GraphiteBridge(server.getsockname(), registry, tags=True).push()
listener.join()
lines = b"".join(text).decode().splitlines()
names = sorted({line.split()[0] for line in lines if line.startswith("calls_total")})
bounds = re.findall(r"le=(\S+)", "\n".join(lines))
print(f"4 values, {len(names)} names:", ", ".join(names))
print("bounds:", ", ".join(bounds))
sys.exit(0 if len(names) == 2 and "_Inf" in bounds else 1)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
