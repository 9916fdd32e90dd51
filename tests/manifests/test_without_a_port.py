"""The manifests of a service that takes no requests: no port for them, no Service, no way in but management's."""

import pytest
from manifests.conftest import Judge, Rendering, rendered


@pytest.fixture
def portless() -> Rendering:
    """A rendering that is right for it."""
    shop = rendered()
    del shop["Service"], shop["Ingress"]
    container = shop["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    container["ports"] = [port for port in container["ports"] if port["name"] != "http"]
    policy = shop["NetworkPolicy"]["spec"]
    policy["ingress"] = [rule for rule in policy["ingress"] if rule["ports"] != [{"port": "http"}]]
    return shop


def test_no_port_no_service_and_no_rule_for_requests_are_wanted(judge: Judge, portless: Rendering) -> None:
    assert judge(portless, takes_requests=False) == []
    expected = {finding.expected for finding in judge(portless)}
    assert {"LM_PORT is 8081", "LM_PORT is 8081: nobody gets in"} <= expected


def test_a_service_that_leads_to_it_is_found(judge: Judge, portless: Rendering) -> None:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    labels = portless["Deployment"]["spec"]["template"]["metadata"]["labels"]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": portless["Deployment"]["metadata"],
        "spec": {"selector": labels, "ports": ports},
    }
    (finding,) = judge({**portless, "Service": service}, takes_requests=False)
    assert finding.expected == "the service takes no requests"
    assert finding.fix == "remove it: a service without routes= and app= opens no port"


def test_no_hook_is_wanted_as_nobody_has_to_learn_that_it_leaves(judge: Judge, portless: Rendering) -> None:
    del portless["Deployment"]["spec"]["template"]["spec"]["containers"][0]["lifecycle"]
    assert judge(portless, takes_requests=False) == []
    assert any("preStop" in finding.fix for finding in judge(portless))


def test_one_number_for_both_ports_does_not_matter_where_one_is_opened(judge: Judge, portless: Rendering) -> None:
    portless["ConfigMap"]["data"]["LM_PORT"] = "8002"
    assert judge(portless, takes_requests=False) == []
