"""`lmservice stop`: what a preStop hook runs in an image without wget."""

import http.client
import json
import os
import sys
import threading
from urllib.parse import urlsplit

from lmservice.errors import ExitCode, UsageError

DEFAULT_PORT = "8002"


def stop(url: str | None, timeout: float | None) -> ExitCode:
    """Ask the service at `url` to stop, wait for the end of its drain, and print the report.

    Args:
        url: the management listener's base, default `http://localhost:$LM_MANAGEMENT_PORT`; no proxy is used.
        timeout: how long to wait, in seconds; default as long as the service may take.

    Raises:
        UsageError: the URL is none.
    """
    base = url or f"http://localhost:{os.environ.get('LM_MANAGEMENT_PORT') or DEFAULT_PORT}"
    if timeout is not None and not timeout > 0:  # nan as well
        raise UsageError(f"--timeout {timeout:g} must be more than 0 seconds")
    host, port = _address(base)
    answers: list[tuple[int, str] | Exception] = []
    asking = threading.Thread(target=lambda: answers.append(_ask(host, port)), daemon=True)
    asking.start()
    asking.join(min(timeout, threading.TIMEOUT_MAX) if timeout is not None else None)
    if not answers:
        return _complain(f"{base} has not drained within {timeout:g} s; it goes on draining")
    if isinstance(answers[0], Exception):
        return _complain(f"{base} does not answer as a management listener: {_said(answers[0])}")
    return _judge(base, *answers[0])


def _ask(host: str, port: int) -> tuple[int, str] | Exception:
    connection = http.client.HTTPConnection(host, port)
    try:
        connection.request("POST", "/stop")
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return error
    finally:
        connection.close()


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _judge(base: str, status: int, body: str) -> ExitCode:
    if status != http.client.OK:
        return _complain(f"{base}/stop answered {status}: {' '.join(body.split())[:200]}")
    try:
        report = json.loads(body)
        code = int(report["exit_code"])
    except (ValueError, KeyError, TypeError):
        return _complain(f"{base}/stop answered with something that is no report: {body[:200]!r}")
    print(json.dumps(report, indent=2))  # noqa: T201 - the command's output
    return ExitCode(code) if code in set(ExitCode) else ExitCode.FINDINGS


def _address(base: str) -> tuple[str, int]:
    try:
        parts = urlsplit(base)
        host, port = parts.hostname, parts.port or 80
    except ValueError as error:
        raise UsageError(f"{base!r} is no URL of a management listener: {error}") from None
    if parts.scheme != "http" or not host:
        raise UsageError(f"{base!r} is no URL of a management listener: give one like http://localhost:{DEFAULT_PORT}")
    return host, port


def _complain(message: str) -> ExitCode:
    print(f"lmservice: {message}", file=sys.stderr)  # noqa: T201 - the command's voice
    return ExitCode.FINDINGS
