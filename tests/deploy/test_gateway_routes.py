"""Which routes share a service's traffic with its canary, and how each is made whole again from itself alone."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmservice.deploy import ReleaseFailedError
from lmservice.deploy.gateway_routes import backend, backends, refusals, routes, tracked, with_canary, without_canary
from lmservice.deploy.overlay import Manifests

GATEWAY = "gateway.networking.k8s.io/v1"


def overlay(*more: dict[str, Any]) -> Manifests:
    labels = {"app": "shop"}
    spec = {"selector": {"matchLabels": {**labels}}, "template": {"metadata": {"labels": labels}, "spec": {}}}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": named("shop"), "spec": spec}
    return Manifests("shop", copy.deepcopy([deployment, service("shop"), *more]))


def named(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": "team"}


def service(name: str, **spec: Any) -> dict[str, Any]:
    made = {"selector": {"app": "shop"}, "ports": [{"port": 80, "nodePort": 30080}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": named(name), "spec": made}


def route(*rules: list[dict[str, Any]], kind: str = "HTTPRoute") -> dict[str, Any]:
    spec = {"hostnames": ["shop.local"], "rules": [{"backendRefs": refs} for refs in rules]}
    return {"apiVersion": GATEWAY, "kind": kind, "metadata": named("shop"), "spec": spec}


def ref(name: str, weight: int = 1, **more: Any) -> dict[str, Any]:
    return {"group": "", "kind": "Service", "name": name, "port": 80, "weight": weight, **more}


def weights(shared: dict[str, Any]) -> list[list[tuple[str, int]]]:
    return [
        [(backend["name"], backend["weight"]) for backend in rule["backendRefs"]] for rule in shared["spec"]["rules"]
    ]


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_a_route_gives_the_canary_its_share_and_any_other_share_after_it(kind: str) -> None:
    written = route([ref("shop")], [ref("other")], kind=kind)
    first = with_canary(written, ["shop"], 10)
    assert weights(first) == [[("shop-stable", 90), ("shop-canary", 10)], [("other", 1)]]
    assert weights(with_canary(first, ["shop"], 25)) == [[("shop-stable", 75), ("shop-canary", 25)], [("other", 1)]]
    assert weights(with_canary(first, ["shop"], 0)) == [[("shop-stable", 100)], [("other", 1)]]


@pytest.mark.parametrize("percent", [0, 1, 10, 50, 99])
def test_a_route_is_made_whole_from_itself_with_all_that_its_author_wrote(percent: int) -> None:
    filtered = ref("shop", 3, filters=[{"type": "RequestHeaderModifier"}])
    elsewhere = ref("shop", 2, namespace="another")
    foreign = {"group": "example.net", "kind": "Bucket", "name": "shop", "weight": 7}
    written = route([filtered, ref("other", 0), elsewhere, foreign], [ref("shop"), ref("shop", 5)], [ref("other")])
    assert without_canary(with_canary(written, ["shop"], percent), ["shop"]) == written
    assert without_canary(written, ["shop"]) == written


def test_a_share_keeps_what_a_route_gives_to_other_services() -> None:
    shared = with_canary(route([ref("shop", 4), ref("old-shop", 1)]), ["shop"], 25)
    assert weights(shared) == [[("shop-stable", 300), ("shop-canary", 100), ("old-shop", 100)]]


def test_a_weight_that_cannot_be_divided_is_named_with_its_limit() -> None:
    with pytest.raises(ReleaseFailedError, match="the HTTPRoute shop has a weight above 10000"):
        with_canary(route([ref("shop", 20_000)]), ["shop"], 10)


def test_the_routes_of_a_service_are_those_that_name_one_of_its_own_services() -> None:
    internal = service("internal")
    foreign = {**service("shop"), "apiVersion": "serving.knative.dev/v1"}
    other = service("other", selector={"app": "other"})
    bare = service("bare", selector=None)
    ours = overlay(internal, foreign, other, bare, route([ref("internal")]))
    assert [backend["metadata"]["name"] for backend in backends(ours)] == ["internal"]
    assert len(routes(ours)) == 1
    for unrelated in (route([ref("other")]), route([ref("bare")]), route([ref("shop", namespace="else")]), route()):
        assert not routes(overlay(other, bare, unrelated))
        assert not backends(overlay(other, bare, unrelated))


def test_stable_pods_are_told_apart_only_where_a_route_needs_it() -> None:
    plain = overlay()
    assert tracked(plain) is plain
    made = tracked(overlay(route([ref("shop")])))
    spec = made.deployment["spec"]
    assert spec["template"]["metadata"]["labels"] == {"app": "shop", "lmservice.dev/track": "stable"}
    assert spec["selector"]["matchLabels"] == {"app": "shop"}
    assert made.canary(1)["spec"]["template"]["metadata"]["labels"]["lmservice.dev/track"] == "canary"


def test_the_service_of_one_version_is_internal_and_finds_its_pods_alone() -> None:
    made = backend(service("shop", type="LoadBalancer", clusterIP="10.0.0.1", sessionAffinity="ClientIP"), "canary")
    assert made["metadata"] == {
        "name": "shop-canary",
        "namespace": "team",
        "labels": {"lmservice.dev/track": "canary"},
        "annotations": {"lmservice.dev/made-by": "lmservice-deploy"},
    }
    assert made["spec"] == {
        "ports": [{"port": 80}],
        "selector": {"app": "shop", "lmservice.dev/track": "canary"},
        "sessionAffinity": "ClientIP",
    }
    assert backend(service("shop", clusterIP="None"), "stable")["spec"]["clusterIP"] == "None"


def test_what_a_gateway_said_of_an_older_state_of_the_route_is_no_refusal() -> None:
    def told(generation: int, status: str = "False") -> dict[str, Any]:
        condition = {"type": "ResolvedRefs", "status": status, "message": "no shop", "observedGeneration": generation}
        parents = [{"parentRef": {"name": "web"}, "conditions": [condition]}]
        written = route([ref("shop")])
        return {**written, "metadata": {**written["metadata"], "generation": 3}, "status": {"parents": parents}}

    assert refusals(told(3)) == {"web ResolvedRefs": "no shop"}
    assert refusals(told(2)) == refusals(told(3, "True")) == {}


WEIGHTS = st.integers(0, 10_000)
BACKENDS = st.fixed_dictionaries(
    {"name": st.sampled_from(["shop", "shop-admin", "other"]), "port": st.sampled_from([80, 81])},
    optional={"weight": WEIGHTS, "namespace": st.sampled_from(["team", "elsewhere"])},
)
ROUTES = st.lists(st.lists(BACKENDS, min_size=1, max_size=4), min_size=1, max_size=3)


@given(rules=ROUTES, percents=st.lists(st.integers(0, 99), min_size=1, max_size=4))
def test_whatever_shares_a_canary_had_its_route_is_made_whole_from_itself(
    rules: list[list[dict[str, Any]]], percents: list[int]
) -> None:
    before: dict[str, Any] = {
        "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "team"},
        "spec": {"rules": [{"backendRefs": refs} for refs in rules]},
    }
    ours = ("shop", "shop-admin")
    now = before
    for percent in percents:
        now = with_canary(now, ours, percent)
        for refs, shared in zip(rules, now["spec"]["rules"], strict=True):
            parts = shared["backendRefs"]
            for name in ours:
                own = [ref for ref in refs if ref["name"] == name and ref.get("namespace", "team") == "team"]
                whole = sum(ref.get("weight", 1) for ref in own)
                canary = sum(ref["weight"] for ref in parts if ref["name"] == f"{name}-canary")
                stable = sum(ref["weight"] for ref in parts if ref["name"] == f"{name}-stable")
                assert (canary, stable) == (whole * percent, whole * (100 - percent))
    restored = without_canary(now, ours)
    weighted = [[{**ref, "weight": ref.get("weight", 1)} for ref in refs] for refs in rules]
    made = [
        [{**ref, "weight": ref.get("weight", 1)} for ref in rule["backendRefs"]] for rule in restored["spec"]["rules"]
    ]
    assert made == weighted
