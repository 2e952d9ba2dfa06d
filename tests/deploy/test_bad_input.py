"""What operators get wrong: one line says so, and probes tell the truth."""

import concurrent.futures
import hashlib
import http.server
import os
import socket
import threading

import pytest
import requests

from conftest import DEPLOY, ROOT, run
from label_configs import config
from processes import CHECKPOINT, LABELS, Redis, free_port, trio
from service import PATIENCE_S, Service, predict, wait_until

WEIGHTS = b"weights" * 1000
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


class _Weights(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        body = WEIGHTS if self.path == "/model.pth" else b""
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def publisher():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Weights)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch_model(url, file, checksum, **options):
    """The init container."""
    environment = {**os.environ, "DUET_LIBRARY": str(ROOT / "tools/duet"), "DUET_ROOT": str(ROOT), "DUET_STATE": "/nowhere"}
    return run(DEPLOY / "duet-fetch-model", url, file, checksum, env=environment, **options)


class TestInitContainer:
    def test_the_right_file_is_put_in_place_and_not_fetched_twice(self, publisher, tmp_path):
        file = tmp_path / "models/model.pth"

        first = fetch_model(f"{publisher}/model.pth", file, SHA256)
        again = fetch_model("http://127.0.0.1:1/gone", file, SHA256)

        assert first.returncode == again.returncode == 0, first.stderr + again.stderr
        assert file.read_bytes() == WEIGHTS

    def test_a_wrong_checksum_is_one_line_with_both_and_no_file(self, publisher, tmp_path):
        file = tmp_path / "model.pth"

        result = fetch_model(f"{publisher}/model.pth", file, "0123abcd")

        assert result.returncode != 0
        (line,) = result.stderr.splitlines()
        assert SHA256 in line and "must start with 0123abcd" in line and str(file) in line
        assert not list(tmp_path.iterdir())

    def test_a_missing_file_is_named(self, publisher, tmp_path):
        result = fetch_model(f"{publisher}/other.pth", tmp_path / "model.pth", SHA256)

        assert result.returncode != 0
        assert f"{publisher}/other.pth could not be fetched" in result.stderr.splitlines()[-1]

    @pytest.mark.parametrize("folder", ["/proc/models", "/sys/models"])
    def test_a_missing_volume_is_one_line_that_names_it(self, publisher, folder):
        """Like a read-only root without a mount: not even root can write there."""
        result = fetch_model(f"{publisher}/model.pth", f"{folder}/model.pth", SHA256)

        assert result.returncode != 0
        (line,) = result.stderr.splitlines()
        assert folder in line and "volume" in line

    def test_forgotten_settings_are_the_usage(self):
        result = run(DEPLOY / "duet-fetch-model", "http://127.0.0.1:1/model.pth")

        assert result.returncode == 2 and "URL FILE SHA256" in result.stderr


@pytest.mark.parametrize("name", CHECKPOINT)
def test_a_model_service_without_its_volume_says_so_and_never_opens_its_ports(name):
    port, metrics_port = free_port(), free_port()

    code, lines = Service(name, f"--port={port}", f"--metrics_port={metrics_port}",
                          "--checkpoint=/models/model.pth").last_words()

    assert code == 1
    (error,) = [line for line in lines if "startup.failed" in line]
    assert "/models/model.pth" in error
    assert not any("listening" in line for line in lines)


@pytest.mark.parametrize("flag", ["--nms_iou_threshold=-0.5", "--nms_iou_threshold=nan", "--score_threshold=1.5",
                                  "--input_size=33", "--max_detections=-1"])
def test_a_detectors_number_out_of_its_range_is_refused_by_name(flag):
    code, lines = Service("duet-detector", "--port=0", "--metrics_port=0", f"--checkpoint={CHECKPOINT['duet-detector']}",
                          flag).last_words()

    assert code == 2
    assert flag.split("=")[0] in lines[-1] and "must be" in lines[-1]


@pytest.mark.parametrize("flags, named", [
    (["--tls_certificate=/etc/tls/tls.crt", "--tls_key=/etc/tls/tls.key"], "/etc/tls/tls.crt"),
    (["--tls_certificate=/etc/tls/tls.crt"], "--tls_key"),
    (["--basic_auth_user=duet"], "--basic_auth_password"),
    (["--profiles=/etc/duet/profiles.json"], "/etc/duet/profiles.json"),
], ids=["certificate", "key", "password", "profiles"])
def test_a_gateway_without_its_secret_or_file_is_one_line_that_names_it(flags, named):
    code, lines = Service("duet-gateway", "--port=0", "--detector=127.0.0.1:1", *flags).last_words()

    assert code == 1
    (error,) = [line for line in lines if "startup.failed" in line]
    assert named in error


def test_a_gateway_without_models_lives_is_not_ready_and_says_for_whom_it_waits():
    gateway = Service("duet-gateway", "--port=0", "--detector=detector.invalid:50051", "--segmenter=127.0.0.1:1")
    try:
        url = f"http://127.0.0.1:{gateway.ready()}"

        assert requests.get(f"{url}/livez", timeout=5).status_code == 200
        ready = requests.get(f"{url}/readyz", timeout=5)
        assert ready.status_code == 503 and "Waiting for the detector" in ready.text
        assert requests.get(f"{url}/health", timeout=5).ok
    finally:
        gateway.kill()


