"""Starting badly, dying and draining: the three binaries by themselves."""

import http.server
import signal
import socket
import subprocess
import threading

import pytest
import requests

from conftest import DETECTOR, SEGMENTER
from label_configs import config
from label_studio import data_uri
from service import PATIENCE_S, Service, predict, wait_until

CHECKPOINT = {"duet-detector": DETECTOR, "duet-segmenter": SEGMENTER}


@pytest.fixture
def start():
    """Starts binaries; kills what is left of them afterwards."""
    started = []

    def start(name, *flags):
        ports = ["--port=0", "--metrics_port=0"] if name in CHECKPOINT else ["--port=0"]
        service = Service(name, *ports, *flags)  # of a flag that is given twice, the last counts
        started.append(service)
        return service

    yield start
    for service in started:
        service.kill()


@pytest.mark.parametrize("name", ["duet-detector", "duet-segmenter", "duet-gateway"])
def test_an_unknown_flag_is_one_line_and_exit_code_2(start, name):
    code, lines = start(name, "--no_such_flag=1").last_words()

    assert code == 2
    assert len(lines) == 1 and "no_such_flag" in lines[0]


@pytest.mark.parametrize("name", ["duet-detector", "duet-segmenter"])
def test_a_missing_model_is_one_error_that_names_the_file(start, name):
    code, lines = start(name, "--checkpoint=/no/such/model.pth").last_words()

    assert code == 1
    (error,) = [line for line in lines if "startup.failed" in line]
    assert "/no/such/model.pth" in error


@pytest.mark.parametrize("name", ["duet-detector", "duet-segmenter"])
def test_half_a_model_is_one_error_that_names_the_file(start, name, tmp_path):
    content = open(CHECKPOINT[name], "rb").read()
    half = tmp_path / "half.pth"
    half.write_bytes(content[: len(content) // 2])

    code, lines = start(name, f"--checkpoint={half}").last_words()

    assert code == 1
    (error,) = [line for line in lines if "startup.failed" in line]
    assert str(half) in error


def test_the_other_ones_model_is_refused(start):
    code, lines = start("duet-segmenter", f"--checkpoint={DETECTOR}").last_words()

    assert code == 1
    assert sum("startup.failed" in line for line in lines) == 1


@pytest.mark.parametrize("name", ["duet-detector", "duet-segmenter", "duet-gateway"])
def test_a_port_in_use_is_one_error_that_names_it(name):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flags = [f"--port={port}"]
        flags += [f"--checkpoint={CHECKPOINT[name]}", "--metrics_port=0"] if name in CHECKPOINT else [
            "--detector=127.0.0.1:1", "--segmenter=127.0.0.1:1"]

        code, lines = Service(name, *flags).last_words()

    assert code == 1
    (error,) = [line for line in lines if "startup.failed" in line]
    assert str(port) in error


class SlowImage(http.server.ThreadingHTTPServer):
    """Serves one image, but not before `release` is set."""

    daemon_threads = True

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), _SlowImageHandler)
        self.content, self.asked, self.release = content, threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _SlowImageHandler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.set()
        self.server.release.wait(PATIENCE_S)
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)


@pytest.fixture
def slow_image(scenes):
    server = SlowImage(scenes[0].file.read_bytes())
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def trio(start, slow_image):
    """(detector, segmenter, gateway), ready. The gateway takes the image server for its Label Studio."""
    detector = start("duet-detector", f"--checkpoint={DETECTOR}")
    segmenter = start("duet-segmenter", f"--checkpoint={SEGMENTER}")
    detector.ready()
    segmenter.ready()
    gateway = start("duet-gateway", f"--detector=127.0.0.1:{detector.port}",
                    f"--segmenter=127.0.0.1:{segmenter.port}",
                    f"--label_studio_url=http://127.0.0.1:{slow_image.server_port}", "--label_studio_api_key=unused")
    gateway.ready()
    wait_until(lambda: requests.get(f"http://127.0.0.1:{gateway.port}/readyz", timeout=5).ok)
    return detector, segmenter, gateway


