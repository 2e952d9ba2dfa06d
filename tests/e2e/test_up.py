"""./duet up, down, status and label-config, each on an installation of its own."""

import contextlib
import fcntl
import http.server
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import ssl
import subprocess
import termios
import threading
import urllib.parse

import pytest
import requests

from conftest import DETECTOR, SEGMENTER
from duet_command import DUET, ROOT
from label_configs import config
from label_studio import data_uri
from service import PATIENCE_S, Service, predict, wait_until

PROCESSES = ["duet-detector", "duet-segmenter", "duet-gateway"]
SCENE = ROOT / "tests/data/scenes/scene_0.jpg"


@pytest.fixture
def stranger():
    """A detector that ./duet did not start."""
    service = Service("duet-detector", f"--checkpoint={DETECTOR}", "--port=0", "--metrics_port=0")
    service.ready()
    yield service
    service.kill()


def pids(duet):
    return [duet.pid(name) for name in PROCESSES]


def arguments(duet, name):
    return pathlib.Path(f"/proc/{duet.pid(name)}/cmdline").read_text().split("\0")


def environment(duet, name):
    lines = pathlib.Path(f"/proc/{duet.pid(name)}/environ").read_text().split("\0")
    return dict(line.split("=", 1) for line in lines if "=" in line)


def addresses(pid):
    """Where a process listens: {(address, port)}."""
    inodes = set()
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            inodes.add(os.readlink(descriptor))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                address, port = fields[1].split(":")
                # Words of four bytes, each little-endian. gRPC's sockets are IPv6 with an IPv4 address in the last.
                words = [bytes.fromhex(address[at:at + 8])[::-1] for at in range(0, len(address), 8)]
                ipv4 = table == "tcp" or b"".join(words[:3]) == bytes(10) + b"\xff\xff"
                found.add((socket.inet_ntoa(words[-1]) if ipv4 else socket.inet_ntop(socket.AF_INET6, b"".join(words)),
                           int(port, 16)))
    return found


def threshold(duet):
    return requests.get(f"{duet.url}/", timeout=5).json()["score_threshold"]


