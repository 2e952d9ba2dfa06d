"""A bulk run in shards: real processes as the indices of a job, killed at random, with results in an S3 that restarts. What
is made of their parts is what a single run makes, byte for byte."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from moto.server import ThreadedMotoServer

from conftest import DETECTOR, SEGMENTER
from duet_command import ROOT

SCENES = sorted((ROOT / "tests/data/scenes").glob("scene_?.jpg"))
COMMAND = ROOT / "build/release/bin/duet"
SHARDS = 8
# By default enough for every index to be at work when it is killed; DUET_BULK_KILLS=20 kills so often, among more images.
KILLS = int(os.environ.get("DUET_BULK_KILLS", "3"))
IMAGES = 8 * SHARDS * max(1, KILLS // 3)


class Store:
    """An S3 that can be stopped and started again at the same address, with what it had."""

    def __init__(self):
        self.server = None
        self.port = 0
        self.start()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self):
        self.server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self.server.start()
        self.port = self.server.get_host_and_port()[1]

    def stop(self):
        self.server.stop()


@pytest.fixture
def store(monkeypatch):
    store = Store()
    for name, value in (("AWS_ENDPOINT_URL", store.url), ("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any"),
                        ("AWS_DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(name, value)
    store.client = boto3.client("s3")
    store.client.create_bucket(Bucket="pictures")
    yield store
    for entry in store.client.list_objects_v2(Bucket="pictures").get("Contents", []):
        store.client.delete_object(Bucket="pictures", Key=entry["Key"])
    store.client.delete_bucket(Bucket="pictures")
    store.stop()


def environment(**more):
    return {**{key: value for key, value in os.environ.items() if not key.startswith("DUET_")}, **more}


def duet(folder, *arguments, expect=0, **variables):
    """Runs the command; returns its stdout and stderr."""
    ran = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, cwd=folder, timeout=300,
                         env=environment(**variables))
    assert ran.returncode == expect, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


class Index:
    """One index of a job: its process, started again and again until it ends well, as a Job's controller does it."""

    def __init__(self, number, folder, arguments):
        self.work = folder / f"work-{number}"
        self.command = [COMMAND, "prelabel", "s3://pictures/images.manifest", f"--shard=job/{SHARDS}",
                        "--out=s3://pictures/results/", f"--work={self.work}", *arguments]
        self.variables = environment(JOB_COMPLETION_INDEX=str(number))
        self.folder, self.codes, self.said = folder, [], []
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                        cwd=self.folder, env=self.variables)
        threading.Thread(target=lambda pipe: self.said.extend(pipe), args=(self.process.stderr,), daemon=True).start()

    def step(self):
        """Whether it has ended well."""
        if self.process.poll() not in (None, 0):
            self.codes.append(self.process.returncode)
            self.start()
        return self.process.poll() == 0

    def records(self):
        """Whether its journal has any."""
        journals = list(self.work.glob("*.journal/journal"))
        with contextlib.suppress(FileNotFoundError):
            return any(journal.stat().st_size > 0 for journal in journals)
        return False


