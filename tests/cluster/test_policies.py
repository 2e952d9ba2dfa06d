"""The NetworkPolicies, enforced by kube-router: who reaches whom."""

import pytest

from control_plane import NODE_ADDRESS
from deployment import gateway_address, kustomization, pods, remove, roll_out
from duet import predict, with_weights
from programs import wait_until

# Namespaces of others: a stranger's, and one that may ask for metrics.
STRANGER, SCRAPER = "stranger", "scraper"
GRPC = {"duet-detector": 50051, "duet-segmenter": 50052}
METRICS = {"duet-detector": 9101, "duet-segmenter": 9102}


@pytest.fixture(scope="module")
def duet(cluster, node, tmp_path_factory):
    """Duet's Pods by their Deployments' names, and those of the others by their namespaces'."""
    cluster.do("apply", "-k", kustomization(tmp_path_factory.mktemp("policies"), base="overlays/local", **with_weights()))
    for namespace, labels in ((STRANGER, {}), (SCRAPER, {"duet.dev/scrapes-metrics": "true"})):
        cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "someone", "namespace": namespace}, "spec": {
                "automountServiceAccountToken": False, "containers": [{"name": "someone", "image": "duet-pause:local"}]}})
        cluster.do("wait", "pod/someone", "-n", namespace, "--for=condition=Ready", "--timeout=5m")
    roll_out(cluster)
    yield {**{name: pods(cluster, name)[0] for name in (*GRPC, "duet-gateway")},
           **{namespace: cluster.get("pod", "someone", "-n", namespace) for namespace in (STRANGER, SCRAPER)}}
    remove(cluster)
    cluster.do("delete", "namespace", STRANGER, SCRAPER)


@pytest.fixture
def reaches(node, duet):
    """Whether a connection from a Pod is taken, by another Pod or at an address. What is refused is so once the rules are in place."""
    def reaches(whose, where, port, expect=True):
        address = duet[where]["status"]["podIP"] if where in duet else where
        wait_until(lambda: node.connects(duet[whose], address, port) == expect,
                   what=f"{whose} {'does not reach' if expect else 'reaches'} {where}:{port}")
        return True
    return reaches


def test_everybody_reaches_the_gateway(reaches):
    for whose in (STRANGER, SCRAPER):
        assert reaches(whose, "duet-gateway", 8003)


@pytest.mark.parametrize("name", GRPC)
def test_the_models_answer_the_gateway_alone(cluster, reaches, name):
    assert reaches("duet-gateway", name, GRPC[name])
    for whose in (STRANGER, SCRAPER):
        assert reaches(whose, name, GRPC[name], expect=False)
    assert predict(gateway_address(cluster)).ok and predict(gateway_address(cluster), click=True).ok


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_for_namespaces_that_are_labelled(reaches, name):
    assert reaches(SCRAPER, name, METRICS[name])
    assert reaches(STRANGER, name, METRICS[name], expect=False)


@pytest.mark.parametrize("name", METRICS)
def test_the_models_call_nobody_but_their_publisher(reaches, name):
    assert reaches(name, NODE_ADDRESS, 443)
    assert reaches(name, NODE_ADDRESS, 6443, expect=False)
    assert reaches(name, "duet-gateway", 8003, expect=False)
