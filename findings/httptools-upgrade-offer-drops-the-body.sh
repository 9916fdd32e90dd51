#!/bin/sh
# A request that offers an upgrade (`Upgrade: h2c`, as Java's HttpClient sends it by default) is an ordinary request with
# a body: a server may ignore the offer (RFC 9110 7.8). httptools' parser calls on_message_complete right behind the
# head and raises HttpParserUpgrade, for any protocol and without asking: on_body is never called, though
# Content-Length says that there is a body. A server that takes the callbacks at their word answers an empty POST.
# The rest of the data begins at the offset in the exception's argument, and is the caller's to parse.
#
# Seen with httptools 0.9.0:
#   without the offer: head, body b'hello', complete
#   with the offer: head, complete, HttpParserUpgrade(90), 5 bytes left: b'hello'
set -eu
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet httptools==0.9.0
cat >"$folder/program.py" <<'PROGRAM'
import sys

import httptools

OFFER = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"


class Heard:
    def __init__(self):
        self.calls = []

    def on_headers_complete(self):
        self.calls.append("head")

    def on_body(self, body):
        self.calls.append(f"body {body!r}")

    def on_message_complete(self):
        self.calls.append("complete")


def parse(offer):
    data = b"POST / HTTP/1.1\r\nHost: localhost\r\n" + offer + b"Content-Length: 5\r\n\r\nhello"
    heard = Heard()
    try:
        httptools.HttpRequestParser(heard).feed_data(data)
    except httptools.HttpParserUpgrade as upgrade:
        rest = data[upgrade.args[0] :]
        heard.calls.append(f"HttpParserUpgrade({upgrade.args[0]}), {len(rest)} bytes left: {rest!r}")
    return heard.calls


without, with_offer = parse(b""), parse(OFFER)
print("without the offer:", ", ".join(without))
print("with the offer:", ", ".join(with_offer))
expected = without == ["head", "body b'hello'", "complete"] and with_offer[:2] == ["head", "complete"]
sys.exit(0 if expected and "body" not in " ".join(with_offer) else 1)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
