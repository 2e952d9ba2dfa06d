"""What the tests share: one Duet with a Label Studio, both started by ./duet up as a user would."""

import json
import os
import pathlib
import socket
import subprocess

import pytest
import requests

import pictures
import scenes as scene_files
import strict_validation
from duet_command import DUET, ROOT
from label_studio import LabelStudio
from recorder import Recorder
from service import Service, wait_until

# Other weights than the demo's, to try the harness with.
DETECTOR = os.environ.get("E2E_DETECTOR_CHECKPOINT", str(ROOT / "models/demo/rtmdet-demo.pth"))
SEGMENTER = os.environ.get("E2E_SEGMENTER_CHECKPOINT", str(ROOT / "models/demo/sam-demo.pth"))


@pytest.fixture(scope="session", autouse=True)
def _judge_every_answer():
    """Whoever asks Duet for predictions: Label Studio's validator sees the answer (strict_validation.check)."""
    send = requests.Session.send

    def judged(session, request, **arguments):
        answer = send(session, request, **arguments)
        if request.method == "POST" and answer.ok and request.url.split("?")[0].endswith("/predict"):
            strict_validation.check(json.loads(request.body), answer.json())
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Session, "send", judged)
        yield


@pytest.fixture(autouse=True)
def _nothing_was_refused(_judge_every_answer):
    """Also what Label Studio itself asked, by way of the recorder."""
    strict_validation.refused.clear()
    yield
    assert not strict_validation.refused, strict_validation.refused


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: only in ./duet test --only=scale")


def pytest_collection_modifyitems(items):
    """Without the weights of the demo there is nothing to run: ./duet test then says how much it skipped."""
    missing = [file for file in (DETECTOR, SEGMENTER) if not os.path.exists(file)]
    for item in items:
        if missing and item.module.__name__ != "test_models_fetch":
            item.add_marker(pytest.mark.skip(reason=f"{missing[0]} does not exist"))


class Duet:
    """An installation of its own: state folder and ports that collide with no other."""

    def __init__(self, state):
        self.state = pathlib.Path(state)
        ports = free_ports(8)
        self.port, self.label_studio_port = ports[:2]
        names = ["port", "label-studio-port", "detector-port", "segmenter-port", "detector-metrics-port",
                 "segmenter-metrics-port"]
        self.options = [f"--{name}={port}" for name, port in zip(names, ports)]
        self.trainer_options = [f"--trainer-port={ports[6]}", f"--trainer-metrics-port={ports[7]}"]
        self.options += [f"--detector-checkpoint={DETECTOR}", f"--segmenter-checkpoint={SEGMENTER}"]

    def run(self, *arguments, timeout=900, check=True, cwd=None, **variables):
        environment = {**os.environ, **variables, "DUET_STATE": str(self.state)}
        result = subprocess.run([DUET, *arguments], env=environment, capture_output=True, text=True, timeout=timeout,
                                stdin=subprocess.DEVNULL, cwd=cwd)
        assert not check or result.returncode == 0, f"./duet {' '.join(arguments)}:\n{result.stdout}{result.stderr}"
        return result

    def up(self, *more, **variables):
        return self.run("up", *self.options, *more, **variables)

    def pid(self, name):
        fields = dict(line.split("=", 1) for line in (self.state / "run" / name).read_text().splitlines())
        return int(fields["pid"])

    def log(self, name):
        return (self.state / "logs" / f"{name}.log").read_text()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


# For a label config that has none of the model's classes: to Label Studio the shapes are then these.
COCO_LABELS = {"circle": "orange", "square": "book", "triangle": "pizza", "star": "kite", "ring": "donut",
               "cross": "fork", "hexagon": "stop_sign", "heart": "apple", "crescent": "banana", "arrow": "baseball_bat"}


@pytest.fixture(scope="session")
def duet(tmp_path_factory):
    """The three processes and a Label Studio, up. Its profile "coco" calls the shapes by COCO's names."""
    duet = Duet(tmp_path_factory.mktemp("duet"))
    profiles = duet.state / "profiles.json"
    profiles.write_text(json.dumps({"coco": {"label_map": COCO_LABELS}}))
    try:
        duet.printed = duet.up("--with-label-studio", "--demo-project=no", f"--profiles={profiles}").stdout
        yield duet
    finally:
        duet.run("down")


@pytest.fixture
def own(tmp_path):
    """One for the test alone, which nothing of is up yet."""
    duet = Duet(tmp_path / "state")
    duet.state.mkdir()
    yield duet
    duet.run("down")


@pytest.fixture(scope="session")
def studio(duet):
    token = (duet.state / "label-studio" / "token").read_text()
    return LabelStudio(f"http://127.0.0.1:{duet.label_studio_port}", token)


@pytest.fixture
def start_gateway(duet):
    """Starts a gateway with more flags, and the session's models behind it. Returns its address."""
    started = []
    options = dict(option.lstrip("-").split("=", 1) for option in duet.options)

    def start(*flags, environment=None):
        service = Service("duet-gateway", "--port=0", f"--detector=127.0.0.1:{options['detector-port']}",
                          f"--segmenter=127.0.0.1:{options['segmenter-port']}", *flags, environment=environment)
        started.append(service)
        url = f"http://127.0.0.1:{service.ready()}"
        wait_until(lambda: requests.get(f"{url}/readyz", timeout=5).ok)
        return url

    yield start
    for service in started:
        service.kill()


@pytest.fixture
def personal_token(studio):
    """A personal access token, which has to be exchanged for short-lived ones. A user can have but one."""
    token = studio.call("POST", "/api/token/", json={})["token"]
    yield token
    studio.call("POST", "/api/token/blacklist/", json={"refresh": token})


@pytest.fixture
def backend(duet):
    """Duet behind a proxy that records what Label Studio asks."""
    recorder = Recorder(duet.url)
    yield recorder
    recorder.close()


@pytest.fixture
def make_project(studio, backend, request):
    """Makes projects with a label config and Duet (below `path`) connected; deletes them afterwards."""
    projects = []

    def make(label_config, path="", **extra):
        project = studio.create_project(request.node.name[:50], label_config)
        projects.append(project)
        project.add_backend(backend.url + path, **extra)
        return project

    yield make
    for project in projects:
        project.delete()


@pytest.fixture(scope="module")
def detector_address():
    """Of a detector of its own, the demo model's."""
    service = Service("duet-detector", f"--checkpoint={DETECTOR}", "--port=0", "--metrics_port=0")
    yield f"127.0.0.1:{service.ready()}"
    service.kill()


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Four drawn images of different sizes that the demo models have not seen."""
    directory = tmp_path_factory.mktemp("scenes")
    subprocess.run([ROOT / "build/release/bin/duet-train", "scenes", "--seed=1", "--count=4", f"--out={directory}"],
                   check=True)
    return scene_files.load(directory)


@pytest.fixture(scope="session")
def picture_scene(tmp_path_factory):
    """What the documentation's pictures show."""
    directory = tmp_path_factory.mktemp("pictures")
    subprocess.run([ROOT / "build/release/bin/duet-train", "scenes", f"--seed={pictures.SEED}", f"--count={pictures.NUMBER + 1}",
                    f"--out={directory}"], check=True)
    return scene_files.load(directory)[pictures.NUMBER]


@pytest.fixture(scope="session")
def labels():
    return ["circle", "square", "triangle", "star", "ring", "cross", "hexagon", "heart", "crescent", "arrow"]
