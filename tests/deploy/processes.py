"""The three binaries as deploy/ runs them, at work, for the tests of this folder."""

import base64
import concurrent.futures
import contextlib
import json
import signal
import socket
import subprocess
import tempfile

import requests

import conftest  # puts tests/e2e on the path
from label_configs import config, keypoint_prompt
from service import Service, predict, wait_until

DEMO = conftest.ROOT / "models/demo"
CHECKPOINT = {"duet-detector": DEMO / "rtmdet-demo.pth", "duet-segmenter": DEMO / "sam-demo.pth"}
IMAGE = conftest.ROOT / "tests/data/images/rgb.jpg"
LABELS = ["circle", "square", "triangle"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def data_uri(file):
    return "data:image/jpeg;base64," + base64.b64encode(file.read_bytes()).decode()


class Redis:
    """A real one on a port of its own, empty, and keeping nothing."""

    def __init__(self, *arguments):
        self.arguments, self.folder, self.port = arguments, tempfile.TemporaryDirectory(), free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [conftest.tool("redis-server"), f"--port {self.port}", "--bind 127.0.0.1", "--save", "", "--dir",
             self.folder.name, *self.arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        wait_until(self._accepts)

    def _accepts(self):
        assert self.process.poll() is None, "redis-server has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.folder.cleanup()


class Trio:
    """Detector, segmenter and gateway, ready; and a trainer, if there are flags for one."""

    def __init__(self, stack, detector_flags=(), segmenter_flags=(), gateway_flags=(), trainer_flags=()):
        self.stack = stack
        self.detector = self._start("duet-detector", f"--checkpoint={CHECKPOINT['duet-detector']}", *detector_flags)
        self.segmenter = self._start("duet-segmenter", f"--checkpoint={CHECKPOINT['duet-segmenter']}",
                                     *segmenter_flags)
        self.detector.ready()
        self.segmenter.ready()
        if trainer_flags:
            self.trainer = self._start("duet-trainer", f"--checkpoint={CHECKPOINT['duet-detector']}", *trainer_flags)
            gateway_flags = [*gateway_flags, f"--trainer=127.0.0.1:{self.trainer.ready()}"]
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
        return predict(self.gateway.port, [data_uri(IMAGE)] * count, config(LABELS, *tags, smart=["KeyPointLabels"]),
                       **more)

    def work(self):
        """An opened task, a batch with masks, a click and a webhook; returns how many tasks that were."""
        width, height = 53, 37
        image = type("Image", (), {"width": width, "height": height})
        click = keypoint_prompt(image, 20, 20, LABELS[0])
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