class _Refusing(http.server.BaseHTTPRequestHandler):
    """A Label Studio that doesn't know our token."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET


class TestLabelStudio:
    def failed_task(self, *flags):
        """(answer, the line the gateway logged about it, answer of /readyz) for a task whose image is an upload."""
        with trio(gateway_flags=flags) as duet:
            answer = predict(duet.gateway.port, ["/data/upload/1/picture.jpg"], config(LABELS, "RectangleLabels"))
            while "/predict" not in (line := duet.gateway.lines.get(timeout=PATIENCE_S)):
                pass
            return answer, line, requests.get(f"{duet.url}/readyz", timeout=5)

    def test_unreachable_is_one_sentence_and_the_gateway_stays_ready(self):
        answer, line, ready = self.failed_task("--label_studio_url=http://127.0.0.1:1", "--label_studio_api_key=token")

        assert answer.status_code >= 400
        assert "127.0.0.1" in answer.text and len(answer.json()["error"].splitlines()) == 1
        assert "token" not in answer.text.replace("_token", "")
        assert ready.ok

    @pytest.mark.parametrize("flags, said", [
        ([], "start the gateway with --label_studio_api_key"),
        (["--label_studio_api_key=wrong"], "refused the legacy token"),
    ], ids=["missing", "wrong"])
    def test_a_token_that_is_missing_or_wrong_is_named(self, flags, said):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            answer, _, ready = self.failed_task(f"--label_studio_url=http://127.0.0.1:{server.server_port}", *flags)
        finally:
            server.shutdown()
            server.server_close()

        assert answer.status_code >= 400 and said in answer.json()["error"]
        assert "wrong" not in answer.text
        assert ready.ok


STORE = {"duet-segmenter": "embedding_store", "duet-gateway": "settings_store"}


class TestRedis:
    @staticmethod
    def start(name, url):
        models = ["--detector=127.0.0.1:1", "--segmenter=127.0.0.1:1"]
        flags = models if name == "duet-gateway" else [f"--checkpoint={CHECKPOINT[name]}", "--metrics_port=0", "--threads=1"]
        return Service(name, "--port=0", f"--{STORE[name]}={url}", *flags)

    @pytest.mark.parametrize("name", STORE)
    @pytest.mark.parametrize("url, said", [("duet-redis:6379", "scheme"), ("rediss://:secret@duet-redis", "TLS")])
    def test_a_bad_url_is_one_line_that_names_the_flag_and_not_the_password(self, name, url, said):
        code, lines = self.start(name, url).last_words()

        assert code == 1
        (error,) = [line for line in lines if "startup.failed" in line]
        assert f"--{STORE[name]}: " in error and said in error and "secret" not in error

    @pytest.mark.parametrize("name", STORE)
    def test_unreachable_is_one_line_and_the_process_serves(self, name):
        service = self.start(name, f"redis://:secret@127.0.0.1:{free_port()}")
        try:
            down = service.wait_for_event("redis.down")
            service.ready()

            assert "refused" in down["error"] and "secret" not in str(down)
            assert service.metrics()["duet_redis_up"] == 0
        finally:
            service.kill()

    @pytest.mark.parametrize("how", ["kill", "freeze"])
    def test_gone_while_at_work_costs_no_answer_and_no_readiness(self, how):
        with Redis() as redis, trio(segmenter_flags=[f"--embedding_store={redis.url}"],
                                    gateway_flags=[f"--settings_store={redis.url}"]) as duet:
            duet.work()
            getattr(redis, how)()

            duet.work()
            assert duet.predict("RectangleLabels", "BrushLabels", count=8).ok
            assert requests.get(f"{duet.url}/readyz", timeout=5).ok
            assert duet.segmenter.metrics()["duet_ready"] == 1
            # Only who asks finds out about one that is frozen; the segmenter has had nothing to ask.
            wait_until(lambda: duet.gateway.metrics()["duet_redis_up"] == 0)


def _resident_mb(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) // 1024


def _send_chunks(port):
    """What is refused on the way: more than there is room for."""
    chunk = b"400000\r\n" + b"a" * 0x400000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        try:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: duet\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(10):
                connection.sendall(chunk)
        except ConnectionError:
            pass


def test_the_memory_of_many_large_bodies_goes_back_to_the_system():
    gateway = Service("duet-gateway", "--port=0", "--detector=127.0.0.1:1", "--segmenter=127.0.0.1:1")
    try:
        port = gateway.ready()
        before = _resident_mb(gateway.process)

        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            list(pool.map(lambda _: _send_chunks(port), range(120)))

        wait_until(lambda: requests.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S).text.count(
            "\nduet_gateway_connections 1\n"))
        assert _resident_mb(gateway.process) < before + 100
    finally:
        gateway.kill()
