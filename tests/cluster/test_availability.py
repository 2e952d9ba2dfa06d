"""components/availability on a node: disruptions take one Pod at a time, and the autoscalers react."""

import json

import pytest

from deployment import DEPLOYMENTS, gateway_address, kustomization, patch, pod_name, pods, remove, roll_out, small
from duet import Load, with_weights
from programs import wait_until

# As many replicas of each as fit on the machine.
MOST = 3


@pytest.fixture(scope="module")
def duet(cluster, node, tmp_path_factory):
    """Two of each at first, since that is the autoscalers' least."""
    patches = [*small(), patch("HorizontalPodAutoscaler", "duet-.*", ("/spec/maxReplicas", MOST))]
    cluster.do("apply", "-k", kustomization(tmp_path_factory.mktemp("availability"), base="overlays/local", components=["availability"],
                                            patches=patches, **with_weights()))
    for name in DEPLOYMENTS:
        wait_until(lambda: len(pods(cluster, name)) == 2)
    roll_out(cluster)
    yield gateway_address(cluster)
    remove(cluster)


def evict(cluster, pod):
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod_name(pod), "namespace": "duet"}}
    return cluster.kubectl("create", "--raw", f"/api/v1/namespaces/duet/pods/{pod_name(pod)}/eviction", "-f", "-",
                           text=json.dumps(eviction))


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_evictions_take_one_pod_at_a_time_and_no_request(cluster, duet, name):
    first, second, *_ = pods(cluster, name)
    load = Load(duet)
    try:
        wait_until(lambda: load.asked > 100)
        taken, refused = evict(cluster, first), evict(cluster, second)
        roll_out(cluster, name)
        asked = load.asked
        wait_until(lambda: load.asked > asked + 100)
    finally:
        outcomes = load.stop()

    assert taken.returncode == 0, taken.stderr
    assert refused.returncode != 0 and "TooManyRequests" in refused.stderr and "would violate the pod's disruption budget" in refused.stderr
    assert outcomes.keys() == {"answered"}, outcomes
    assert pod_name(second) in map(pod_name, pods(cluster, name))


def test_the_autoscaler_sees_the_load_and_reacts(cluster, duet):
    load = Load(duet)
    try:
        wait_until(lambda: len(pods(cluster, "duet-detector")) == MOST,
                   what=lambda: cluster.get("hpa", "duet-detector", "-n", "duet")["status"])
        roll_out(cluster, "duet-detector")
    finally:
        outcomes = load.stop()

    (said,) = {each["message"] for each in cluster.items("events", "-n", "duet")
               if each["reason"] == "SuccessfulRescale" and f"New size: {MOST}" in each["message"] and each["involvedObject"]["name"] == "duet-detector"}
    assert "cpu resource utilization (percentage of request) above target" in said
    assert outcomes.keys() == {"answered"}, outcomes
