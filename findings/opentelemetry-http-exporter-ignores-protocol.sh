#!/bin/sh
# OTEL_EXPORTER_OTLP_PROTOCOL=grpc says that the collector speaks gRPC. The exporter that is made in code,
# opentelemetry-exporter-otlp-proto-http's OTLPSpanExporter, as the SDK's own examples make it, does not look at it: it
# sends HTTP to the gRPC port, without a word. Only opentelemetry-instrument and its distro choose an exporter by it.
#
# Seen with opentelemetry-exporter-otlp-proto-http 1.45.2:
#   OTEL_EXPORTER_OTLP_PROTOCOL=grpc: the collector is sent b'POST /v1/traces HTTP/1.1'
set -eu
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
cat >"$folder/program.py" <<'PROGRAM'
import os
import socket
import sys
import threading

server, first = socket.create_server(("127.0.0.1", 0)), []
os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:%d" % server.getsockname()[1]
os.environ["OTEL_EXPORTER_OTLP_TIMEOUT"] = "2"


def listen() -> None:
    connection, _ = server.accept()
    with connection:
        first.append(connection.recv(4096).split(b"\r\n")[0])
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")


listener = threading.Thread(target=listen, daemon=True)
listener.start()

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
with provider.get_tracer("finding").start_as_current_span("span"):
    pass
listener.join(5)
print("OTEL_EXPORTER_OTLP_PROTOCOL=grpc: the collector is sent", first[0] if first else None)
sys.exit(0 if first and first[0].startswith(b"POST /v1/traces") else 1)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
