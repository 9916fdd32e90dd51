"""What can be wrong with the way to a cluster is one line: the kubeconfig, the credentials, the server itself."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from processes import free_port

from lmservice.deploy import ClusterUnreachableError, DeployUsageError
from lmservice.deploy.cluster import ApiRefusalError, Cluster

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
Kubeconfig = Callable[..., Path]
Answer = Callable[[BaseHTTPRequestHandler], tuple[int, dict[str, Any]]]
KINDS = {"resources": [{"name": "pods", "kind": "Pod", "namespaced": True}, {"name": "pods/log", "kind": "Pod"}]}


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kubeconfig:
    """Writes a kubeconfig, and makes it the one that is used."""

    def write(server: str = "http://127.0.0.1:1", **user: Any) -> Path:
        made = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": {"server": server}}],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "qa", "context": {"cluster": "local", "user": "me", "namespace": "team"}}],
            "current-context": "qa",
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(made))
        return path

    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    return write


@contextmanager
def served(answer: Answer) -> Iterator[str]:
    """A server that answers each request so; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def plugin(tmp_path: Path, script: str) -> dict[str, Any]:
    """A user whose credentials a program gives."""
    path = tmp_path / "plugin"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path)}}


def credential(token: str) -> str:
    status = {"token": token}
    return json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "there is no kubeconfig"),
        ("a: [hunter2", "it is no YAML: expected ',' or ']', but got '<stream end>' in line 1"),
        ("hunter2", "cannot be used"),
        ("clusters: 3", "cannot be used"),
        ("apiVersion: v1\nusers: [{name: hunter2}]\n", "cannot be used"),
    ],
    ids=["missing", "no YAML", "a word", "a number", "half"],
)
def test_a_kubeconfig_that_cannot_be_used_is_named_in_one_line_without_what_it_holds(
    kubeconfig: Kubeconfig, content: str | None, problem: str
) -> None:
    path = kubeconfig()
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(DeployUsageError) as caught:
        Cluster("", 1)
    message = str(caught.value)
    assert (problem in message, str(path) in message) == (True, True), message
    assert "hunter2" not in message
    assert "\n" not in message


def test_a_context_that_is_not_there_is_named(kubeconfig: Kubeconfig) -> None:
    kubeconfig()
    with pytest.raises(DeployUsageError, match="Expected object with name production in"):
        Cluster("production", 1)


def test_the_namespace_is_the_contexts_also_where_several_files_are_named(
    kubeconfig: Kubeconfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = kubeconfig()
    monkeypatch.setenv("KUBECONFIG", f"/nonexistent:{path}")
    assert Cluster("", 1).namespace == Cluster("qa", 1).namespace == "team"
    assert capsys.readouterr().out == "", "which would be no JSON"


@pytest.mark.parametrize("script", ["echo 'the login has expired' >&2; exit 1", "echo nonsense"])
def test_a_plugin_that_gives_no_credentials_ends_it_before_anything_is_asked_as_nobody(
    kubeconfig: Kubeconfig, tmp_path: Path, script: str, capfd: pytest.CaptureFixture[str]
) -> None:
    kubeconfig(**plugin(tmp_path, script))
    with pytest.raises(DeployUsageError, match=r"no credentials for the cluster: exec: .*: log in again") as caught:
        Cluster("", 1)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_credentials_that_were_renewed_meanwhile_are_read_again(kubeconfig: Kubeconfig) -> None:
    def answer(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, Any]]:
        if request.headers["Authorization"] != "Bearer new":
            kubeconfig(url, token="new")
            return 401, {"message": "Unauthorized"}
        return 200, KINDS if request.path == "/api/v1" else {"path": request.path}

    with served(answer) as url:
        kubeconfig(url, token="old")
        assert Cluster("", 1).get(POD) == {"path": "/api/v1/namespaces/team/pods/a"}


def test_credentials_that_are_not_taken_are_no_reason_to_wait(kubeconfig: Kubeconfig) -> None:
    with served(lambda _: (401, {"message": "Unauthorized"})) as url:
        kubeconfig(url, token="hunter2")
        began = time.monotonic()
        with pytest.raises(ApiRefusalError) as caught:
            Cluster("qa", 20).get(POD)
    assert str(caught.value) == (
        "the API server does not take the credentials of context qa (Unauthorized): log in again"
    )
    assert time.monotonic() - began < 10


def test_a_refusal_is_what_the_api_server_says(kubeconfig: Kubeconfig) -> None:
    message = 'pods is forbidden: User "ci" cannot get resource "pods" in API group "" in the namespace "team"'
    with served(lambda request: (200, KINDS) if request.path == "/api/v1" else (403, {"message": message})) as url:
        kubeconfig(url)
        with pytest.raises(ApiRefusalError) as caught:
            Cluster("", 20).get(POD)
    assert (str(caught.value), caught.value.status) == (message, 403)


def test_a_kind_that_the_cluster_does_not_have_is_named(kubeconfig: Kubeconfig) -> None:
    with served(lambda request: (200, KINDS) if request.path == "/api/v1" else (404, {"message": "no"})) as url:
        kubeconfig(url)
        for version, kind in (("v1", "Thing"), ("example.net/v1", "Pod")):
            with pytest.raises(ApiRefusalError, match=f"the cluster knows no {kind} of {version}"):
                Cluster("", 1).create({**POD, "apiVersion": version, "kind": kind})


@pytest.mark.parametrize("status", [500, 503])
def test_an_api_server_that_is_unwell_is_asked_again_and_quoted_in_the_end(kubeconfig: Kubeconfig, status: int) -> None:
    with served(lambda _: (status, {"message": "the webhook\nis down"})) as url:
        kubeconfig(url)
        with pytest.raises(ClusterUnreachableError) as caught:
            Cluster("", 0.3).get(POD)
    assert str(caught.value) == f"the API server has not answered for 0.3 s ({status} the webhook is down)"


def test_an_api_server_that_is_not_there_is_said_in_the_systems_words(kubeconfig: Kubeconfig) -> None:
    kubeconfig(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ClusterUnreachableError, match=r"for 0.3 s \(\[Errno 111\] Connection refused\)"):
        Cluster("", 0.3).get(POD)


def test_an_api_server_that_accepts_and_never_answers_is_given_up(
    kubeconfig: Kubeconfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmservice.deploy.cluster._CALL_TIMEOUT", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kubeconfig(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ClusterUnreachableError, match="timed out"):
            Cluster("", 0.3).get(POD)
