"""components/keda with components/weights-on-node, on a node: after work the models go, in the morning they come, and nothing is fetched
twice.

KEDA's two programs are processes of the node's. The Prometheus that they ask is a real one that has seen no work.
"""

import datetime
import json
import math
import os
import pathlib
import re
import shutil
import struct
import time

import pytest
import requests

from control_plane import NODE_ADDRESS
from deployment import gateway_address, kustomization, patch, pods, remove, roll_out, small
from duet import PUBLISHED, WEIGHTS, Publisher, predict, published, serves, with_weights
from programs import ROOT, Program, tool, wait_until

PROMETHEUS, OPERATOR = f"{NODE_ADDRESS}:9090", "127.0.0.1:8181"
KEDA, GROUP, METRICS_PORT = "keda", "external.metrics.k8s.io", 4444
MODELS, WANTED = ["duet-detector", "duet-segmenter"], 2
ON_NODE = pathlib.Path("/var/lib/duet")
# As large as the official one, and as long to begin; the detector is the demo's.
SEGMENTER = "vit_b.safetensors"


def write_vit_b(file):
    """SAM's ViT-B, all zeros: a length, a JSON header, the tensors."""
    header, size = {}, 0
    for line in (ROOT / "tests/data/segmenter/manifests/sam-vit-b.txt").read_text().splitlines():
        name, *shape = line.split()
        shape = [int(each) for each in shape]
        begin, size = size, size + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, size]}
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))


def daily(begin, end):
    """A timetable of KEDA's: every day, from so many hours from now to so many."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return [(f"/spec/triggers/0/metadata/{key}", f"{at.minute} {at.hour} * * *")
            for key, at in (("start", now + datetime.timedelta(hours=begin)), ("end", now + datetime.timedelta(hours=end)))]


def set_hours(cluster, begin, end):
    operations = [{"op": "replace", "path": path, "value": value} for path, value in daily(begin, end)]
    for name in MODELS:
        cluster.do("patch", "scaledobject", name, "-n", "duet", "--type=json", "-p", json.dumps(operations))


@pytest.fixture(scope="module")
def keda(cluster, node, others_kinds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keda")
    for part, file in zip(cluster.authority.issue("keda", "/CN=keda-operator"), ("tls.crt", "tls.key")):
        shutil.copy(part, folder / file)
    shutil.copy(cluster.authority.certificate, folder / "ca.crt")
    (folder / "prometheus.yaml").write_text("{}")
    cluster.do("create", "namespace", KEDA)
    environment = {**os.environ, "KUBECONFIG": str(cluster.admin), "WATCH_NAMESPACE": "", "POD_NAMESPACE": KEDA,
                   "KEDA_CLUSTER_OBJECT_NAMESPACE": KEDA}
    programs = [
        Program(node.logs, tool("prometheus"), f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={PROMETHEUS}"),
        Program(node.logs, tool("keda-operator"), f"--cert-dir={folder}", "--metrics-bind-address=0",
                f"--health-probe-bind-address={OPERATOR}", environment=environment),
        Program(node.logs, tool("keda-adapter"), f"--secure-port={METRICS_PORT}", "--port=8182", "--metrics-service-address=localhost:9666",
                f"--cert-dir={folder}", f"--tls-cert-file={folder}/tls.crt", f"--tls-private-key-file={folder}/tls.key",
                *[f"--{whose}-kubeconfig={cluster.admin}" for whose in ("lister", "authentication", "authorization")],
                environment=environment)]
    node.announce(GROUP, {"name": "keda-metrics-apiserver", "namespace": KEDA}, METRICS_PORT)
    for program, address in zip(programs, (f"{PROMETHEUS}/-/ready", f"{OPERATOR}/readyz")):
        program.wait_until(lambda: answers(address))
    programs[-1].wait_until(lambda: cluster.kubectl("get", "--raw", f"/apis/{GROUP}/v1beta1").returncode == 0)
    yield
    cluster.do("delete", "apiservice", f"v1beta1.{GROUP}")
    for program in programs:
        program.kill()
    cluster.do("delete", "namespace", KEDA)


def answers(address):
    try:
        return requests.get(f"http://{address}", timeout=5).ok
    except requests.RequestException:
        return False


@pytest.fixture(scope="module")
def duet(cluster, keda, tmp_path_factory):
    """Within the hours and at work, by the gateway's address at its Service. On the node is what the first Pods put there."""
    write_vit_b(PUBLISHED / SEGMENTER)
    Publisher.fetched.clear()
    mine = kustomization(
        tmp_path_factory.mktemp("hours"), base="overlays/local", components=["keda", "weights-on-node"],
        **with_weights(segmenter=published(SEGMENTER)), patches=[
            *small(), patch("ScaledObject", "duet-.*", ("/spec/cooldownPeriod", 1), ("/spec/triggers/0/metadata/timezone", "UTC"),
                            *daily(-2, 2), ("/spec/triggers/1/metadata/serverAddress", f"http://{PROMETHEUS}"))])
    folders = mine.parents[1] / "node-folders/kustomization.yaml"
    folders.write_text(re.sub("newTag: .*", "newTag: local", folders.read_text()))
    cluster.do("apply", "-k", folders.parent)
    cluster.do("rollout", "status", "daemonset/duet-node-folders", "-n", "duet-nodes", "--timeout=5m")
    cluster.do("apply", "-k", mine)
    wait_until(lambda: at_work(cluster), patience_s=600)
    roll_out(cluster, "duet-gateway")
    yield gateway_address(cluster)
    remove(cluster)
    cluster.do("delete", "pv", "duet-weights-on-node")
    cluster.do("delete", "-k", folders.parent)
    shutil.rmtree(ON_NODE)


def at_work(cluster):
    """Whether there are as many as the hours ask for, and all are ready."""
    return all(cluster.get("deployment", name, "-n", "duet")["status"].get("readyReplicas") == WANTED for name in MODELS)


def services_away(address):
    return {each["service"] for each in requests.get(f"http://{address}/", timeout=5).json()["problems"]}


def plans():
    return {name: (ON_NODE / "kernel_plans" / name).read_bytes() for name in ("detector", "segmenter")}


def test_the_first_pods_of_a_node_fetch_for_all(cluster, duet):
    assert serves(duet)
    assert sorted(Publisher.fetched) == sorted([WEIGHTS["detector"], SEGMENTER])
    assert all(plans().values())


def test_after_work_the_models_go_and_in_the_morning_they_come(cluster, duet, record_testsuite_property):
    fetched, chosen = list(Publisher.fetched), plans()

    set_hours(cluster, begin=2, end=-2)
    wait_until(lambda: not any(pods(cluster, name) for name in MODELS))
    wait_until(lambda: predict(duet).status_code == 503)
    wait_until(lambda: services_away(duet) == {"detector", "segmenter"})

    set_hours(cluster, begin=-2, end=2)
    begun = time.monotonic()
    wait_until(lambda: serves(duet))
    record_testsuite_property("seconds from the hours' beginning to predictions and clicks", round(time.monotonic() - begun))
    wait_until(lambda: at_work(cluster))
    assert Publisher.fetched == fetched and plans() == chosen
