"""Kubernetes manifests: valid by the API's schemas, locked down, and in step with the binaries."""

import re
import subprocess
import sys

import pytest

from conftest import BINARIES, render

KUBERNETES_VERSIONS = ["1.28", "1.33"]


def pods(manifests):
    return {each["metadata"]["name"]: each["spec"]["template"]["spec"]
            for each in manifests if each["kind"] == "Deployment"}


def containers(pod):
    return pod["containers"] + pod.get("initContainers", [])


def main_of(pod):
    (container,) = pod["containers"]
    return container


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_every_manifest_is_valid(overlay, version, tmp_path):
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(render(overlay))

    result = subprocess.run([sys.executable, "-m", "kubernetes_validate", "-k", version, "--strict", rendered],
                            capture_output=True, text=True)

    assert result.returncode == 0, result.stdout + result.stderr


def test_pods_satisfy_the_restricted_security_standard(manifests):
    for name, pod in pods(manifests).items():
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in containers(pod):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name


def test_every_container_says_what_it_needs(manifests):
    for name, pod in pods(manifests).items():
        for container in containers(pod):
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert "memory" in container["resources"]["limits"], name


def test_probes_use_the_health_names_of_the_services(manifests):
    for name in ("duet-detector", "duet-segmenter"):
        container = main_of(pods(manifests)[name])
        (port,) = [each["containerPort"] for each in container["ports"] if each["name"] == "grpc"]
        assert container["livenessProbe"]["grpc"] == {"port": port, "service": "liveness"}
        assert container["readinessProbe"]["grpc"] == {"port": port, "service": "readiness"}
    gateway = main_of(pods(manifests)["duet-gateway"])
    assert gateway["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert gateway["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_pods_outlive_their_drain(manifests):
    for name, pod in pods(manifests).items():
        flags = dict(arg[2:].split("=", 1) for arg in main_of(pod)["args"])
        drain_s = int(flags.get("drain_grace_ms", 0)) / 1000 + int(flags.get("drain_timeout_s", 30))
        assert pod["terminationGracePeriodSeconds"] > drain_s, name


@pytest.mark.parametrize("name", BINARIES)
def test_flags_exist_and_ports_are_the_binarys_defaults(name, help_of, manifests):
    container = main_of(pods(manifests)[name])
    text = help_of(name)
    for argument in container["args"]:
        flag = argument.split("=", 1)[0]
        assert re.search(rf"{flag}\b", text), f"{name} has no {flag}"
    for variable in container.get("env", []):
        assert variable["name"] in text, f"{name} does not read {variable['name']}"
    defaults = {port for port in re.findall(r"\b\d{4,5}\b", text)}
    for port in container["ports"]:
        assert str(port["containerPort"]) in defaults, f"{name} does not listen on {port} by default"


def test_services_are_headless_where_the_gateway_balances(manifests):
    services = {each["metadata"]["name"]: each["spec"] for each in manifests if each["kind"] == "Service"}
    assert services["duet-detector"]["clusterIP"] == services["duet-segmenter"]["clusterIP"] == "None"
    gateway_args = main_of(pods(manifests)["duet-gateway"])["args"]
    for name in ("detector", "segmenter"):
        assert f"--{name}=duet-{name}:{services[f'duet-{name}']['ports'][0]['port']}" in gateway_args


def test_replicas_are_not_set_where_an_autoscaler_sets_them(manifests):
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in manifests
              if each["kind"] == "HorizontalPodAutoscaler"}
    for each in manifests:
        if each["kind"] == "Deployment" and each["metadata"]["name"] in scaled:
            assert "replicas" not in each["spec"], each["metadata"]["name"]