def test_sigterm_finishes_the_request_in_flight_and_exits_0(trio, slow_image, labels):
    gateway = trio[2]
    answers = []
    request = threading.Thread(target=lambda: answers.append(predict(
        gateway.port, ["/data/upload/1/slow.jpg"], config(labels, "RectangleLabels"))))
    request.start()
    assert slow_image.asked.wait(PATIENCE_S)

    gateway.process.send_signal(signal.SIGTERM)
    gateway.wait_for_event("draining")
    slow_image.release.set()
    request.join()

    assert answers[0].status_code == 200
    assert answers[0].json()["results"][0]["result"]
    assert gateway.last_words()[0] == 0


@pytest.mark.parametrize("index", [0, 1])
def test_the_model_services_exit_0_on_sigterm(trio, index):
    trio[index].process.send_signal(signal.SIGTERM)

    assert trio[index].last_words()[0] == 0


def test_a_killed_detector_is_a_503_until_it_is_back(start, trio, scenes, labels):
    detector, _, gateway = trio
    image, rectangles = data_uri(scenes[0].file), config(labels, "RectangleLabels")
    assert predict(gateway.port, [image], rectangles).status_code == 200

    detector.kill()
    failed = predict(gateway.port, [image], rectangles)

    assert failed.status_code == 503 and "Retry-After" in failed.headers
    assert requests.get(f"http://127.0.0.1:{gateway.port}/health", timeout=5).ok
    back = Service("duet-detector", f"--checkpoint={DETECTOR}", f"--port={detector.port}", "--metrics_port=0")
    try:
        back.ready()
        wait_until(lambda: predict(gateway.port, [image], rectangles).status_code == 200)
    finally:
        back.kill()


def test_boxes_still_come_when_the_segmenter_is_dead(trio, scenes, labels):
    _, segmenter, gateway = trio
    image = data_uri(scenes[0].file)

    segmenter.kill()

    assert predict(gateway.port, [image], config(labels, "RectangleLabels")).json()["results"][0]["result"]
    assert not predict(gateway.port, [image], config(labels, "RectangleLabels", "BrushLabels")).ok


def test_a_drain_says_not_ready_first_and_goes_on_answering(start, trio, scenes, labels):
    detector, segmenter, _ = trio
    gateway = start("duet-gateway", f"--detector=127.0.0.1:{detector.port}",
                    f"--segmenter=127.0.0.1:{segmenter.port}", "--drain_grace_ms=600000")
    url = f"http://127.0.0.1:{gateway.ready()}"
    wait_until(lambda: requests.get(f"{url}/readyz", timeout=5).ok)

    gateway.process.send_signal(signal.SIGTERM)

    wait_until(lambda: requests.get(f"{url}/readyz", timeout=5).status_code == 503)
    alive = requests.get(f"{url}/livez", timeout=5)
    # Who keeps connections would lose the request that is on its way when they are closed.
    assert alive.ok and alive.headers["Connection"] == "close"
    assert predict(url.rsplit(":", 1)[1], [data_uri(scenes[0].file)], config(labels, "RectangleLabels")).ok
    gateway.process.send_signal(signal.SIGTERM)  # enough of grace
    assert gateway.last_words()[0] == 0


def test_the_log_says_why_label_studio_was_refused(start):
    """Label Studio shows no more than that it was, and points to the log."""
    gateway = start("duet-gateway", "--detector=127.0.0.1:1", "--segmenter=")
    answer = requests.post(f"http://127.0.0.1:{gateway.ready()}/setup", timeout=5, json={
        "project": "1.1", "schema": "", "hostname": "", "access_token": "", "extra_params": '{"score_threshold": 7}'})

    line = gateway.wait_for_event("http.done")

    assert answer.status_code == line["http"] == 400 and line["level"] == "warning"
    assert line["error"] == answer.json()["error"] and "score_threshold is 7" in line["error"]


