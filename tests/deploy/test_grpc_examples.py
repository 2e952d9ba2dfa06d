"""docs/grpc.md: every command in it, run by the real grpcurl against the real services."""

import functools
import hashlib
import json
import os
import re
import shutil

import pytest

from conftest import ROOT, run, tool
from processes import CHECKPOINT, trio
from service import PATIENCE_S, Service

PAGE = (ROOT / "docs/grpc.md").read_text()
# Makes the files of the TLS examples.
CERTIFICATES = re.search(r"```sh\n(openssl req.*?)```", PAGE, re.DOTALL).group(1)
# (command, what it must print)
EXAMPLES = re.findall(r"```sh\n(.*?)```\n(?:```text\n(.*?)```)?", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def duet(tmp_path_factory):
    root = tmp_path_factory.mktemp("model_root")
    stored_version(root / "detector/project-7", 2)
    with trio(detector_flags=[f"--model_root={root}"]) as duet:
        yield duet


def stored_version(folder, version):
    """A version below a model root, as docs/formats.md has it, which serves."""
    weights = CHECKPOINT["duet-detector"].read_bytes()
    (folder / f"{version}").mkdir(parents=True)
    (folder / f"{version}/model.pth").write_bytes(weights)
    file = {"name": "model.pth", "bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}
    manifest = {"format": 1, "kind": "detector", "name": folder.name, "version": version, "files": [file]}
    (folder / f"{version}/manifest.json").write_text(json.dumps(manifest))
    (folder / "serving.json").write_text(json.dumps({"version": version}))


@pytest.fixture(scope="module")
def shell(duet, tmp_path_factory):
    """Runs a command of the page in a folder with an image and a log, its default ports replaced by real ones."""
    folder = tmp_path_factory.mktemp("grpc")
    shutil.copy(ROOT / "tests/data/scenes/scene_0.jpg", folder / "picture.jpg")
    log = folder / ".duet/logs/duet-segmenter.log"
    log.parent.mkdir(parents=True)
    environment = {**os.environ, "PATH": f"{tool('grpcurl').parent}:{os.environ['PATH']}"}

    @functools.cache
    def detector_with_tls():
        if not (folder / "tls.crt").exists():
            run("bash", "-c", CERTIFICATES, cwd=folder)
        service = Service("duet-detector", "--port=0", "--metrics_port=0", "--threads=1",
                          f"--checkpoint={CHECKPOINT['duet-detector']}", f"--tls_certificate={folder}/tls.crt",
                          f"--tls_key={folder}/tls.key", f"--tls_client_ca={folder}/ca.crt")
        duet.stack.callback(service.kill)
        service.ready()
        return service

    @functools.cache
    def trainer():
        """Without a Label Studio: its jobs fail, which is told as well."""
        (folder / "models").mkdir()
        service = Service("duet-trainer", "--port=0", "--metrics_port=0", f"--work_dir={folder}/work",
                          f"--model_root={folder}/models", f"--checkpoint={CHECKPOINT['duet-detector']}",
                          "--label_studio_url=http://127.0.0.1:9", "--retry_s=0")
        duet.stack.callback(service.kill)
        service.ready()
        return service

    def execute(command):
        detector = detector_with_tls() if "grpcurl -cacert" in command else duet.detector
        services = [("50051", detector), ("50052", duet.segmenter)]
        if "50053" in command:
            services.append(("50053", trainer()))
        for port, service in services:
            command = command.replace(f"localhost:{port}", f"127.0.0.1:{service.port}")
        call, look, rest = command.partition("grep ")
        result = run("bash", "-c", call, env=environment, cwd=folder)
        if look:  # ./duet up keeps the log in a file; here it is a pipe
            (request_id, _) = rest.split()
            while request_id not in (line := duet.segmenter.lines.get(timeout=PATIENCE_S)):
                pass
            log.write_text(line)
            result = run("bash", "-c", look + rest, cwd=folder)
        return result

    return execute


def found(expected, printed):
    """Whether a line of the page is in the output; "…" there stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.rstrip().split("…"))
    return any(re.search(pattern, line) for line in printed.splitlines())


def test_the_page_has_examples_and_they_come_with_results():
    assert len(EXAMPLES) > 10
    assert all(expected for _, expected in EXAMPLES)
    assert PAGE.count("```sh") == len(EXAMPLES)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_prints_what_the_page_says(shell, duet, number):
    command, expected = EXAMPLES[number]

    result = shell(command)

    printed = result.stdout + result.stderr
    for line in expected.splitlines():
        assert found(line, printed), f"{command}\nprinted\n{printed}\nwithout\n{line}"
    # A command of the page fails only where the page is about that.
    assert (result.returncode == 0) == ("Code:" not in expected or "exit code" in expected), printed