def make_certificate(folder, name="duet", subject="/CN=duet", alternative="DNS:duet.example.com"):
    """(certificate, key), self-signed."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", subject,
                    "-addext", f"subjectAltName={alternative}", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return certificate, key


class Listener(http.server.ThreadingHTTPServer):
    """Says 200 to everything and keeps the headers of what it was asked. HTTPS with a certificate."""

    daemon_threads = True

    def __init__(self, certificate=None, key=None, handler=None):
        super().__init__(("127.0.0.1", 0), handler or _Listening)
        self.asked = []
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):  # who does not trust the certificate hangs up
        pass


class _Listening(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append(dict(self.headers))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET


@pytest.fixture
def listen():
    """Starts Listeners."""
    with contextlib.ExitStack() as stack:
        def listen(*certificate):
            listener = Listener(*certificate)
            stack.callback(listener.server_close)
            stack.callback(listener.shutdown)
            return listener
        yield listen


class TestDuetCommand:
    """./duet up and down."""

    def test_a_second_up_keeps_what_runs(self, own):
        own.up()
        first = [own.pid(name) for name in ("duet-detector", "duet-segmenter", "duet-gateway")]

        own.up()

        assert [own.pid(name) for name in ("duet-detector", "duet-segmenter", "duet-gateway")] == first

    def test_other_options_restart_only_whom_they_concern(self, own):
        own.up()
        detector, gateway = own.pid("duet-detector"), own.pid("duet-gateway")

        own.up("--label_studio_url=http://127.0.0.1:1")

        assert own.pid("duet-detector") == detector
        assert own.pid("duet-gateway") != gateway

    def test_a_variable_restarts_only_whom_it_concerns(self, own, monkeypatch):
        own.up()
        before = [own.pid(name) for name in ("duet-detector", "duet-segmenter", "duet-gateway")]

        monkeypatch.setenv("DUET_PREFETCH_TASKS", "0")  # a flag of the gateway alone
        monkeypatch.setenv("DUET_NOBODYS_FLAG", "1")
        own.up()

        after = [own.pid(name) for name in ("duet-detector", "duet-segmenter", "duet-gateway")]
        assert after[:2] == before[:2] and after[2] != before[2]

    def test_flags_of_the_processes_reach_those_that_have_them(self, own):
        own.up("--prefetch-tasks=0", "--allow_all_private")

        gateway = pathlib.Path(f"/proc/{own.pid('duet-gateway')}/cmdline").read_text().split("\0")
        detector = pathlib.Path(f"/proc/{own.pid('duet-detector')}/cmdline").read_text().split("\0")
        assert {"--prefetch_tasks=0", "--allow_all_private=true"} <= set(gateway)
        assert not any("prefetch" in argument for argument in detector)
        unknown = own.run("up", *own.options, "--score_treshold=1", check=False)
        assert unknown.returncode != 0 and "--score_treshold" in unknown.stderr and "did you mean 'score_threshold'?" in unknown.stderr

    def test_processes_are_called_by_their_names(self, own):
        own.up()
        for name in ("duet-detector", "duet-segmenter", "duet-gateway"):
            assert pathlib.Path(f"/proc/{own.pid(name)}/comm").read_text().strip() == name

    @pytest.mark.parametrize("arguments, part", [
        (("--port=none",), "--port=none is no port"),
        (("--port=50051", "--detector-port=50051"), "--detector_port and --port are both 50051"),
        (("--checkpoint=a.pth",), "--detector_checkpoint or --segmenter_checkpoint"), (("up",), "unknown option 'up'"),
        (("--metrics_port=1",), "--detector_metrics_port or --segmenter_metrics_port"),
        (("--detector=other:50051",), "up starts the detector itself"),
        (("--detector-score-threshold=0.9",), "--score_threshold"),
        (("--detecter-checkpoint=a.pth",), "no option; ./duet up --help lists them; did you mean 'detector_checkpoint'?"),
        (("--detector-checkpoint=sam-vit-b",), "a segmenter; ./duet models list"),
        (("--segmenter-checkpoint=rtmdet-m",), "a detector; ./duet models list"),
        (("--detector-checkpoint=rtmdet-q",), "and no model of that name (./duet models list)"),
        (("--train",), "--label_studio_url=URL or --with_label_studio"), (("--trainer=other:50053",), "with --train"),
        (("--train", "--label_studio_url=http://127.0.0.1:1", "--detector-classes=a,b"), "--detector_classes: not with --train"),
        (("--port",), "--port needs a value"), (("--precision=fp32\nbf16",), "line break"),
        (("--label_studio_api_key_file=/no/such",), "there is no file /no/such"),
        (("--label_studio_url=http://127.0.0.1:1", "--with-label-studio"), "exclude each other"),
        (("--tls_certificate=/no/such.pem",), "there is no file /no/such.pem"),
    ])
    def test_an_option_that_cannot_be_is_refused_at_once(self, own, arguments, part):
        result = own.run("up", *own.options, *arguments, check=False)

        assert result.returncode != 0 and part in result.stderr
        assert not (own.state / "run").exists()

    def test_help_starts_and_stops_nothing(self, own):
        own.up()
        pid = own.pid("duet-gateway")

        assert own.run("down", "--help").stdout.startswith("usage: ./duet")
        assert "takes no arguments" in own.run("down", "now", check=False).stderr
        assert own.run("--help").stdout == own.run("help").stdout

        assert own.pid("duet-gateway") == pid and own.run("status").returncode == 0

    def test_down_stops_what_up_started_and_nothing_else(self, own, stranger):
        own.up()
        pid = own.pid("duet-detector")
        record = (own.state / "run" / "duet-segmenter").read_text()
        own.run("down")

        assert stranger.process.poll() is None
        assert own.run("status", check=False).stdout.count("stopped") == 3
        # A record whose pid now belongs to somebody else is not believed.
        stale = record.replace(record.splitlines()[0], f"pid={stranger.process.pid}")
        (own.state / "run" / "duet-segmenter").write_text(stale)
        own.run("down")
        assert stranger.process.poll() is None
        assert pid != stranger.process.pid

    def test_a_port_in_use_is_named(self, own):
        with socket.create_server(("127.0.0.1", own.port)):
            result = own.run("up", *own.options, check=False)

        assert result.returncode != 0
        assert f"port {own.port}" in result.stderr and "in use" in result.stderr

    def test_a_missing_checkpoint_is_named(self, own):
        result = own.run("up", "--detector-checkpoint=/no/such.pth", check=False)

        assert result.returncode != 0
        assert "/no/such.pth" in result.stderr

    def test_what_is_in_the_environment_and_no_option_is_named(self, own):
        assert "DUET_SCORE_TRESHOLD is no option" in own.up(DUET_SCORE_TRESHOLD="0.9").stderr

    def test_a_service_that_cannot_start_ends_up_with_its_own_words(self, own, tmp_path):
        broken = tmp_path / "broken.pth"
        broken.write_bytes(b"no checkpoint")

        result = own.run("up", *own.options, f"--detector-checkpoint={broken}", check=False)

        assert result.returncode != 0
        assert str(broken) in result.stderr


def flags_of(name):
    """{flag: what --help says of it}."""
    text = subprocess.run([ROOT / "build/release/bin" / name, "--help=json"], capture_output=True, check=True).stdout
    return {flag["name"]: flag["help"] for flag in json.loads(text)["flags"]}


def says_yes(function, name):
    """Whether a predicate of tools/duet/options.sh holds."""
    script = f"DUET_STATE=/nowhere; source {ROOT}/tools/duet/options.sh; {function} {name}"
    return subprocess.run(["bash", "-c", script]).returncode == 0


def test_somebody_decided_what_a_name_of_the_gateway_and_a_model_means():
    """docs/adr/0805-options-of-up.md: the gateway's alone, or for all."""
    for_all = {"log_level", "drain_grace_ms", "drain_timeout_s", "max_message_mb", "max_image_megapixels", "model_root",
               "otlp_endpoint", "otlp_sample",
               # Of gateway and trainer: one Label Studio, one way to it and to images.
               "label_studio_url", "label_studio_alias", "label_studio_api_key", "label_studio_api_key_file",
               "local_files_root", "allowed_private", "allow_all_private", "ca_certificates", "image_proxy"}
    others = [flags_of(name).keys() for name in ("duet-detector", "duet-segmenter", "duet-trainer")]
    shared = flags_of("duet-gateway").keys() & set().union(*others)

    assert {name for name in shared if not says_yes("is_of_one_process", name)} == for_all


