"""The API server of one cluster: patient where it does not answer, plain where it refuses."""

import contextlib
import copy
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import quote

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from lmservice.deploy.errors import ClusterUnreachableError, ReleaseFailedError
from lmservice.deploy.kubeconfig import connected
from lmservice.deploy.objects import MANAGER, Object

UNAUTHORIZED, NOT_FOUND, CONFLICT = 401, 404, 409
_CALL_TIMEOUT = (5.0, 30.0)
_SCRAPE_TIMEOUT = (3.0, 5.0)
_PASSING = {429, 500, 502, 503, 504}
_WAIT_MAX = 2.0
T = TypeVar("T")


@dataclass(frozen=True)
class _Kind:
    """How a kind is spelt in a path."""

    plural: str
    namespaced: bool


class ApiRefusalError(ReleaseFailedError):
    """The API server said no; `status` is HTTP's."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class Cluster:
    """A connection to the cluster of a kubeconfig's context; what is asked of it is asked again while it is away.

    Args:
        context: the context's name; empty for the current one, or the pod's own service account.
        patience: how long the API server may be unreachable, in seconds.

    Raises:
        MissingExtraError: the Kubernetes client is not installed.
        DeployUsageError: there is no such context, or its kubeconfig cannot be used.
    """

    def __init__(self, context: str, patience: float) -> None:
        self.context = context
        self.patience = patience
        self._kinds: dict[str, dict[str, _Kind]] = {}
        self.before_change: Callable[[], None] = lambda: None
        self._connect()

    def _connect(self) -> None:
        self.namespace, self._client = connected(self.context)

    @property
    def server(self) -> str:
        """Return its URL."""
        return str(self._client.configuration.host)

    def another(self) -> "Cluster":
        """Open one more connection to the same cluster, for another thread."""
        return Cluster(self.context, self.patience)

    def guarded(self, before_change: Callable[[], None]) -> Self:
        """Return the same connection, which calls this before each attempt to change something; it may raise."""
        made = copy.copy(self)
        made.before_change = before_change
        return made

    @contextmanager
    def patient(self, patience: float) -> Iterator[None]:
        """Have another patience for as long as the `with` lasts."""
        before, self.patience = self.patience, patience
        try:
            yield
        finally:
            self.patience = before

    def apply(self, item: Object, *, dry_run: bool = False) -> Object:
        """Apply server-side: every field that the object has is this field manager's from now on."""
        options: dict[str, Any] = {"field_manager": MANAGER, "force_conflicts": True}
        if dry_run:
            options["dry_run"] = "All"
        kind = "application/apply-patch+yaml"
        return self._call("patch", item, body=item, content_type=kind, **options)

    def get(self, item: Object) -> Object | None:
        """Return what the cluster has of this object; None where it has none."""
        try:
            return self._call("get", item)
        except ApiRefusalError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def placed(self, item: Object, namespace: str) -> Object:
        """Return the object as the cluster names it: in this namespace where it names none, in none where it has none.

        A kind that the cluster does not know stays as it is, until it is applied.
        """
        metadata = {**item["metadata"]}
        if self.is_namespaced(item):
            metadata["namespace"] = metadata.get("namespace") or namespace
        else:
            metadata.pop("namespace", None)
        return {**item, "metadata": metadata}

    def is_namespaced(self, item: Object) -> bool:
        """Return whether objects of its kind are in namespaces; where nobody knows the kind, it is taken for so."""
        try:
            return self._kind(item).namespaced
        except ApiRefusalError as error:
            if error.status != NOT_FOUND:
                raise
            return True

    def create(self, item: Object) -> Object:
        """Make it; refused with 409 where it exists."""
        return self._call("post", item, named=False, body=item, field_manager=MANAGER)

    def replace(self, item: Object) -> Object:
        """Overwrite it; refused with 409 where its resourceVersion is not the last any more."""
        return self._call("put", item, body=item, field_manager=MANAGER)

    def patch(self, item: Object, operations: list[Object]) -> Object:
        """Change it by a JSON Patch (RFC 6902)."""
        kind = "application/json-patch+json"
        return self._call("patch", item, body=operations, content_type=kind, field_manager=MANAGER)

    def delete(self, item: Object, uid: str = "") -> None:
        """Delete it, and what it owns after it; nothing happens where it is gone, or is another than that of `uid`."""
        options = {"preconditions": {"uid": uid}} if uid else {}
        try:
            self._call("delete", item, body=options, propagation_policy="Background")
        except ApiRefusalError as error:
            if error.status != NOT_FOUND and not (uid and error.status == CONFLICT):
                raise

    def list(self, item: Object, labels: str) -> Object:
        """List those of the object's kind and namespace with these labels; `metadata.resourceVersion` says when."""
        return self._call("get", item, named=False, label_selector=labels)

    def wait_change(self, item: Object, labels: str, version: str, seconds: int) -> None:
        """Return as soon as one of them differs from what `list` gave, after `seconds` at the latest."""
        options = {"label_selector": labels, "resource_version": version, "timeout_seconds": seconds, "watch": True}
        began = time.monotonic()
        try:
            response = self._request("get", self._path(item, named=False), _request_timeout=(5, seconds + 5), **options)
            try:
                response.readline()  # of urllib3: a line for an event, or the end
            finally:
                response.close()
        except Exception:  # noqa: BLE001 - the next look says what is wrong, with its patience
            time.sleep(max(0.0, min(1.0, began + seconds - time.monotonic())))

    def proxied(self, namespace: str, pod: str, port: int, path: str) -> str:
        """Return what a pod's port answers, by way of the API server; refused where it does not answer 200."""
        place = f"/api/v1/namespaces/{namespace}/pods/{quote(pod)}:{port}/proxy{path}"
        call_options = {"header_params": {"Accept": "*/*"}, "_request_timeout": _SCRAPE_TIMEOUT}
        try:
            response = self._once(lambda: self._request("get", place, **call_options))
        except Exception as error:
            if not _passes(error):
                raise
            raise ApiRefusalError(_cause(error), getattr(error, "status", 0) or 0) from None
        return str(response.data.decode("utf-8", "replace"))

    def _call(self, method: str, item: Object, *, named: bool = True, **options: Any) -> Object:
        changes = method != "get" and "dry_run" not in options

        def attempt() -> Object:
            if changes:
                self.before_change()
            response = self._request(method, self._path(item, named=named), **options)
            loaded: Object = json.loads(response.data)
            return loaded

        return self._patiently(attempt)

    def _request(self, method: str, path: str, **options: Any) -> Any:
        call_options = {"_request_timeout": _CALL_TIMEOUT, "header_params": {}, "query_params": [], **options}
        return self._client.request(method, path, serialize=False, **call_options)

    def _path(self, item: Object, *, named: bool) -> str:
        kind = self._kind(item)
        metadata = item["metadata"]
        within = f"/namespaces/{quote(metadata.get('namespace') or self.namespace)}" if kind.namespaced else ""
        name = f"/{quote(metadata['name'])}" if named else ""
        return f"{_root(item['apiVersion'])}{within}/{kind.plural}{name}"

    def _kind(self, item: Object) -> "_Kind":
        version, name = item["apiVersion"], item["kind"]
        if name not in self._kinds.get(version, {}):
            self._kinds[version] = self._patiently(lambda: self._discovered(version))
        if name not in self._kinds[version]:
            raise ApiRefusalError(f"the cluster knows no {name} of {version}", NOT_FOUND)
        return self._kinds[version][name]

    def _discovered(self, version: str) -> dict[str, "_Kind"]:
        """Return the kinds of one version of an API group; none where the cluster does not have it."""
        try:
            listed = json.loads(self._request("get", _root(version)).data)["resources"]
        except Exception as error:
            if getattr(error, "status", 0) == NOT_FOUND:
                return {}
            raise
        return {
            resource["kind"]: _Kind(resource["name"], resource["namespaced"])
            for resource in listed
            if "/" not in resource["name"]
        }

    def _patiently(self, attempt: Callable[[], T]) -> T:
        trying = Retrying(
            retry=retry_if_exception(_passes),
            stop=stop_after_delay(self.patience),
            wait=wait_random_exponential(multiplier=0.2, max=_WAIT_MAX),
            retry_error_callback=self._gave_up,
        )
        answer: T = trying(self._once, attempt)
        return answer

    def _once(self, attempt: Callable[[], T]) -> T:
        """Try once more where the credentials ran out, as a kubeconfig's may have been renewed since it was read."""
        try:
            return self._refusing(attempt)
        except ApiRefusalError as error:
            if error.status != UNAUTHORIZED:
                raise
        self._connect()
        return self._refusing(attempt)

    def _refusing(self, attempt: Callable[[], T]) -> T:
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415 - of the extra

        try:
            return attempt()
        except ApiException as error:
            if error.status in _PASSING or not error.status:
                raise
            reason = _said(error.body) or str(error.reason)
            if error.status == UNAUTHORIZED:
                context = f"context {self.context}" if self.context else "the current context"
                reason = f"the API server does not take the credentials of {context} ({reason}): log in again"
            raise ApiRefusalError(reason, int(error.status)) from None

    def _gave_up(self, state: RetryCallState) -> Any:
        cause = state.outcome.exception() if state.outcome else None
        raise ClusterUnreachableError(
            f"the API server has not answered for {self.patience:g} s ({_cause(cause)})"
        ) from None


def _passes(error: BaseException) -> bool:
    """Return whether the same call may succeed later: the server is away, overloaded or starting."""
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415 - of the extra
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - of the extra

    return isinstance(error, (ApiException, HTTPError, OSError))


def _cause(error: BaseException | None) -> str:
    """Return what is behind a call that failed, in words: what the server said, else the innermost reason."""
    if body := getattr(error, "body", ""):
        return f"{getattr(error, 'status', '')} {_said(body)}"
    while isinstance(inner := getattr(error, "reason", None) or getattr(error, "__cause__", None), BaseException):
        error = inner
    text = " ".join(str(inner or error).split()).rpartition(": ")[2]
    return text[:300] or type(error).__name__


def _said(body: Any) -> str:
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["message"])
    return " ".join(text.split())[:300]


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"