def test_killed_indices_and_a_restarted_store_give_a_single_runs_bytes(store, tmp_path):
    for number in range(IMAGES):
        store.client.put_object(Bucket="pictures", Key=f"in/{number:04}.jpg", Body=SCENES[number % len(SCENES)].read_bytes())
    store.client.put_object(Bucket="pictures", Key="in/0003.jpg", Body=b"no image")
    models = [f"--detector_checkpoint={DETECTOR}", f"--segmenter_checkpoint={SEGMENTER}", f"--kernel_plan={tmp_path}/plan",
              "--masks=rle"]
    duet(tmp_path, "prelabel", "s3://pictures/in/", "--out=single.json", *models, expect=1)
    assert f"{IMAGES} images" in duet(tmp_path, "prelabel", "s3://pictures/in/", "--manifest=s3://pictures/images.manifest")

    chance = random.Random(18)
    indices = [Index(number, tmp_path, models) for number in range(SHARDS)]
    for index in indices:
        index.start()
    kills = 0
    down = False

    def done():
        nonlocal kills, down
        ended = [index.step() for index in indices]
        at_work = [index for index in indices if index.process.poll() is None and index.records()]
        if kills < KILLS and at_work:
            process = chance.choice(at_work).process
            process.kill()
            if process.wait() == -signal.SIGKILL:  # else it had just ended
                kills += 1
                if kills == KILLS // 2 + 1:  # and the store is gone as well
                    store.stop()
                    down = True
        if down and any("waiting: " in line for index in indices for line in index.said):
            store.start()
            down = False
        return all(ended)

    try:
        deadline = time.monotonic() + 60 * SHARDS * max(1, KILLS // 3)
        while not done():
            assert time.monotonic() < deadline, [index.said[-3:] for index in indices]
            time.sleep(0.02)
    finally:
        for index in indices:
            index.process.kill()
    assert kills == KILLS and not down
    # Nothing but the kills ended any.
    assert sorted(code for index in indices for code in index.codes) == [-signal.SIGKILL] * KILLS
    names = [entry["Key"] for entry in store.client.list_objects_v2(Bucket="pictures", Prefix="results/")["Contents"]]
    assert names == [f"results/{number:05}-of-{SHARDS:05}.shard" for number in range(SHARDS)]
    assert not list(tmp_path.glob("work-*/*.journal"))  # the results have all of it

    duet(tmp_path, "merge", "s3://pictures/results/", "--out=merged.json", expect=1)  # one image is none
    for name in ("", ".failures.jsonl", ".journal/manifest", ".journal/journal"):
        assert (tmp_path / f"merged.json{name}").read_bytes() == (tmp_path / f"single.json{name}").read_bytes(), name
    found = json.loads((tmp_path / "merged.json").read_text())
    assert len(found["images"]) == IMAGES - 1 and all(one["segmentation"]["counts"] for one in found["annotations"])


@pytest.fixture
def shard(detector_address, tmp_path):
    """Does a shard of images.manifest into the folder "results"."""
    for number in range(12):
        (tmp_path / "images").mkdir(exist_ok=True)
        shutil.copy(SCENES[number % len(SCENES)], tmp_path / f"images/{number:02}.jpg")
    duet(tmp_path, "prelabel", "images", "--manifest=images.manifest")
    return lambda which, *flags, expect=0, **variables: duet(
        tmp_path, "prelabel", "images.manifest", f"--shard={which}", "--out=results", f"--detector={detector_address}", *flags,
        expect=expect, **variables)


def test_a_folder_of_results_becomes_every_format(shard, detector_address, tmp_path):
    for number in range(3):
        shard("job/3", JOB_COMPLETION_INDEX=str(number))
    for form in ("coco", "yolo", "voc"):
        duet(tmp_path, "prelabel", "images", f"--out=single-{form}", f"--format={form}", f"--detector={detector_address}")
        duet(tmp_path, "merge", "results", f"--out=merged-{form}", f"--format={form}")
        single, merged = tmp_path / f"single-{form}", tmp_path / f"merged-{form}"
        files = sorted(path.relative_to(single) for path in single.rglob("*")) if single.is_dir() else [""]
        assert files == (sorted(path.relative_to(merged) for path in merged.rglob("*")) if merged.is_dir() else [""])
        for name in files:
            if (single / name).is_file():
                assert (single / name).read_bytes() == (merged / name).read_bytes(), name


def test_a_shard_that_is_done_is_done(shard, tmp_path):
    assert "results/00001-of-00003.shard: 4 images" in shard("1/3")
    before = (tmp_path / "results/00001-of-00003.shard").stat().st_mtime_ns
    # Whoever comes again, with nothing but the result, asks no service.
    said = shard("1/3", "--detector=127.0.0.1:9", "--patience_s=0")
    assert "4 were done before" in said
    assert (tmp_path / "results/00001-of-00003.shard").stat().st_mtime_ns == before
    assert "score_threshold was 0.5 and is now 0.3" in shard("1/3", "--score_threshold=0.3", expect=2)
    assert "was made without masks" in shard("1/3", "--masks=rle", expect=2)


def test_images_that_failed_are_results_of_a_shard_and_said_by_the_merge(shard, detector_address, tmp_path):
    (tmp_path / "images/00.jpg").write_bytes(b"no image")
    shard("0/1")
    assert "1 of 12 images failed" in duet(tmp_path, "merge", "results", "--out=merged.json", expect=1)
    assert '"image":"00.jpg"' in (tmp_path / "merged.json.failures.jsonl").read_text()
    duet(tmp_path, "merge", "results", "--out=merged.json", "--accept_failures")
    # The merge is a run over the manifest, and goes on as one.
    shutil.copy(SCENES[0], tmp_path / "images/00.jpg")
    assert "without --shard" in shard("0/1", "--retry_failed", expect=2)
    duet(tmp_path, "prelabel", "images.manifest", "--out=merged.json", "--retry_failed", f"--detector={detector_address}")
    assert len(json.loads((tmp_path / "merged.json").read_text())["images"]) == 12


def test_what_is_wrong_with_shards_is_one_sentence(shard, store, tmp_path):
    assert "--shard=3/3: needed: I/N" in shard("3/3", expect=2)
    assert "JOB_COMPLETION_INDEX isn't set" in shard("job/3", expect=2)
    assert "is no manifest; needed: one alone, as --manifest" in duet(
        tmp_path, "prelabel", "images", "--shard=0/3", "--out=results", expect=2)
    assert "a name that ends in .manifest" in duet(tmp_path, "prelabel", "images", "--manifest=images.txt", expect=2)
    assert "images.manifest: needed: a manifest alone" in duet(
        tmp_path, "prelabel", "images", "images.manifest", "--out=mixed.json", expect=2)
    assert "duet merge brings all of them into a project" in shard("0/3", "--out=label-studio:7", expect=2)
    shard("0/3")
    assert "lacks 2 of 3 shards: 00001-of-00003.shard, 00002-of-00003.shard" in duet(
        tmp_path, "merge", "results", "--out=merged.json", expect=2)
    assert "there is no such bucket" in shard("1/3", "--out=s3://nowhere/results", expect=2)
    (tmp_path / "cut.manifest").write_bytes((tmp_path / "images.manifest").read_bytes()[:20])
    assert "cut.manifest: its last line isn't that of a manifest" in duet(
        tmp_path, "prelabel", "cut.manifest", "--shard=0/3", "--out=results", expect=2)
    # Another time it may be there: worth a retry of the job.
    store.stop()
    assert "pictures/results" in shard("1/3", "--out=s3://pictures/results", "--patience_s=0", expect=1)
    store.start()
    assert not list(tmp_path.glob("merged.json*"))


def test_what_is_put_is_signed_with_its_content(shard, store, tmp_path):
    """As botocore computes it for the request that arrives."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    arrived = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.command == "PUT":
                arrived.append((self.path, dict(self.headers), body))
            content = b"" if self.command == "PUT" else b"<Error><Code>NoSuchKey</Code></Error>"
            self.send_response(200 if self.command == "PUT" else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        shard("0/1", "--out=s3://pictures/a b", AWS_ENDPOINT_URL=url, AWS_ACCESS_KEY_ID="me", AWS_SECRET_ACCESS_KEY="secret")
    finally:
        server.shutdown()
        server.server_close()
    ((path, headers, body),) = arrived
    assert path == "/pictures/a%20b/00000-of-00001.shard"
    headers = {name.lower(): value for name, value in headers.items()}
    signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert {"host", "x-amz-content-sha256", "x-amz-date"} <= set(signed)
    request = botocore.awsrequest.AWSRequest("PUT", url + path, data=body,
                                             headers={name: headers[name] for name in signed if name != "host"})
    request.context["timestamp"] = headers["x-amz-date"]
    auth = botocore.auth.S3SigV4Auth(botocore.credentials.Credentials("me", "secret"), "s3", "us-east-1")
    assert auth.payload(request) == headers["x-amz-content-sha256"]  # it is computed of the bytes
    scope = auth.string_to_sign(request, auth.canonical_request(request))
    assert headers["authorization"].endswith(f"Signature={auth.signature(scope, request)}")