def test_every_flag_that_names_a_file_is_known_to():
    # Whose help has the word; --classes is a file or the names themselves, --embedding_store has URLs.
    of_none = {"max_image_mb", "label_studio_api_key", "basic_auth_password", "classes", "embedding_store", "embedding_store_mb"}
    found = {flag for name in [*PROCESSES, "duet-trainer"] for flag, text in flags_of(name).items()
             if re.search(r"\b(file|folder|directory|PEM|weights)\b", text, re.IGNORECASE)} - of_none

    assert {"checkpoint", "profiles", "tls_key", "local_files_root", "work_dir"} <= found
    assert all(says_yes("names_a_path", flag) for flag in found), found


def test_classes_are_names_or_the_full_path_of_a_file(tmp_path):
    (tmp_path / "names.txt").write_text("cat\n")
    script = (f"DUET_STATE=/nowhere; CALLER_DIRECTORY={tmp_path}; source {ROOT}/tools/duet/options.sh; "
              "OPTION=([classes]=names.txt [detector_classes]=cat,dog); check_files; "
              "printf '%s\\n' \"${OPTION[classes]}\" \"${OPTION[detector_classes]}\"")

    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout.splitlines() == [f"{tmp_path}/names.txt", "cat,dog"]


class TestOptions:
    """An option means the same on the command line, in the environment and when it is remembered."""

    @pytest.mark.parametrize("how", ["said", "variable"])
    def test_bind_is_the_gateways_alone(self, own, how):
        if how == "said":
            own.up("--bind=127.0.0.2")
        else:
            own.up(DUET_BIND="127.0.0.2")

        assert {address for address, _ in addresses(own.pid("duet-gateway"))} == {"127.0.0.2"}
        for name in ("duet-detector", "duet-segmenter"):
            ports = addresses(own.pid(name))
            assert len(ports) == 2 and {address for address, _ in ports} == {"127.0.0.1"}, name

    def test_a_models_address_is_told_by_the_models_name_and_the_gateway_follows(self, own):
        own.up("--detector-bind=127.0.0.3")

        assert {address for address, _ in addresses(own.pid("duet-detector"))} == {"127.0.0.3"}
        assert {address for address, _ in addresses(own.pid("duet-segmenter"))} == {"127.0.0.1"}
        assert own.run("status").returncode == 0

    def test_the_command_line_counts_before_the_variable_before_what_is_remembered(self, own):
        own.up("--score_threshold=0.9")
        assert threshold(own) == 0.9
        detector = own.pid("duet-detector")

        remembered = own.up()
        assert threshold(own) == 0.9 and "as the last time:" in remembered.stdout
        assert "--score_threshold=0.9" in remembered.stdout
        own.up(DUET_SCORE_THRESHOLD="0.8")
        assert threshold(own) == 0.8
        own.up("--score-threshold=0.7", DUET_SCORE_THRESHOLD="0.8")
        assert threshold(own) == 0.7
        own.up("--score_threshold=", DUET_SCORE_THRESHOLD="0.8")
        assert threshold(own) == 0.5
        own.up()
        assert threshold(own) == 0.5

        # It is the gateway's threshold, not the detector's, which would change no prediction.
        assert own.pid("duet-detector") == detector

    def test_a_threshold_changes_predictions_and_their_version(self, own, labels):
        answers = {}
        for value in ("0.01", "1"):
            own.up(f"--score_threshold={value}")
            answer = predict(own.port, [data_uri(SCENE)], config(labels, "RectangleLabels"))
            answers[value] = answer.json()["results"][0]

        assert answers["0.01"]["result"] and not answers["1"]["result"]
        assert answers["0.01"]["model_version"] != answers["1"]["model_version"]

    def test_a_plain_up_goes_on_with_what_it_was_told_until_it_is_reset(self, own, tmp_path):
        profiles = tmp_path / "profiles.json"
        profiles.write_text(json.dumps({"street": {"score_threshold": 0.3}}))
        checkpoint = tmp_path / "mine.pth"
        checkpoint.write_bytes(pathlib.Path(DETECTOR).read_bytes())
        own.up(f"--detector-checkpoint={checkpoint}", f"--profiles={profiles}", "--threads=1")
        before = pids(own)

        own.run("up")

        assert pids(own) == before
        assert requests.get(f"{own.url}/p/street/", timeout=5).json()["score_threshold"] == 0.3
        assert (own.state / "options").stat().st_mode & 0o077 == 0
        own.run("up", "--reset", *own.options)
        assert f"--checkpoint={DETECTOR}" in arguments(own, "duet-detector")
        assert not any("--threads" in each or "--profiles" in each
                       for name in PROCESSES for each in arguments(own, name))

    def test_a_remembered_file_that_is_gone_is_named_and_nothing_is_touched(self, own, tmp_path):
        profiles = tmp_path / "profiles.json"
        profiles.write_text("{}")
        own.up(f"--profiles={profiles}")
        before = pids(own)
        profiles.unlink()

        result = own.run("up", check=False)

        assert result.returncode != 0 and str(profiles) in result.stderr and "as the last time" in result.stderr
        assert pids(own) == before
        own.run("up", "--profiles=")
        assert not any("--profiles" in each for each in arguments(own, "duet-gateway"))

    def test_a_flag_of_both_models_may_differ_in_one(self, own):
        own.up("--threads=1", DUET_SEGMENTER_THREADS="2")

        assert "--threads=1" in arguments(own, "duet-detector")
        assert "--threads=2" in arguments(own, "duet-segmenter")

    def test_the_processes_see_no_variable_of_duets(self, own):
        own.up(DUET_LOG_LEVEL="debug", DUET_NOBODYS_FLAG="1")

        for name in PROCESSES:
            assert "--log_level=debug" in arguments(own, name)
            assert not [each for each in environment(own, name) if each.startswith("DUET_")]

    def test_files_are_looked_for_where_the_caller_stands(self, own, tmp_path):
        result = own.run("up", *own.options, "--profiles=mine.json", check=False, cwd=tmp_path)
        assert result.returncode != 0 and f"there is no file {tmp_path}/mine.json" in result.stderr

        make_certificate(tmp_path)
        own.run("up", *own.options, "--tls_certificate=duet.pem", "--tls_key=duet.key", cwd=tmp_path)

        assert f"--tls_key={tmp_path}/duet.key" in arguments(own, "duet-gateway")


