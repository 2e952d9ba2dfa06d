"""The three binaries as deploy/ runs them, at work, for the tests of this folder."""

import base64
import concurrent.futures
import contextlib
import json
import socket

import requests

import conftest  # noqa: F401  puts tests/e2e on the path
from label_configs import config, keypoint_prompt
from service import Service, predict, wait_until

DEMO = conftest.ROOT / "models/demo"
CHECKPOINT = {"duet-detector": DEMO / "rtmdet-demo.pth", "duet-segmenter": DEMO / "sam-demo.pth"}
PICTURE = conftest.ROOT / "tests/data/images/rgb.jpg"
LABELS = ["circle", "square", "triangle"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def data_uri(file):
    return "data:image/jpeg;base64," + base64.b64encode(file.read_bytes()).decode()


class Trio:
    """Detector, segmenter and gateway, ready."""

    def __init__(self, stack, detector_flags=(), gateway_flags=()):
        self.stack = stack
        self.detector = self._start("duet-detector", f"--checkpoint={CHECKPOINT['duet-detector']}", *detector_flags)
        self.segmenter = self._start("duet-segmenter", f"--checkpoint={CHECKPOINT['duet-segmenter']}")
        self.detector.ready()
        self.segmenter.ready()
        self.gateway = self._start("duet-gateway", f"--detector=127.0.0.1:{self.detector.port}",
                                   f"--segmenter=127.0.0.1:{self.segmenter.port}", *gateway_flags)
        self.gateway.ready()
        wait_until(lambda: requests.get(f"{self.url}/readyz", timeout=5).ok)

    def _start(self, name, *flags):
        ports = ["--port=0"] if name == "duet-gateway" else ["--port=0", "--metrics_port=0", "--threads=1"]
        service = Service(name, *ports, *flags)
        self.stack.callback(service.kill)
        return service

    @property
    def url(self):
        return f"http://127.0.0.1:{self.gateway.port}"

    def predict(self, *tags, count=1, **more):
        return predict(self.gateway.port, [data_uri(PICTURE)] * count, config(LABELS, *tags, smart=["KeyPointLabels"]),
                       **more)

    def work(self):
        """An opened task, a batch with masks, a click and a webhook; returns how many tasks that were."""
        width, height = 53, 37
        picture = type("Picture", (), {"width": width, "height": height})
        click = keypoint_prompt(picture, 20, 20, LABELS[0])
        for answer in (self.predict("RectangleLabels"), self.predict("RectangleLabels", "BrushLabels", count=3),
                       self.predict("RectangleLabels", "BrushLabels", prompts=[click])):
            assert answer.ok, answer.text
        assert requests.post(f"{self.url}/webhook", json={"action": "PROJECT_UPDATED"}, timeout=5).ok
        return 5

    def overload_detector(self):
        """More at once than a queue of one takes."""
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: self.predict("RectangleLabels"), range(16)))


@contextlib.contextmanager
def trio(**flags):
    with contextlib.ExitStack() as stack:
        yield Trio(stack, **flags)


def profiles(directory, **named):
    """A profiles file: NAME={settings}."""
    file = directory / "profiles.json"
    file.write_text(json.dumps(named))
    return file
