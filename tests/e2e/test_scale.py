"""Several of everything on this machine, under load: who gets what, and what a death, a restart or a newcomer costs.

Two detectors, three segmenters, two gateways behind haproxy; bounded by requests, loopback only.
"""

import itertools
import signal

import pytest

from conftest import DETECTOR, SEGMENTER
from duet_command import ROOT
from label_configs import config
from label_studio import data_uri
from replicas import Cluster, Load
from service import predict, wait_until

MISS = 'duet_segmenter_embeddings_total{result="miss"}'


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("scale"), {"detector": DETECTOR, "segmenter": SEGMENTER})
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def masks(labels):
    """A label config whose every prediction needs a detector and a segmenter."""
    return config(labels, "RectangleLabels", "BrushLabels")


@pytest.fixture(scope="module")
def new_images():
    """Makes images that no segmenter has seen: what differs in its bytes is another one."""
    files = sorted((ROOT / "tests/data/scenes").glob("*.jpg"))
    numbers = itertools.count(1)

    def make(count):
        made = []
        for _ in range(count):
            number = next(numbers)
            made.append(data_uri(files[number % len(files)], trailer=b"picture %d" % number))
        return made

    return make


@pytest.fixture
def load(cluster, masks, new_images):
    return lambda count=12: Load(cluster, new_images(count), masks)


def embeddings(cluster, series=MISS):
    return [replica.metrics().get(series, 0) for replica in cluster.segmenters]


def test_an_image_meets_the_same_segmenter_from_every_gateway(cluster, masks, new_images):
    images = new_images(12)
    before = embeddings(cluster)

    for _ in range(2):
        for gateway in cluster.gateways:
            for image in images:
                assert predict(gateway.service.port, [image], masks).ok

    encoded = [after - was for after, was in zip(embeddings(cluster), before)]
    assert sum(encoded) == len(images), encoded
    assert sum(each > 0 for each in encoded) > 1, encoded  # (1/3)^11 that they all fell to one


def test_work_is_shared(cluster, load):
    series = 'duet_rpc_requests_total{code="OK",method="/duet.detector.v1.Detector/Detect"}'
    before = [replica.metrics().get(series, 0) for replica in cluster.detectors]
    with load() as some:
        some.after(30)

    assert not some.failures
    shares = [replica.metrics()[series] - was for replica, was in zip(cluster.detectors, before)]
    assert min(shares) > sum(shares) / 4, shares


@pytest.mark.parametrize("model", ["detector", "segmenter"])
def test_a_killed_replica_costs_no_prediction(cluster, load, model):
    victim = {"detector": cluster.detectors, "segmenter": cluster.segmenters}[model][0]
    try:
        with load() as some:
            some.after(5)
            victim.kill()
            some.after(30)
            victim.start()
            victim.ready()
            some.after(10)
    finally:
        if victim.service.process.poll() is not None:
            victim.start()
            victim.ready()

    assert not some.failures


@pytest.mark.slow  # until a ping has remained unanswered: 25 s
def test_a_frozen_replica_costs_no_prediction(cluster, load):
    """What a machine that lost its network looks like: connections stay open and say nothing."""
    victim = cluster.segmenters[1].service.process
    try:
        with load() as some:
            some.after(3)
            victim.send_signal(signal.SIGSTOP)
            some.after(30)
    finally:
        victim.send_signal(signal.SIGCONT)

    assert not some.failures


def test_a_rolling_restart_of_everything_drops_no_request(cluster, load):
    codes = []
    with load() as some:
        for replica in cluster.detectors + cluster.segmenters:
            codes.append(replica.restart(until_ready=lambda _: some.after(3)))
        for gateway in cluster.gateways:
            codes.append(cluster.restart_gateway(gateway))
            some.after(3)

    assert not some.failures
    assert codes == [0] * 7


def test_a_new_segmenter_takes_its_share_and_no_more(cluster, masks, new_images):
    images = new_images(32)
    for image in images:
        assert predict(cluster.port, [image], masks).ok
    before = embeddings(cluster)

    cluster.add("segmenter", cluster.segmenters).ready()
    cluster.publish()
    wait_until(lambda: cluster.replicas_known() == (2, 4))
    for image in images:
        assert predict(cluster.port, [image], masks).ok

    *others, newcomer = embeddings(cluster)
    assert others == before  # nothing moved between those that were there
    # A quarter is expected; outside these bounds lies a chance of 1e-4 each.
    assert 1 <= newcomer <= 19, newcomer


def test_a_replica_replaced_at_another_address_drops_no_request(cluster, load):
    """A rolling update in a cluster, but without the time that a preStop hook gives gateways to look names up again."""
    known = len(cluster.segmenters)
    with load() as some:
        cluster.add("segmenter", cluster.segmenters).ready()
        old = cluster.segmenters.pop(0)
        cluster.publish()
        code = old.stop()
        some.after(10)
        wait_until(lambda: cluster.replicas_known() == (2, known))
        some.after(10)

    assert not some.failures
    assert code == 0