class TestTrain:
    """./duet up --train."""

    def test_the_trainer_comes_with_what_it_needs_and_goes(self, own):
        own.up("--train", "--label_studio_url=http://127.0.0.1:1", *own.trainer_options)
        trainer = arguments(own, "duet-trainer")

        assert f"--checkpoint={DETECTOR}" in trainer and f"--work_dir={own.state}/trainer" in trainer
        assert f"--segmenter_checkpoint={SEGMENTER}" in trainer and "--label_studio_url=http://127.0.0.1:1" in trainer
        for name in ("duet-detector", "duet-segmenter", "duet-trainer"):
            assert f"--model_root={own.state}/models" in arguments(own, name), name
        status = own.run("status")
        assert re.search(r"duet-trainer +running", status.stdout) and "no training runs" in status.stdout
        before = own.pid("duet-trainer")
        own.run("up", "--trainer_threads=1")  # another one beside it, in a work folder of its own
        assert own.pid("duet-trainer") != before and "--threads=1" in arguments(own, "duet-trainer")
        assert not (own.state / "trainer.trial").exists()

        own.run("up", "--train=")

        assert not (own.state / "run/duet-trainer").exists()
        assert "duet-trainer" not in own.run("status").stdout


class TestBadOptions:
    def test_what_does_not_start_changes_nothing(self, own, tmp_path):
        """Each is found before anything is stopped, and is not remembered."""
        own.up()
        before = pids(own)
        broken = tmp_path / "broken"
        broken.write_text("no checkpoint, no JSON")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for option, said in [
                    (f"--detector-checkpoint={SEGMENTER}", SEGMENTER), (f"--segmenter-checkpoint={broken}", broken),
                    (f"--profiles={broken}", broken), ("--precision=fp23", "must be one of fp32, fp32-strict, bf16"),
                    ("--device=abacus", "abacus"), ("--score_threshold=2", "must be from 0 to 1"),
                    ("--log_level", "must be one of debug"), (f"--tls_certificate={broken}", "--tls_key"),
                    ("--basic_auth_user=somebody", "--basic_auth_password"), ("--input_size=7", "multiple of 32"),
                    ("--bind=192.0.2.1", "192.0.2.1"), (f"--port={port}", f"port {port} is in use"),
                    ("--score_treshold=1", "--score_treshold"), ("--settings_store=nowhere", "--settings_store")]:
                result = own.run("up", option, check=False)

                assert result.returncode != 0 and str(said) in result.stderr, (option, result.stderr)
                assert pids(own) == before, option
        assert own.run("status").returncode == 0
        again = own.run("up").stdout
        assert pids(own) == before and "fp23" not in again

    def test_a_flag_of_the_log_does_not_hide_that_a_process_is_up(self, own):
        own.up()

        own.up("--log_level=error")

        assert "--log_level=error" in arguments(own, "duet-gateway")