def test_a_full_detector_says_so_at_once_and_to_every_caller(start, scenes, labels):
    detector = start("duet-detector", f"--checkpoint={DETECTOR}", "--queue_size=1")
    gateway = start("duet-gateway", f"--detector=127.0.0.1:{detector.ready()}", "--segmenter=")
    port = gateway.ready()
    wait_until(lambda: requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).ok)
    crowd = Crowd(port, scenes, config(labels, "RectangleLabels"), size=12)
    try:
        wait_until(lambda: crowd.count(503) >= 5 and crowd.count(200) >= 5)
    finally:
        answers = crowd.stop()

    assert all(is_answer(answer) for answer in answers)
    assert {answer.status_code for answer in answers} == {200, 503}


class Crowd:
    """Callers that ask for one prediction after the other and keep what came of each: an answer, or an exception."""

    def __init__(self, port, scenes, label_config, size=4):
        self.outcomes, self.stopping = [], threading.Event()
        images = [data_uri(scene.file) for scene in scenes]

        def ask(number):
            while not self.stopping.is_set():
                try:
                    self.outcomes.append(predict(port, [images[number % len(images)]], label_config))
                except requests.RequestException as error:
                    self.outcomes.append(error)

        self.threads = [threading.Thread(target=ask, args=(number,)) for number in range(size)]
        for thread in self.threads:
            thread.start()

    def count(self, status):
        return sum(getattr(outcome, "status_code", None) == status for outcome in list(self.outcomes))

    def stop(self):
        """Every request has come to an end: all outcomes."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a request got neither an answer nor an error"
        return self.outcomes


def is_answer(outcome):
    """A prediction, or an error that says when to come back."""
    if isinstance(outcome, Exception):
        return False
    if outcome.status_code == 200:
        return len(outcome.json()["results"]) == 1 and "result" in outcome.json()["results"][0]
    return outcome.status_code == 503 and outcome.json()["error"] and "Retry-After" in outcome.headers


@pytest.mark.parametrize("victim", ["duet-detector", "duet-segmenter", "duet-gateway"])
def test_kill_9_under_load_leaves_no_request_without_an_answer_or_an_error(start, trio, scenes, labels, victim):
    detector, segmenter, gateway = trio
    killed = {"duet-detector": detector, "duet-segmenter": segmenter, "duet-gateway": gateway}[victim]
    crowd = Crowd(gateway.port, scenes, config(labels, "RectangleLabels", "BrushLabels"))
    try:
        wait_until(lambda: crowd.count(200) >= 8)
        killed.kill()
        before = len(crowd.outcomes)
        wait_until(lambda: len(crowd.outcomes) >= before + 8)
        flags = [flag for flag in killed.process.args[1:] if not flag.startswith("--port")]
        start(victim, *flags, f"--port={killed.port}").ready()
        answered = crowd.count(200)
        wait_until(lambda: crowd.count(200) >= answered + 8)
    finally:
        outcomes = crowd.stop()

    assert len(outcomes) > before
    broken = [outcome for outcome in outcomes if not is_answer(outcome)]
    if victim == "duet-gateway":  # nobody is left to answer: the caller's own connection tells
        assert broken and all(isinstance(outcome, requests.ConnectionError) for outcome in broken)
    else:
        assert not broken, broken[:3]
        assert crowd.count(503) > 0


def test_a_failed_tls_handshake_is_said_in_the_gateways_own_log_alone(start, tmp_path):
    for name in ("service", "other"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.crt"],
                       check=True, capture_output=True)
    detector = start("duet-detector", f"--checkpoint={DETECTOR}", f"--tls_certificate={tmp_path}/service.crt",
                     f"--tls_key={tmp_path}/service.key")
    gateway = start("duet-gateway", f"--detector=127.0.0.1:{detector.ready()}", "--segmenter=",
                    f"--backend_ca={tmp_path}/other.crt")

    lines = []
    while not any('"backend.away"' in line for line in lines):
        lines.append(gateway.lines.get(timeout=PATIENCE_S))
    gateway.process.send_signal(signal.SIGTERM)
    code, rest = gateway.last_words()

    assert code == 0
    assert not [line for line in lines + rest if not line.startswith("{")]
