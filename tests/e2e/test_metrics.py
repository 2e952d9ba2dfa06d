"""The names of metrics and of their labels, which dashboards rely on: as in tests/contract/goldens/NAME.metrics.txt.
DUET_UPDATE_GOLDENS=1 writes those files instead."""

import os
import re

import pytest
import requests

from duet_command import ROOT
from label_configs import config, keypoint_prompt
from label_studio import data_uri
from service import predict, wait_until
from test_interactive import inside
from test_processes import slow_image, trio  # noqa: F401 (fixtures)
from test_processes import start as start_plainly  # noqa: F401

GOLDENS = ROOT / "tests/contract/goldens"
# Routes, codes, kinds and reasons: a few dozen. A label that repeats what callers send would soon pass this.
FEW = 150


def scrape(port):
    """{name: (type, label names)} and the number of series, without a histogram's buckets."""
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    labels, series = {name: set() for name in types}, 0
    for name, body in re.findall(r"^([a-z_]+)(?:\{(.*)\})? ", text, re.M):
        family = name if name in types else re.sub("_(bucket|sum|count)$", "", name)
        labels[family] |= set(re.findall(r'(\w+)="', body)) - {"le"}
        series += not name.endswith("_bucket")
    return {name: (types[name], ",".join(sorted(labels[name]))) for name in types}, series


@pytest.fixture
def start(start_plainly):  # noqa: F811
    """With traces, which have a metric of their own. Nobody listens at their endpoint."""
    return lambda name, *flags: start_plainly(name, "--otlp_endpoint=http://127.0.0.1:9", *flags)


@pytest.fixture
def busy(trio, scenes, labels):  # noqa: F811
    """The three processes after everything that makes a metric appear. Their ports of /metrics."""
    detector, segmenter, gateway = trio
    scene, address = scenes[0], f"http://127.0.0.1:{gateway.port}"
    both = config(labels, "RectangleLabels", "BrushLabels", smart=("KeyPointLabels",))
    image = data_uri(scene.file)
    assert predict(gateway.port, [image], both).ok
    assert predict(gateway.port, [image, data_uri(scenes[1].file)], both).ok
    thing = scene.largest()
    click = [keypoint_prompt(scene, *inside(thing.mask), thing.label)]
    assert predict(gateway.port, [image], both, prompts=click).ok
    assert requests.post(f"{address}/webhook", timeout=5, json={"action": "PROJECT_UPDATED"}).ok
    # A request is counted when its answer has been sent.
    wait_until(lambda: 'route="/webhook"' in requests.get(f"{address}/metrics", timeout=5).text)
    return {"duet-detector": detector.metrics_port, "duet-segmenter": segmenter.metrics_port,
            "duet-gateway": gateway.metrics_port}


def test_names_and_labels_are_the_agreed_ones_and_few(busy):
    for process, port in busy.items():
        metrics, series = scrape(port)
        golden = GOLDENS / f"{process}.metrics.txt"
        lines = [f"{name} {kind} {labels}".rstrip() for name, (kind, labels) in sorted(metrics.items())]
        if os.environ.get("DUET_UPDATE_GOLDENS"):
            golden.write_text("\n".join(lines) + "\n")
        assert lines == golden.read_text().splitlines(), f"{process}: if that is meant, DUET_UPDATE_GOLDENS=1"
        assert series < FEW, f"{process}: {series} series"
