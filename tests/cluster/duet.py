"""Duet in the cluster: where it gets its weights, and what is asked of it."""

import base64
import collections
import functools
import hashlib
import http.server
import itertools
import pathlib
import shutil
import threading

import requests

from control_plane import NODE_ADDRESS
from programs import ROOT

DEMO = ROOT / "models/demo"
PUBLISHED = pathlib.Path("/var/lib/cluster/published")
WEIGHTS = {"detector": "rtmdet-demo.pth", "segmenter": "sam-demo.pth"}
# It has a cross and two arrows; the click is upon one of them.
IMAGE = ROOT / "tests/data/scenes/scene_0.jpg"
LABELS = ["circle", "square", "triangle", "star", "ring", "cross", "hexagon", "heart", "crescent", "arrow"]
CLICK = {"id": "click", "from_name": "click", "to_name": "image", "type": "keypointlabels", "origin": "manual", "original_width": 512,
         "original_height": 512, "image_rotation": 0, "is_positive": True,
         "value": {"x": 75, "y": 21.5, "width": 0.3, "labels": ["arrow"], "keypointlabels": ["arrow"]}}


def label_config(labels):
    """Of rectangles, brush strokes and clicks."""
    return ('<View><Image name="image" value="$image"/>' + "".join(
        f'<{tag} name="{tag.lower()}" toName="image">' + "".join(f'<Label value="{label}"/>' for label in labels) + f"</{tag}>"
        for tag in ("RectangleLabels", "BrushLabels")) +
        f'<KeyPointLabels name="click" toName="image" smart="true" smartOnly="true"><Label value="{labels[-1]}"/></KeyPointLabels></View>')


def publish_weights():
    """A server of PUBLISHED on the node, with the demo's weights in it, at HTTPS' port, which is the one that the NetworkPolicy lets
    through."""
    PUBLISHED.mkdir()
    for file in WEIGHTS.values():
        shutil.copy(DEMO / file, PUBLISHED)
    handler = functools.partial(Publisher, directory=str(PUBLISHED))
    server = http.server.ThreadingHTTPServer((NODE_ADDRESS, 443), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Publisher(http.server.SimpleHTTPRequestHandler):
    fetched = []  # files' names, each as often as somebody asked for it

    def do_GET(self):
        self.fetched.append(pathlib.Path(self.path).name)
        super().do_GET()

    def log_message(self, *_):
        pass


def weights(model):
    """The literals of its ConfigMap, with the demo's weights."""
    return published(WEIGHTS[model])


def published(file):
    """The literals of a ConfigMap with a file that is published."""
    checksum = hashlib.sha256((PUBLISHED / file).read_bytes()).hexdigest()
    return [f"MODEL_URL=http://{NODE_ADDRESS}:443/{file}", f"MODEL_SHA256={checksum}"]


def with_weights(**literals):
    """For a kustomization: the demo's models; `literals` are others for one of them."""
    return {"configMapGenerator": [
        {"name": f"duet-{model}-model", "namespace": "duet", "behavior": "replace", "literals": literals.get(model) or weights(model)}
        for model in WEIGHTS]}


@functools.cache
def image():
    return "data:image/jpeg;base64," + base64.b64encode(IMAGE.read_bytes()).decode()


def predict(address, click=False, session=requests, project="1.1", labels=LABELS):
    """As Label Studio asks: `project` is its number and when it was made."""
    body = {"tasks": [{"id": 1, "data": {"image": image()}}], "project": project, "label_config": label_config(labels),
            "params": {"login": None, "password": None, "context": {"result": [CLICK]} if click else None}}
    return session.post(f"http://{address}/predict", json=body, timeout=120)


def serves(address):
    """Predictions and clicks; not where nobody is at the address."""
    try:
        return predict(address).ok and predict(address, click=True).ok
    except requests.RequestException:
        return False


class Load:
    """Asks without a pause from several threads, half of them over one connection each, until it is stopped. Answered is what
    found something."""

    def __init__(self, address, threads=4):
        self.address, self.ending = address, threading.Event()
        self.outcomes = collections.Counter()
        self.threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(threads)]
        for thread in self.threads:
            thread.start()

    def _ask(self, number):
        session = requests.Session() if number % 2 else requests
        for turn in itertools.count():
            if self.ending.is_set():
                return
            try:
                answer = predict(self.address, click=turn % 4 == 3, session=session)
                found = answer.ok and all(task["result"] for task in answer.json()["results"])
                outcome = "answered" if found else f"{answer.status_code}: {answer.text[:200]}"
            except requests.RequestException as error:
                outcome = f"{type(error).__name__}: {error}"
            self.outcomes[outcome] += 1

    @property
    def asked(self):
        return self.outcomes.total()

    def stop(self):
        """How often each outcome there was."""
        self.ending.set()
        for thread in self.threads:
            thread.join()
        return dict(self.outcomes)