class TestStatus:
    def test_it_names_models_versions_thresholds_and_where_they_are(self, own):
        own.up("--score_threshold=0.25")
        versions = requests.get(own.url, timeout=5).json()

        lines = own.run("status").stdout

        for model, file in (("detector", DETECTOR), ("segmenter", SEGMENTER)):
            assert versions[model]["version"] in lines and versions[model]["name"] in lines
            assert f"{file}, cpu, fp32" in lines
        assert f"127.0.0.1:{own.port}" in lines and "score threshold 0.25" in lines
        assert "Label Studio: none given" in lines

    def test_it_says_why_a_process_ended_and_why_the_gateway_is_not_ready(self, own):
        own.up()
        os.kill(own.pid("duet-detector"), 9)

        def not_ready():
            return requests.get(f"{own.url}/readyz", timeout=5).status_code == 503
        text = ""
        with contextlib.suppress(requests.RequestException):
            text = requests.get(f"{own.url}/readyz", timeout=5).text
        result = own.run("status", check=False)

        assert result.returncode == 1 and "duet-detector   was killed by signal KILL" in result.stdout, text
        assert not not_ready() or "not ready: " in result.stdout

    def test_a_service_that_never_started_is_quoted(self, own, tmp_path):
        broken = tmp_path / "broken.pth"
        broken.write_bytes(b"no checkpoint")
        own.run("up", *own.options, f"--detector-checkpoint={broken}", check=False)

        status = own.run("status", check=False)

        assert status.returncode == 1
        (line,) = [line for line in status.stdout.splitlines() if line.startswith("duet-detector")]
        assert "stopped by itself with exit code 1: " in line and str(broken) in line

    def test_a_segmenter_that_is_away_is_told_though_label_studio_sees_a_backend(self, own):
        own.up()
        os.kill(own.pid("duet-segmenter"), signal.SIGSEGV)
        wait_until(lambda: requests.get(own.url, timeout=5).json()["status"] == "DEGRADED")

        (problem,) = requests.get(own.url, timeout=5).json()["problems"]
        status = own.run("status", check=False)

        assert problem["service"] == "segmenter" and "is away" in problem["problem"]
        assert requests.get(f"{own.url}/health", timeout=5).json()["status"] == "UP"
        assert "duet-segmenter  was killed by signal SEGV" in status.stdout and problem["problem"] in status.stdout

    def test_it_says_what_label_studio_thinks_of_the_token(self, own, listen, tmp_path):
        studio = listen()
        token = tmp_path / "token"
        token.write_text("legacy-token\n")
        own.up(f"--label_studio_url={studio.url}", f"--label_studio_api_key_file={token}")

        assert f"Label Studio {studio.url}: accepts the token" in own.run("status").stdout
        assert studio.asked[-1]["Authorization"] == "Token legacy-token"


class TestAfterUp:
    """What is said after `up` concerns what runs then, not what ran before."""

    def test_label_config_and_status_are_the_new_models(self, own, tmp_path):
        other = tmp_path / "other.pth"
        other.write_bytes(pathlib.Path(DETECTOR).read_bytes())
        names = tmp_path / "names.txt"
        names.write_text("".join(f"thing {number}\n" for number in range(10)))
        own.up()
        before = requests.get(own.url, timeout=5).json()["detector"]["version"]

        own.up(f"--detector_checkpoint={other}", f"--classes={names}")

        # At once, each of them.
        printed = own.run("label-config").stdout
        version = requests.get(own.url, timeout=5).json()["detector"]["version"]
        assert "thing 3" in printed and version != before
        status = own.run("status").stdout
        assert version in status and before not in status and "does not know it yet" not in status
        os.kill(own.pid("duet-gateway"), signal.SIGSTOP)
        status = own.run("status", check=False).stdout
        os.kill(own.pid("duet-gateway"), signal.SIGCONT)
        assert version in status and "the gateway does not know it yet; it knows: none" in status

    def test_down_ends_one_that_was_stopped(self, own):
        own.up()
        os.kill(own.pid("duet-gateway"), signal.SIGSTOP)
        said = own.run("down")
        assert "stopping duet-gateway" in said.stdout + said.stderr and "killing it" not in said.stdout + said.stderr

    def test_it_ends_when_the_gateway_has_heard_of_the_models(self, tmp_path):
        """wait_until_ready of tools/duet/up.sh, with a gateway that knows the former detector for a while."""
        asked = tmp_path / "asked"
        script = f"""set -euo pipefail
DUET_ROOT={ROOT} DUET_STATE=/nowhere
for part in {ROOT}/tools/duet/*.sh; do source $part; done
running() {{ :; }}
metrics_of() {{ printf 'duet_ready 1\nduet_model_info{{name="a",version="old"}} 0\nduet_model_info{{name="a",version="new"}} 1\n'; }}
model_is_ready() {{ :; }}
ask_gateway() {{
  echo "$1" >>{asked}
  local version=old
  (($(wc -l <{asked}) < 5)) || version=new
  printf '{{"detector": {{"version": "%s"}}, "segmenter": {{"version": "new"}}}}' $version
}}
wait_until_ready"""

        subprocess.run(["bash", "-c", script], check=True, timeout=PATIENCE_S)

        assert asked.read_text().split().count("/") >= 4

    def test_status_counts_tasks_and_names_options(self, own, labels):
        own.up("--prefetch_tasks=0", "--threads=1", "--queue_size=7", DUET_BASIC_AUTH_PASSWORD="password-4718",
               DUET_BASIC_AUTH_USER="somebody")
        auth = ("somebody", "password-4718")
        requests.post(f"{own.url}/predict", json={
            "tasks": [{"id": 1, "data": {"image": data_uri(SCENE)}}, {"id": 2, "data": {"image": "http://127.0.0.1:1/none.jpg"}}],
            "label_config": config(labels, "RectangleLabels")}, auth=auth, timeout=60)

        status = own.run("status").stdout

        assert "1 tasks done, 1 failed (1 " in status, status
        assert status.count("--threads=1") == 2 and status.count("--queue_size=7") == 2
        assert "--prefetch_tasks=0" in status and "--basic_auth_password=(kept)" in status
        assert "password-4718" not in status


class Projects(Listener):
    """A Label Studio with so many projects, which it lists a hundred at a time. `answering` is called before each answer
    about a project's backends."""

    def __init__(self, count, answering=lambda: None):
        self.count, self.answering = count, answering
        self.looked_at, self.now, self.most, self.lock = [], 0, 0, threading.Lock()
        super().__init__(handler=_ListingProjects)


