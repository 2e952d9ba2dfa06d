"""The overlay for a small cluster, on a node: ready, asked through its Service, updated, killed."""

import os

import pytest
import requests

from control_plane import NODE_ADDRESS
from deployment import DEPLOYMENTS, gateway_address, kustomization, pod_name, pods, remove, roll_out, template
from duet import LABELS, Load, predict, with_weights
from programs import Program, tool, wait_until

NODE_PORT = 30803
# Requests that are asked while all three are updated, again and again.
REQUESTS = 100_000 if os.environ.get("DUET_SOAK") else 5_000


@pytest.fixture(scope="module")
def duet(cluster, node, tmp_path_factory):
    """`kubectl apply -k`, ready; the gateway's address at its Service."""
    folder = kustomization(tmp_path_factory.mktemp("local"), base="overlays/local", **with_weights())
    cluster.do("apply", "-k", folder)
    roll_out(cluster)
    yield gateway_address(cluster)
    remove(cluster)


def test_a_predict_through_the_service(duet):
    answer = predict(duet)

    assert answer.ok, answer.text
    (task,) = answer.json()["results"]
    found = [label for each in task["result"] for label in each["value"].get("rectanglelabels", ())]
    assert {"cross", "arrow"} <= set(found) <= set(LABELS)


def test_a_click_through_the_service(duet):
    answer = predict(duet, click=True)

    assert answer.ok, answer.text
    assert [each["type"] for task in answer.json()["results"] for each in task["result"]] == ["brushlabels"]


def test_the_node_port_leads_to_it(duet):
    assert predict(f"{NODE_ADDRESS}:{NODE_PORT}").ok


def test_rolling_updates_of_all_three_lose_no_request(cluster, duet, record_testsuite_property):
    load = Load(duet)
    try:
        wait_until(lambda: load.asked > 100)
        while load.asked < REQUESTS:
            before = uids(cluster)
            cluster.do("rollout", "restart", "-n", "duet", *[f"deployment/{name}" for name in DEPLOYMENTS])
            roll_out(cluster)
            assert not before & uids(cluster)
    finally:
        outcomes = load.stop()

    record_testsuite_property("answered", outcomes["answered"])
    assert outcomes.keys() == {"answered"}, outcomes


def test_a_roll_out_that_is_undone(cluster, duet):
    before = template(cluster, "duet-segmenter")
    cluster.do("set", "env", "deployment/duet-segmenter", "-n", "duet", "DUET_LOG_LEVEL=debug")
    roll_out(cluster, "duet-segmenter")
    assert template(cluster, "duet-segmenter") != before

    cluster.do("rollout", "undo", "deployment/duet-segmenter", "-n", "duet")

    roll_out(cluster, "duet-segmenter")
    assert template(cluster, "duet-segmenter") == before
    wait_until(lambda: predict(duet, click=True).ok)


def test_who_forwards_a_port_asks_as_the_gateways_own_machine(cluster, node, duet):
    assert requests.get(f"http://{duet}/jobs", timeout=5).status_code == 403
    forward = Program(node.logs, tool("kubectl"), f"--kubeconfig={cluster.admin}", "-n", "duet", "port-forward", "deploy/duet-gateway",
                      "18003:8003")

    def asked():
        try:
            return requests.get("http://127.0.0.1:18003/jobs", timeout=5)
        except requests.RequestException:
            return None
    try:
        forward.wait_until(lambda: asked() is not None)
        assert asked().status_code == 200
    finally:
        forward.kill()


def test_a_shell_beside_a_process(cluster, duet):
    """Not in its image: in a container of its own, of an image that has one."""
    (pod,) = pods(cluster, "duet-gateway")

    cluster.do("debug", pod_name(pod), "-n", "duet", "--image=duet-fetch-model:local", "--target=gateway", "--profile=restricted",
               "--container=look", "--", "bash", "-c", "cat /proc/[0-9]*/comm")

    assert wait_until(lambda: "duet-gateway" in cluster.kubectl("logs", pod_name(pod), "-n", "duet", "-c", "look").stdout)


def uids(cluster):
    return {each["metadata"]["uid"] for name in DEPLOYMENTS for each in pods(cluster, name)}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_that_is_deleted_at_once_is_replaced(cluster, duet, name):
    (gone,) = pods(cluster, name)
    cluster.do("delete", "pod", pod_name(gone), "-n", "duet", "--force", "--grace-period=0")

    roll_out(cluster, name)
    wait_until(lambda: predict(duet).ok and predict(duet, click=True).ok)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_process_that_is_killed_is_started_again_in_its_pod(cluster, node, duet, name):
    (pod,) = pods(cluster, name)

    node.kill(pod)

    def restarted():
        (status,) = pods(cluster, name)[0]["status"]["containerStatuses"]
        return status["ready"] and status["restartCount"] == 1 and status["lastState"]["terminated"]["exitCode"] == 137
    wait_until(restarted)
    wait_until(lambda: predict(duet).ok and predict(duet, click=True).ok)
    assert uids(cluster) >= {pod["metadata"]["uid"]}
