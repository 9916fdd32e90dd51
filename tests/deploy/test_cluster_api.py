"""What the fake API server promises; the same tests on a real one, where `.ci/run` has brought one up, find it out."""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from lmservice.deploy.kubeconfig import connected
from lmservice.deploy.pods import template_of

Object = dict[str, Any]
REAL = os.environ.get("KUBECONFIG", "") if os.environ.get("LMSERVICE_TEST_IMAGE") else ""
NEEDS_CLUSTER = pytest.mark.skipif(not (REAL and shutil.which("kubectl")), reason="no cluster to compare with")
APPLY = "application/apply-patch+yaml"


class Api:
    """The API server, through the Kubernetes client, in a namespace of its own."""

    def __init__(self) -> None:
        self.namespace = f"conformance-{secrets.token_hex(3)}"
        _, self._client = connected("")
        self.ask("post", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        self.maps = f"/api/v1/namespaces/{self.namespace}/configmaps"
        self.deployments = f"/apis/apps/v1/namespaces/{self.namespace}/deployments"

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Object:
        """Return what is answered."""
        kinds = {"patch": query.pop("content_type", APPLY)} if method == "patch" else {}
        more: dict[str, Any] = {"header_params": {}, "query_params": [], **query}
        if body is not None:
            more["body"] = body
        if kinds:
            more["content_type"] = kinds["patch"]
        response = self._client.request(method, path, serialize=False, _request_timeout=20, **more)
        answer: Object = json.loads(response.data)
        return answer

    def refused(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, str]:
        """Return the status and the message of a refusal."""
        with pytest.raises(ApiException) as caught:
            self.ask(method, path, body, **query)
        return int(caught.value.status or 0), str(json.loads(caught.value.body or "{}").get("message"))

    def apply(self, manager: str, item: Object, *, force: bool = False, path: str = "", **query: Any) -> Object:
        """Apply server-side."""
        where = path or (self.maps if item["kind"] == "ConfigMap" else self.deployments)
        options = {"field_manager": manager, **({"force_conflicts": True} if force else {}), **query}
        return self.ask("patch", f"{where}/{item['metadata']['name']}", item, **options)


@pytest.fixture(params=["fake", pytest.param("real", marks=[NEEDS_CLUSTER, pytest.mark.kubernetes])])
def api(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The fake, then the real one."""
    if request.param == "fake":
        request.getfixturevalue("cluster")
    else:
        monkeypatch.setenv("KUBECONFIG", REAL)
    made = Api()
    yield made
    made.ask("delete", f"/api/v1/namespaces/{made.namespace}")


def config(name: str = "a", **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(*containers: Object, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": list(containers)}}
    whole = {"replicas": 0, "selector": {"matchLabels": {"app": "a"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": whole}


def env_of(live: Object) -> list[str]:
    return [variable["name"] for variable in live["spec"]["template"]["spec"]["containers"][0].get("env", [])]


def with_env(*names: str) -> Object:
    return deployment({"name": "c", "image": "i:1", "env": [{"name": name, "value": "1"} for name in names]})


def test_what_exists_is_not_created_and_what_does_not_is_not_replaced(api: Api) -> None:
    api.ask("post", api.maps, config())
    assert api.refused("post", api.maps, config()) == (409, 'configmaps "a" already exists')
    assert api.refused("put", f"{api.maps}/b", config("b"))[0] == 404
    assert api.refused("get", f"{api.maps}/b") == (404, 'configmaps "b" not found')


def test_an_old_resource_version_is_refused_and_a_write_without_change_makes_no_new_one(api: Api) -> None:
    made = api.ask("post", api.maps, config(x="1"))
    again = api.ask("put", f"{api.maps}/a", made)
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    changed = api.ask("put", f"{api.maps}/a", {**made, "data": {"x": "2"}})
    assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    status, message = api.refused("put", f"{api.maps}/a", {**made, "data": {"x": "3"}})
    assert (status, "the object has been modified" in message) == (409, True)


def test_a_dry_run_answers_what_would_be_and_keeps_nothing(api: Api) -> None:
    tried = api.apply("one", config(x="1"), dry_run="All")
    assert tried["data"] == {"x": "1"}
    assert api.refused("get", f"{api.maps}/a")[0] == 404
    made = api.apply("one", config(x="1"))
    assert api.apply("one", config(x="2"), dry_run="All")["data"] == {"x": "2"}
    assert api.ask("get", f"{api.maps}/a")["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_what_a_manager_applies_no_more_goes_and_what_others_applied_stays(api: Api) -> None:
    api.apply("one", config(x="1", y="1"))
    api.apply("two", config(z="1"))
    assert api.apply("one", config(x="1"))["data"] == {"x": "1", "z": "1"}


def test_another_managers_value_is_a_conflict_that_names_it_unless_forced(api: Api) -> None:
    api.apply("one", config(x="1"))
    status, message = api.refused("patch", f"{api.maps}/a", config(x="2"), field_manager="two")
    assert (status, message) == (409, 'Apply failed with 1 conflict: conflict with "one": .data.x')
    assert api.apply("two", config(x="2"), force=True)["data"] == {"x": "2"}
    entries = {e["manager"]: e["fieldsV1"] for e in api.ask("get", f"{api.maps}/a")["metadata"]["managedFields"]}
    assert "f:x" in entries["two"]["f:data"]
    assert "one" not in entries or "f:x" not in json.dumps(entries["one"])


def test_the_same_value_is_shared_and_stays_until_the_last_manager_leaves_it(api: Api) -> None:
    api.apply("one", config(x="1"))
    api.apply("two", config(x="1"))
    assert api.apply("one", config(y="1"))["data"] == {"x": "1", "y": "1"}
    assert api.apply("two", config(z="1"))["data"] == {"y": "1", "z": "1"}


def test_an_update_owns_what_it_changed_and_an_apply_leaves_it(api: Api) -> None:
    api.apply("one", config(x="1"))
    made = api.ask("get", f"{api.maps}/a")
    api.ask("put", f"{api.maps}/a", {**made, "data": {"x": "1", "y": "2"}}, field_manager="hand")
    assert api.apply("one", config(x="1"))["data"] == {"x": "1", "y": "2"}
    entries = api.ask("get", f"{api.maps}/a")["metadata"]["managedFields"]
    assert [e["operation"] for e in entries if e["manager"] == "hand"] == ["Update"]


def test_lists_of_named_things_are_merged_by_name(api: Api) -> None:
    api.apply("one", with_env("A", "B"))
    api.apply("two", with_env("C"), force=True)
    assert set(env_of(api.apply("one", with_env("A")))) == {"A", "C"}


def test_a_container_of_another_manager_survives(api: Api) -> None:
    made = deployment({"name": "c", "image": "i:1"}, {"name": "proxy", "image": "p:1"})
    api.ask("post", api.deployments, made, field_manager="hand")
    live = api.apply("one", deployment({"name": "c", "image": "i:2"}), force=True)
    images = {container["name"]: container["image"] for container in live["spec"]["template"]["spec"]["containers"]}
    assert images == {"c": "i:2", "proxy": "p:1"}


def test_managed_fields_may_be_rewritten_so_that_an_apply_takes_over(api: Api) -> None:
    api.ask("post", api.deployments, with_env("A", "B"), field_manager="hand")
    kind = "application/json-patch+json"
    for _ in range(10):  # the controllers write to it too
        live = api.ask("get", f"{api.deployments}/a")
        entries = [
            {**e, "manager": "one", "operation": "Apply"} if e["manager"] == "hand" else e
            for e in live["metadata"]["managedFields"]
        ]
        patch = [
            {"op": "replace", "path": "/metadata/managedFields", "value": entries},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
        ]
        with contextlib.suppress(ApiException):
            api.ask("patch", f"{api.deployments}/a", patch, content_type=kind)
            break
    assert env_of(api.apply("one", with_env("A"))) == ["A"]
    assert api.refused("patch", f"{api.deployments}/a", patch, content_type=kind)[0] == 409


def test_only_the_object_of_a_uid_is_deleted_where_one_is_given(api: Api) -> None:
    made = api.ask("post", api.maps, config())
    other = {"preconditions": {"uid": made["metadata"]["uid"][::-1]}}
    assert api.refused("delete", f"{api.maps}/a", other)[0] == 409
    api.ask("delete", f"{api.maps}/a", {"preconditions": {"uid": made["metadata"]["uid"]}})
    assert api.refused("get", f"{api.maps}/a")[0] == 404


def test_defaults_are_nobodys_and_stay(api: Api) -> None:
    made = deployment({"name": "c", "image": "i:1"})
    del made["spec"]["replicas"]
    live = api.apply("one", made)
    assert (live["spec"]["replicas"], live["spec"]["revisionHistoryLimit"]) == (1, 10)
    entry = next(e for e in live["metadata"]["managedFields"] if e["manager"] == "one")
    assert "f:replicas" not in json.dumps(entry["fieldsV1"])


def test_what_is_made_without_applying_owns_the_defaults_too(api: Api) -> None:
    live = api.ask("post", api.deployments, deployment({"name": "c", "image": "i:1"}), field_manager="hand")
    entry = next(e for e in live["metadata"]["managedFields"] if e["manager"] == "hand")
    container = entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"c"}']
    assert {"f:revisionHistoryLimit"} <= entry["fieldsV1"]["f:spec"].keys()
    assert {"f:imagePullPolicy", "f:terminationMessagePath"} <= container.keys()


def test_what_has_no_namespace_loses_the_one_that_it_is_given(api: Api) -> None:
    item: Object = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": api.namespace, "namespace": "elsewhere"},
        "rules": [],
    }
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    live = api.apply("one", item, path=path)
    assert "namespace" not in live["metadata"]
    api.ask("delete", f"{path}/{api.namespace}")


def test_a_generation_counts_changes_of_the_spec_alone(api: Api) -> None:
    first = api.apply("one", deployment({"name": "c", "image": "i:1"}))
    labelled = deployment({"name": "c", "image": "i:1"})
    labelled["metadata"]["labels"] = {"x": "1"}
    assert api.apply("one", labelled)["metadata"]["generation"] == first["metadata"]["generation"] == 1
    assert api.apply("one", deployment({"name": "c", "image": "i:2"}))["metadata"]["generation"] == 2


def test_a_selector_cannot_change_and_must_match(api: Api) -> None:
    api.apply("one", deployment({"name": "c", "image": "i:1"}))
    other = deployment({"name": "c", "image": "i:1"}, selector={"matchLabels": {"app": "b"}})
    status, _ = api.refused("patch", f"{api.deployments}/a", other, field_manager="one")
    assert status == 422


def test_nothing_is_made_where_there_is_no_namespace(api: Api) -> None:
    path = api.maps.replace(api.namespace, "nowhere")
    status, message = api.refused("patch", f"{path}/a", config(x="1"), field_manager="one")
    assert (status, message) == (404, 'namespaces "nowhere" not found')


def test_an_apply_without_a_manager_is_refused(api: Api) -> None:
    status, message = api.refused("patch", f"{api.maps}/a", config(x="1"))
    assert (status, "fieldManager" in message) in {(422, True), (400, True)}


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("", {"a", "b", "c"}),
        ("t=1", {"a"}),
        ("t in (1,2)", {"a", "b"}),
        ("t notin (1)", {"b", "c"}),
        ("t", {"a", "b"}),
        ("!t", {"c"}),
        ("t!=1", {"b", "c"}),
        ("t in (1,2),t!=2", {"a"}),
    ],
)
def test_a_list_is_of_those_that_a_selector_means(api: Api, selector: str, names: set[str]) -> None:
    for name, labels in (("a", {"t": "1"}), ("b", {"t": "2"}), ("c", {"u": "1"})):
        made = config(name)
        made["metadata"]["labels"] = labels
        api.ask("post", api.maps, made)
    listed = api.ask("get", api.maps, **({"label_selector": selector} if selector else {}))
    assert {config_map["metadata"]["name"] for config_map in listed["items"]} - {"kube-root-ca.crt"} == names


def test_a_deployments_pods_are_made_by_replica_sets_with_revisions(api: Api) -> None:
    def look(path: str, reached: Callable[[list[Object]], object]) -> list[Object]:
        for _ in range(400):
            items: list[Object] = api.ask("get", path)["items"]
            if reached(items):
                return items
        raise AssertionError(items)

    sets = api.deployments.replace("deployments", "replicasets")
    api.apply("one", deployment({"name": "c", "image": "i:1"}, replicas=1))
    look(sets, lambda items: len(items) == 1)
    api.apply("one", deployment({"name": "c", "image": "i:2"}, replicas=1))
    replica_sets = look(sets, lambda items: len(items) == 2)
    revision = "deployment.kubernetes.io/revision"
    assert {owner["metadata"]["annotations"][revision] for owner in replica_sets} == {"1", "2"}
    pods = look(api.maps.replace("configmaps", "pods"), bool)
    hashes = {owner["metadata"]["labels"]["pod-template-hash"] for owner in replica_sets}
    assert {owner["metadata"]["labels"]["pod-template-hash"] for owner in pods} <= hashes
    live = api.ask("get", f"{api.deployments}/a")
    assert live["metadata"]["annotations"][revision] == "2"
    (newest,) = [owner for owner in replica_sets if owner["metadata"]["annotations"][revision] == "2"]
    assert template_of(replica_sets, live) == newest["metadata"]["labels"]["pod-template-hash"]