class _ListingProjects(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        studio, url = self.server, urllib.parse.urlparse(self.path)
        asked = {key: int(values[0]) for key, values in urllib.parse.parse_qs(url.query).items() if values[0].isdigit()}
        answer = {}
        if url.path == "/api/projects/":
            first = (asked["page"] - 1) * asked["page_size"]
            ids = range(studio.count, 0, -1)[first:first + asked["page_size"]]
            answer = {"count": studio.count, "results": [{"id": each} for each in ids]}
        elif url.path == "/api/ml/":
            with studio.lock:
                studio.now += 1
                studio.most = max(studio.most, studio.now)
            studio.answering()
            with studio.lock:
                studio.now -= 1
                studio.looked_at.append(asked["project"])
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class TestProjects:
    """`up` has Label Studio look at the backends of all its projects."""

    @pytest.fixture
    def projects(self):
        with contextlib.ExitStack() as stack:
            def projects(*arguments):
                studio = Projects(*arguments)
                stack.callback(studio.server_close)
                stack.callback(studio.shutdown)
                return studio
            yield projects

    def warn(self, studio, seconds):
        """warn_of_label_configs of tools/duet/label_studio.sh."""
        script = (f"set -euo pipefail; DUET_ROOT={ROOT} DUET_STATE=/nowhere; for part in {ROOT}/tools/duet/*.sh; do source $part; done; "
                  f"OPTION=([label_studio_url]={studio.url} [label_studio_api_key]=legacy); warn_of_label_configs {seconds}")
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stderr

    def test_all_are_looked_at_several_at_once(self, projects):
        together = threading.Barrier(8)
        studio = projects(208, lambda: together.wait(PATIENCE_S))  # nobody answers until eight are asked

        said = self.warn(studio, PATIENCE_S)

        assert sorted(studio.looked_at) == list(range(1, 209)) and studio.most == 8
        assert "were checked" not in said

    def test_what_is_not_looked_at_in_time_is_said(self, projects):
        never = threading.Event()
        studio = projects(12, lambda: studio.looked_at and never.wait(PATIENCE_S))  # only some answer

        said = self.warn(studio, 2)
        never.set()

        assert re.search(r"\b([1-9]|10) of Label Studio's 12 projects were checked", said), said

    def test_a_count_that_is_no_number_is_not_calculated_with(self, projects, tmp_path):
        studio = projects(0)
        studio.count = f"a[$(touch {tmp_path}/done)]"
        handler = studio.RequestHandlerClass
        studio.RequestHandlerClass = type("Lying", (handler,), {"do_GET": _lie})

        self.warn(studio, 5)

        assert not (tmp_path / "done").exists()


def _lie(handler):
    body = json.dumps({"count": handler.server.count, "results": [{"id": 1}, {"id": handler.server.count}]}).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class TestReset:
    def test_the_next_step_names_the_label_studio_that_was_told_or_forgotten(self, own):
        step = "./duet up --label_studio_url=http://127.0.0.1:1\n"

        without_token = own.up("--label_studio_url=http://127.0.0.1:1").stdout
        own.up(DUET_LABEL_STUDIO_API_KEY="token-4719")
        reset = own.up("--reset").stdout

        assert step in without_token and step in reset
        assert "localhost:8080" not in without_token + reset
        assert "forgotten: --label_studio_api_key --label_studio_url=http://127.0.0.1:1\n" in reset
        assert "token-4719" not in reset


class TestClosedPipes:
    """Whoever reads what is said may stop reading."""

    def test_up_goes_on(self, own):
        own.up()
        reading, writing = os.pipe()
        os.close(reading)  # before it says a word

        up = subprocess.run([DUET, "up", *own.options, "--threads=1"], stdout=writing, stderr=writing,
                            stdin=subprocess.DEVNULL, env={**os.environ, "DUET_STATE": str(own.state), "DUET_NOBODYS": "1"},
                            timeout=PATIENCE_S * 4)
        os.close(writing)

        assert up.returncode == 0
        assert "--threads=1" in arguments(own, "duet-detector") and own.run("status").returncode == 0
        assert "threads=1" in (own.state / "options").read_text()

    def test_up_goes_on_when_its_terminal_is_closed(self, own):
        own.up()
        main, terminal = pty.openpty()
        up = subprocess.Popen([DUET, "up", *own.options, "--threads=1"], stdin=terminal, stdout=terminal, stderr=terminal,
                              env={**os.environ, "DUET_STATE": str(own.state)}, start_new_session=True,
                              preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(terminal)
        shown = ""
        while "stopping duet-detector" not in shown:
            assert select.select([main], [], [], PATIENCE_S)[0]
            shown += os.read(main, 4096).decode(errors="replace")
        os.close(main)  # hangs up
        up.wait(PATIENCE_S)

        assert "--threads=1" in arguments(own, "duet-detector") and own.run("status").returncode == 0
        assert "threads=1" in (own.state / "options").read_text()

    def test_the_exit_status_is_the_commands(self, own):
        result = subprocess.run(f"{DUET} down now | head -1; exit ${{PIPESTATUS[0]}}", shell=True, executable="/bin/bash",
                                capture_output=True, text=True, env={**os.environ, "DUET_STATE": str(own.state)})
        assert result.returncode == 2 and "takes no arguments" in result.stderr

    def test_what_is_said_in_one_pipe_keeps_its_order(self, own):
        script = "cd {root}; source tools/duet/messages.sh; outlive_readers; for n in $(seq 200); do say o$n; warn e$n; done"
        result = subprocess.run(["bash", "-c", script.format(root=ROOT)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, check=True)
        expected = [line for number in range(1, 201) for line in (f"o{number}", f"duet: e{number}")]
        assert result.stdout.splitlines() == expected


def command_lines_with(*secrets):
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            text = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if any(secret in text for secret in secrets):
                found.append(text)
    return found


@contextlib.contextmanager
def watching(*secrets):
    """Looks at all command lines of this machine, over and over. Yields the list of those that had a secret."""
    seen, stop = [], threading.Event()

    def look():
        while not stop.is_set():
            seen.extend(command_lines_with(*secrets))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


class TestSecrets:
    def test_no_command_line_log_or_readable_file_has_one(self, own, tmp_path):
        secrets = ["token-4711", "password-4712", "redis-4713"]
        file = tmp_path / "token"
        file.write_text(secrets[0])
        password = tmp_path / "password"
        password.write_text(secrets[1])
        variables = {"DUET_SETTINGS_STORE": f"redis://:{secrets[2]}@127.0.0.1:1",
                     "DUET_EMBEDDING_STORE": f"redis://:{secrets[2]}@127.0.0.1:1"}

        with watching(*secrets) as seen:
            own.up("--label_studio_url=http://127.0.0.1:1", "--basic_auth_user=duet", "--log_level=debug",
                   DUET_LABEL_STUDIO_API_KEY=secrets[0], DUET_BASIC_AUTH_PASSWORD=secrets[1], **variables)
            status = own.run("status")
            remembered = own.run("up")

        assert not seen
        printed = status.stdout + status.stderr + remembered.stdout + remembered.stderr
        assert not any(secret in printed for secret in secrets)
        assert "--label_studio_api_key=(kept)" in remembered.stdout
        for path in own.state.rglob("*"):
            if path.is_file() and path.name != "options":
                assert not any(secret in path.read_text(errors="replace") for secret in secrets), path
        for path in [own.state / "run", own.state / "logs", own.state / "options"]:
            assert path.stat().st_mode & 0o077 == 0, path
        for path in [*(own.state / "run").iterdir(), *(own.state / "logs").iterdir()]:
            assert path.stat().st_mode & 0o077 == 0, path

    def test_one_on_the_command_line_is_taken_off_it_at_once_and_warned_about(self, own):
        """While it waits for another ./duet, which is held up here, it no longer has it."""
        secret = "token-4714"
        with open(own.state / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            up = subprocess.Popen([DUET, "up", *own.options, "--label_studio_url=http://127.0.0.1:1",
                                   f"--label_studio_api_key={secret}"], stdin=subprocess.DEVNULL, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  env={**os.environ, "DUET_STATE": str(own.state)})
            assert "waiting for another ./duet" in up.stdout.readline()
            with_it = command_lines_with(secret)
        _, warned = up.communicate(timeout=PATIENCE_S)

        assert up.returncode == 0 and not with_it
        assert "others on this machine can read command lines" in warned and "--label_studio_api_key_file" in warned
        assert environment(own, "duet-gateway")["DUET_LABEL_STUDIO_API_KEY"] == secret

    def test_a_token_is_asked_for_without_showing_it(self, own):
        main, terminal = pty.openpty()
        up = subprocess.Popen([DUET, "up", *own.options, "--label_studio_url=http://127.0.0.1:1"], stdin=terminal,
                              stdout=subprocess.DEVNULL, stderr=terminal,
                              env={**os.environ, "DUET_STATE": str(own.state)}, start_new_session=True)
        os.close(terminal)
        shown, answered = "", False
        with contextlib.suppress(OSError):  # the terminal's other end is closed
            while select.select([main], [], [], PATIENCE_S)[0] and (some := os.read(main, 4096)):
                shown += some.decode(errors="replace")
                if not answered and "none): " in shown:
                    os.write(main, b"token-4715\n")
                    answered = True
        assert up.wait(PATIENCE_S) == 0, shown
        os.close(main)

        assert "Token of http://127.0.0.1:1" in shown and "token-4715" not in shown
        assert environment(own, "duet-gateway")["DUET_LABEL_STUDIO_API_KEY"] == "token-4715"

    def test_what_was_told_of_label_studio_is_kept_until_it_is_forgotten(self, own):
        told = own.up("--label_studio_url=http://127.0.0.1:1", DUET_LABEL_STUDIO_API_KEY="first")
        assert "nothing answers at http://127.0.0.1:1" in told.stderr
        own.run("down")
        own.up()
        assert environment(own, "duet-gateway")["DUET_LABEL_STUDIO_API_KEY"] == "first"

        own.up(DUET_LABEL_STUDIO_API_KEY="second")  # a new token for the same Label Studio
        assert environment(own, "duet-gateway")["DUET_LABEL_STUDIO_API_KEY"] == "second"
        assert "--label_studio_url=http://127.0.0.1:1" in arguments(own, "duet-gateway")

        own.up("--label_studio_url=http://127.0.0.1:2")  # another Label Studio: it does not get the first one's token
        assert "DUET_LABEL_STUDIO_API_KEY" not in environment(own, "duet-gateway")
        own.up(DUET_LABEL_STUDIO_API_KEY="third")
        own.up("--label_studio_url=", "--label_studio_api_key=")
        assert "DUET_LABEL_STUDIO_API_KEY" not in environment(own, "duet-gateway")
        assert "third" not in (own.state / "options").read_text()

    def test_a_token_of_no_label_studio_is_refused(self, own):
        result = own.run("up", *own.options, check=False, DUET_LABEL_STUDIO_API_KEY="token")

        assert result.returncode != 0 and "--label_studio_url" in result.stderr

    def test_a_placeholder_is_no_token(self, own):
        told = own.run("up", *own.options, "--label_studio_url=http://127.0.0.1:1", check=False, DUET_LABEL_STUDIO_API_KEY="TOKEN")

        assert told.returncode != 0 and "'TOKEN' only stands for one" in told.stderr

    def test_a_refused_token_does_not_replace_a_good_one(self, own):
        class Studio(_Listening):
            def do_GET(self):
                self.send_response(200 if self.headers.get("Authorization") == "Token good" else 401)
                self.send_header("Content-Length", "0")
                self.end_headers()
            do_POST = do_GET
        studio = Listener(handler=Studio)
        try:
            own.up(f"--label_studio_url={studio.url}", DUET_LABEL_STUDIO_API_KEY="good")

            told = own.run("up", *own.options, check=False, DUET_LABEL_STUDIO_API_KEY="mistyped")

            assert told.returncode != 0 and "refuses the new token, and accepts the one that Duet has" in told.stderr
            assert "label_studio_api_key=good" in (own.state / "options").read_text()
        finally:
            studio.shutdown()
            studio.server_close()

    def test_a_token_goes_to_no_server_whose_certificate_is_not_trusted(self, own, listen, tmp_path):
        certificate, key = make_certificate(tmp_path, alternative="IP:127.0.0.1")
        studio = listen(certificate, key)

        told = own.up(f"--label_studio_url={studio.url}", DUET_LABEL_STUDIO_API_KEY="token-4716")

        assert "certificate is not trusted" in told.stderr and not studio.asked
        assert "is not trusted" in own.run("status").stdout
        trusted = own.up(f"--ca_certificates={certificate}")
        assert "not trusted" not in trusted.stderr and "accepts the token" in own.run("status").stdout
        assert studio.asked[-1]["Authorization"] == "Token token-4716"

    def test_the_gateways_password_goes_to_the_gateway_alone(self, own, listen, tmp_path):
        """Its certificate is for another name than 127.0.0.1, and self-signed; somebody else's is not taken for it."""
        certificate, key = make_certificate(tmp_path)
        told = own.up(f"--tls_certificate={certificate}", f"--tls_key={key}", "--basic_auth_user=duet",
                      DUET_BASIC_AUTH_PASSWORD="password-4717")
        assert f"https://127.0.0.1:{own.port}" in told.stdout
        assert "<Labels " in own.run("label-config").stdout

        impostor = listen(*make_certificate(tmp_path, "impostor"))
        record = own.state / "run/duet-gateway"
        before = record.read_text()
        record.write_text(re.sub("where=.*", f"where={impostor.url}", before))
        result = own.run("label-config", check=False)
        own.run("status", check=False)
        record.write_text(before)

        assert result.returncode != 0 and not impostor.asked


class TestAddresses:
    def test_a_proxy_in_the_environment_is_not_asked_for_what_is_here(self, own, listen):
        proxy = listen()
        variables = {name: proxy.url for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
        variables |= {"no_proxy": "", "NO_PROXY": ""}

        own.up(**variables)

        assert own.run("status", **variables).returncode == 0
        assert "<Labels " in own.run("label-config", **variables).stdout
        assert not proxy.asked

    def test_ipv6(self, own):
        told = own.up("--bind=::1", "--detector_bind=::1", "--segmenter_bind=::1")

        assert f"http://[::1]:{own.port}" in told.stdout
        assert requests.get(f"http://[::1]:{own.port}/readyz", timeout=5).ok
        assert "<Labels " in own.run("label-config").stdout and own.run("status").returncode == 0
        assert own.run("up").returncode == 0

    def test_a_port_in_use_at_an_ipv6_address_is_named(self, own):
        with socket.create_server(("::1", own.port), family=socket.AF_INET6):
            result = own.run("up", *own.options, "--bind=::1", check=False)

        assert result.returncode != 0 and f"port {own.port} is in use" in result.stderr

    @pytest.mark.parametrize("bind, where", [("0.0.0.0", "127.0.0.1:80"), ("::", "[::1]:80"), ("::1", "[::1]:80"),
                                             ("10.0.0.7", "10.0.0.7:80"), ("fd00::7", "[fd00::7]:80")])
    def test_where_this_machine_reaches_what_listens_at(self, bind, where):
        script = f'DUET_STATE=/nowhere; source {ROOT}/tools/duet/options.sh; reachable "{bind}" 80'

        assert subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.strip() == where
