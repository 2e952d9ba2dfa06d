"""Mutual TLS between the gateway and the services: the Kubernetes component, and real processes with such files."""

import re

import pytest
import requests
import yaml

from conftest import BINARIES, ROOT, render_with, run
from processes import CHECKPOINT, trio
from service import PATIENCE_S, wait_until

CERTIFICATES = re.search(r"```sh\n(openssl req.*?)```", (ROOT / "docs/grpc.md").read_text(), re.DOTALL).group(1)


def make_certificates(folder):
    made = run("bash", "-c", CERTIFICATES, cwd=folder)
    assert made.returncode == 0, made.stdout + made.stderr


@pytest.fixture
def with_tls(tmp_path_factory):
    """The Deployments of the base with the component, by name."""
    return {document["metadata"]["name"]: document
            for document in yaml.safe_load_all(render_with(tmp_path_factory, "tls")) if document["kind"] == "Deployment"}


@pytest.mark.parametrize("name", BINARIES)
def test_the_component_gives_each_process_files_by_flags_that_it_has(with_tls, help_of, name):
    pod = with_tls[name]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    variables = {entry["name"]: entry["value"] for entry in container["env"] if "/tls/" in entry.get("value", "")}

    assert sorted(variables.values()) == ["/tls/ca.crt", "/tls/tls.crt", "/tls/tls.key"]
    assert all(f"env: {variable})" in help_of(name) for variable in variables)
    assert {"name": "tls", "mountPath": "/tls", "readOnly": True} in container["volumeMounts"]
    assert [volume["secret"]["defaultMode"] for volume in pod["volumes"] if volume["name"] == "tls"] == [0o440]


@pytest.mark.parametrize("name", BINARIES[:2])
def test_probes_of_services_with_tls_are_http_at_the_metrics_port(with_tls, name):
    container = with_tls[name]["spec"]["template"]["spec"]["containers"][0]

    for probe, path in (("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}
        assert "grpc" not in container[probe] and "periodSeconds" in container[probe]


def test_three_processes_with_mutual_tls_answer_and_renew(tmp_path):
    make_certificates(tmp_path)
    service = [f"--tls_certificate={tmp_path}/tls.crt", f"--tls_key={tmp_path}/tls.key", f"--tls_client_ca={tmp_path}/ca.crt"]
    gateway = [f"--backend_ca={tmp_path}/ca.crt", f"--backend_certificate={tmp_path}/tls.crt",
               f"--backend_key={tmp_path}/tls.key"]
    with trio(detector_flags=service, segmenter_flags=service, gateway_flags=gateway) as duet:
        assert duet.work() == 5
        probes = f"http://127.0.0.1:{duet.detector.metrics_port}"
        assert requests.get(f"{probes}/livez", timeout=5).ok and requests.get(f"{probes}/readyz", timeout=5).ok

        make_certificates(tmp_path)  # another authority, at once
        for process in (duet.detector, duet.segmenter):
            while '"tls.loaded"' not in process.lines.get(timeout=PATIENCE_S):
                pass
        assert requests.get(f"{duet.url}/readyz", timeout=5).ok
        assert duet.work() == 5


def test_a_gateway_without_tls_says_so(tmp_path):
    make_certificates(tmp_path)
    service = [f"--tls_certificate={tmp_path}/tls.crt", f"--tls_key={tmp_path}/tls.key"]
    with trio() as duet:
        detector = duet._start("duet-detector", f"--checkpoint={CHECKPOINT['duet-detector']}", *service)
        detector.ready()
        gateway = duet._start("duet-gateway", f"--detector=127.0.0.1:{detector.port}", "--segmenter=")
        gateway.ready()

        def answer():
            return requests.get(f"http://127.0.0.1:{gateway.port}/readyz", timeout=5)

        wait_until(lambda: "set --backend_ca" in answer().text)
        assert answer().status_code == 503


def test_prelabel_calls_services_by_tls(tmp_path):
    make_certificates(tmp_path)
    service = [f"--tls_certificate={tmp_path}/tls.crt", f"--tls_key={tmp_path}/tls.key", f"--tls_client_ca={tmp_path}/ca.crt"]
    tls = [f"--backend_ca={tmp_path}/ca.crt", f"--backend_certificate={tmp_path}/tls.crt", f"--backend_key={tmp_path}/tls.key"]
    with trio(detector_flags=service, segmenter_flags=service, gateway_flags=tls) as duet:
        command = [ROOT / "build/release/bin/duet", "prelabel", ROOT / "tests/data/scenes/coco.json",
                   f"--detector=127.0.0.1:{duet.detector.port}"]
        done = run(*command, *tls, f"--out={tmp_path}/found.json")
        assert done.returncode == 0, done.stderr
        # One of its own beside it speaks plaintext.
        both = run(*command, *tls, f"--out={tmp_path}/masks.json", "--masks=rle",
                   f"--segmenter_checkpoint={CHECKPOINT['duet-segmenter']}")
        assert both.returncode == 0, both.stderr
        lacks = run(*command, tls[1], f"--out={tmp_path}/other.json")
        assert lacks.returncode == 2 and "need --backend_ca" in lacks.stderr
