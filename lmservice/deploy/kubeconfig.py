"""Which cluster, and as whom: a context of the kubeconfig, or the service account of the pod that this runs in.

As kubectl has it: `KUBECONFIG` may name several files, and where it is not set `~/.kube/config` is meant.
https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmservice.deploy.errors import DeployUsageError
from lmservice.errors import MissingExtraError

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_SHOWN = 300


def connected(context: str) -> tuple[str, Any]:
    """Return the context's namespace, and a client that tries each call once; nothing is asked of the cluster yet.

    Raises:
        MissingExtraError: the Kubernetes client is not installed.
        DeployUsageError: there is no such context, or the kubeconfig cannot be used; one line, without what it holds.
    """
    try:
        from kubernetes import client, dynamic  # noqa: PLC0415 - of the extra
    except ImportError:
        raise MissingExtraError("releases need the Kubernetes client: install lmservice[deploy]") from None
    configuration = client.Configuration()
    namespace = _from_account(configuration) if _in_pod(context) else _from_files(context, configuration)
    configuration.retries = False
    # it would find out by itself what the cluster has: without a limit of time, and with a file in /tmp
    discoverer = {"discoverer": lambda *_: None}
    return namespace, dynamic.DynamicClient(client.ApiClient(configuration), **discoverer)  # type: ignore[no-untyped-call]


def _files() -> str:
    return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


def _in_pod(context: str) -> bool:
    there = any(Path(file).exists() for file in _files().split(os.pathsep) if file)
    return not there and not context and "KUBERNETES_SERVICE_HOST" in os.environ


def _from_account(configuration: Any) -> str:
    from kubernetes import config  # noqa: PLC0415 - of the extra

    with _in_one_line("the pod's service account"):
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        return _ACCOUNT.read_text().strip() or "default"


def _from_files(context: str, configuration: Any) -> str:
    from kubernetes import config  # noqa: PLC0415 - of the extra

    files = _files()
    if not any(Path(file).exists() for file in files.split(os.pathsep) if file):
        raise DeployUsageError(f"no cluster to release to: there is no kubeconfig {files}: set KUBECONFIG")
    with _in_one_line(f"the kubeconfig {files}"), _credentials():
        config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=files, context=context or None, client_configuration=configuration, persist_config=False
        )
        contexts, active = config.list_kube_config_contexts(config_file=files)  # type: ignore[no-untyped-call]
    named = next((known for known in contexts if known["name"] == context), active)
    return str(named["context"].get("namespace") or "default")


@contextmanager
def _in_one_line(what: str) -> Iterator[None]:
    """Refuse a file that cannot be used, in one line without its content, which may be a secret."""
    try:
        yield
    except Exception as error:
        if isinstance(error, DeployUsageError):
            raise
        raise DeployUsageError(f"no cluster to release to: {what} cannot be used: {_problem(error)}") from None


def _problem(error: Exception) -> str:
    import yaml  # noqa: PLC0415 - of the extra
    from kubernetes.config import ConfigException  # noqa: PLC0415 - of the extra

    if isinstance(error, yaml.MarkedYAMLError):
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        return f"it is no YAML: {error.problem}{line}"
    if isinstance(error, ConfigException | OSError):
        return " ".join(str(error).split())[:_SHOWN]
    return f"it is no kubeconfig ({type(error).__name__})"


@contextmanager
def _credentials() -> Iterator[None]:
    """Refuse to go on as nobody: the client only logs that a plugin gave no credentials.

    Raises:
        DeployUsageError: it did so.
    """
    heard = _Heard(logging.ERROR)
    root = logging.getLogger()
    root.addHandler(heard)
    try:
        yield
    finally:
        root.removeHandler(heard)
    if heard.lines:
        raise DeployUsageError(f"no credentials for the cluster: {heard.lines[0]}: log in again")


class _Heard(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(" ".join(record.getMessage().split())[:_SHOWN])
