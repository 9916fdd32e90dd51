"""What names an object, its fields and its pods, for the API server and for people."""

from typing import Any

import pytest

from lmservice.deploy.fields import differences, in_words, shown_value
from lmservice.deploy.objects import plain_name, selector, title
from lmservice.deploy.ownership import foreign_fields

Object = dict[str, Any]
CONTAINER = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"shop"}')


def test_a_selector_of_expressions_selects_its_own_pods_and_not_all() -> None:
    expressions = [
        {"key": "app", "operator": "In", "values": ["shop", "store"]},
        {"key": "tier", "operator": "NotIn", "values": ["test"]},
        {"key": "team", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    spec = {"selector": {"matchExpressions": expressions}}
    assert selector({"spec": spec}) == "app in (shop,store),tier notin (test),team,!old"
    both = {"selector": {"matchLabels": {"a": "b"}, "matchExpressions": expressions[2:3]}}
    assert selector({"spec": both}) == "a=b,team"


@pytest.mark.parametrize(
    ("kind", "name", "plain"),
    [("ConfigMap", "shop-6ct58987ht", "shop"), ("ConfigMap", "shop", "shop"), ("Service", "shop-6ct58987ht", None)],
)
def test_a_generated_name_is_shown_as_its_author_knows_it(kind: str, name: str, plain: str | None) -> None:
    item = {"kind": kind, "metadata": {"name": name}}
    assert plain_name(item) == (plain or name)
    assert title(item) == f"{kind} {plain or name}"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("f:spec", "f:replicas"), "replicas"),
        (("f:data", "f:LM_GREETING"), "LM_GREETING"),
        ((*CONTAINER, "f:image"), "container shop: image"),
        ((*CONTAINER, "f:resources", "f:limits", "f:memory"), "container shop: resources.limits.memory"),
        ((*CONTAINER, "f:env", 'k:{"name":"A"}', "f:value"), "container shop: env A"),
        ((*CONTAINER, "f:ports", 'k:{"containerPort":8081,"protocol":"TCP"}'), "container shop: port 8081/TCP"),
        (("f:spec", "f:template", "f:metadata", "f:labels", "f:app"), "pod label app"),
        (("f:metadata", "f:annotations", "f:a/b"), "annotation a/b"),
        (("f:rules",), "rules"),
    ],
)
def test_a_field_has_a_name_for_people(path: tuple[str, ...], words: str) -> None:
    assert in_words(path) == words


def test_objects_differ_by_field_and_named_items_wherever_they_stand() -> None:
    before = {"a": 1, "items": [{"name": "x", "v": 1}, {"name": "y", "v": 1}], "plain": [1]}
    after = {"a": 1, "items": [{"name": "y", "v": 2}, {"name": "x", "v": 1}], "plain": [2], "new": "n"}
    assert list(differences(before, after)) == [
        (("f:items", 'k:{"name": "y"}', "f:v"), 1, 2),
        (("f:new",), None, "n"),
        (("f:plain",), [1], [2]),
    ]
    assert list(differences(before, before)) == []


def test_a_value_is_one_line_and_not_a_long_one() -> None:
    assert (shown_value(None), shown_value("a\nb"), shown_value({"a": 1})) == ("", "a b", '{"a": 1}')
    assert len(shown_value("x" * 1000)) < 110


def test_a_field_of_two_others_is_named_with_the_one_that_keeps_it() -> None:
    tree: Object = {"f:spec": {"f:paused": {}, "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}}}
    entries = [
        {"manager": manager, "operation": "Update", "fieldsV1": tree} for manager in ("kubectl-create", "operator")
    ]
    live: Object = {"metadata": {"managedFields": entries}, "spec": {"paused": True, "ports": [{"port": 80}]}}
    (field,) = foreign_fields(live, {"metadata": {}, "spec": {"ports": [{"port": 80}]}})
    assert (in_words(field.path), field.value, field.manager) == ("paused", True, "operator")
