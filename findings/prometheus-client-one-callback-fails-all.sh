#!/bin/sh
# A function given to Gauge.set_function that raises takes every metric of the registry away, not its own alone:
# generate_latest raises, and the scrape is a 500. Prometheus then has no `up` for the whole instance.
#
# Seen with prometheus_client 0.26.0:
#   with one gauge that fails among 2: ZeroDivisionError, and no line of the other
set -eu
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet prometheus_client==0.26.0
cat >"$folder/program.py" <<'PROGRAM'
import sys

from prometheus_client import CollectorRegistry, Gauge, generate_latest

registry = CollectorRegistry()
Gauge("well", "Well.", registry=registry).set(1)
Gauge("pool", "Free connections, of a pool that is closed.", registry=registry).set_function(lambda: 1 / 0)
try:
    said = generate_latest(registry).decode()
except ZeroDivisionError as error:
    said = f"{type(error).__name__}, and no line of the other"
print("with one gauge that fails among 2:", said)
sys.exit(0 if said.startswith("ZeroDivisionError") else 1)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
