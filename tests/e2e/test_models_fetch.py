"""./duet models fetch against a server that supports ranges, hangs up early, or sends something else."""

import hashlib
import http.server
import subprocess
import threading

import pytest

from duet_command import DUET, ROOT

WEIGHTS = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


class FileServer(http.server.ThreadingHTTPServer):
    """Serves WEIGHTS under every path. `cut_after`: hang up after so many bytes of an answer, while > 0."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = WEIGHTS
        self.cut_after = []
        self.ranges_supported = True
        self.range_headers = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/weights"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.range_headers.append(wanted)
        first = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted and server.ranges_supported else 0
        if first >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(server.content) - first))
        self.end_headers()
        body = server.content[first:]
        if server.cut_after:
            body = body[: server.cut_after.pop(0)]
            self.close_connection = True
        self.wfile.write(body)


@pytest.fixture
def server():
    server = FileServer()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def fetch(server, tmp_path):
    """Runs the command on a table of one model, `tiny`, whose name promises the SHA-256 of WEIGHTS."""
    table = tmp_path / "models.tsv"

    def run(prefix=SHA256[:8]):
        table.write_text(f"name\tfamily\turl\tsha256_prefix\ntiny\tTest\thttp://unused.invalid/tiny-x.pth\t{prefix}\n")
        return subprocess.run(
            [DUET, "models", "fetch", "tiny", f"--base_url={server.url}", f"--dir={tmp_path}", f"--table={table}"],
            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)

    run.file = tmp_path / "tiny-x.pth"
    run.part = tmp_path / "tiny-x.pth.part"
    return run


def test_a_whole_file_arrives_and_a_second_fetch_asks_nothing(server, fetch):
    assert fetch().returncode == 0
    assert fetch.file.read_bytes() == WEIGHTS

    again = fetch()

    assert again.returncode == 0 and "already here" in again.stdout
    assert len(server.range_headers) == 1


def test_a_connection_cut_twice_is_resumed_where_it_stopped(server, fetch):
    server.cut_after = [300_000, 200_000]

    assert fetch().returncode == 0

    assert server.range_headers == [None, "bytes=300000-", "bytes=500000-"]
    assert fetch.file.read_bytes() == WEIGHTS


def test_a_download_stopped_earlier_goes_on(server, fetch):
    fetch.part.write_bytes(WEIGHTS[:1000])

    assert fetch().returncode == 0

    assert server.range_headers == ["bytes=1000-"]
    assert fetch.file.read_bytes() == WEIGHTS


def test_a_server_that_brings_nothing_fails_and_says_so(server, fetch):
    server.cut_after = [0] * 10

    result = fetch()

    assert result.returncode != 0
    assert "could not be fetched" in result.stderr and "--base_url=URL" in result.stderr
    assert len(server.range_headers) == 3
    assert not fetch.file.exists()


def test_a_server_without_ranges_gives_the_whole_file(server, fetch):
    server.ranges_supported = False
    fetch.part.write_bytes(WEIGHTS[:1000])

    assert fetch().returncode == 0

    assert fetch.file.read_bytes() == WEIGHTS


def test_a_corrupt_file_is_deleted_and_both_checksums_are_named(server, fetch):
    server.content = b"?" + WEIGHTS[1:]

    result = fetch()

    assert result.returncode != 0
    assert f"must start with {SHA256[:8]}" in result.stderr
    assert hashlib.sha256(server.content).hexdigest() in result.stderr
    assert not fetch.file.exists() and not fetch.part.exists()


def test_a_longer_leftover_of_another_file_is_replaced(server, fetch):
    fetch.part.write_bytes(WEIGHTS + b"more")

    assert fetch().returncode == 0

    assert fetch.file.read_bytes() == WEIGHTS


def test_a_file_without_published_checksum_is_kept_with_a_warning(server, fetch):
    result = fetch(prefix="")

    assert result.returncode == 0
    assert SHA256 in result.stderr
    assert fetch.file.read_bytes() == WEIGHTS


def test_an_unknown_name_is_refused(tmp_path):
    result = subprocess.run([DUET, "models", "fetch", "rtmdet-xxl"], capture_output=True, text=True, timeout=60)

    assert result.returncode != 0
    assert "no model 'rtmdet-xxl'" in result.stderr


def test_the_list_says_what_each_is_for_and_how_large(tmp_path):
    listed = subprocess.run([DUET, "models", "list"], capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    line = next(line for line in listed if line.startswith("rtmdet-m "))

    assert listed[0].split() == ["NAME", "KIND", "SIZE", "FAMILY", "RECOMMENDED", "FOR"]
    assert "boxes" in line and "99 MB" in line and "begin with this one" in line


def test_up_takes_a_name_for_a_checkpoint_and_remembers_the_file(tmp_path):
    """Without the network: what would be fetched is only said."""
    script = """
        DUET_ROOT=%s DUET_STATE=%s CALLER_DIRECTORY=%s
        for part in "$DUET_ROOT"/tools/duet/{messages,options,models}.sh; do source "$part"; done
        cd "$DUET_ROOT"
        models_fetch() { echo "fetching $*"; }
        OPTION=([detector_checkpoint]=rtmdet-m [segmenter_checkpoint]=/models/sam.pth) ORIGIN=([detector_checkpoint]=said)
        fetch_named_models
        echo "${OPTION[detector_checkpoint]} ${OPTION[segmenter_checkpoint]}"
    """ % (ROOT, tmp_path, tmp_path)
    fetching, files = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=60,
                                     check=True).stdout.splitlines()

    assert fetching == "fetching rtmdet-m"
    assert files.split() == [f"{ROOT}/models/official/rtmdet_m_8xb32-300e_coco_20220719_112220-229f527c.pth", "/models/sam.pth"]
