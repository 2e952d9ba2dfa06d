"""The Kubernetes component of the trainer: valid, locked down, and in step with the binary."""

import os
import re
import sys

import pytest
import requests
import yaml

from conftest import ROOT, render_with, run
from processes import CHECKPOINT
from service import Service
from test_images import TRAINING_SAVES_S
from test_manifests import KUBERNETES_VERSIONS, containers, flags_of, main_of, of_kind, pods, selects


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    return render_with(tmp_path_factory, "label-studio", "trainer")


@pytest.fixture
def manifests(rendered):
    return list(yaml.safe_load_all(rendered))


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_it_is_valid(rendered, version, tmp_path):
    (tmp_path / "rendered.yaml").write_text(rendered)

    result = run(sys.executable, "-m", "kubernetes_validate", "-k", version, "--strict", tmp_path / "rendered.yaml")

    assert result.returncode == 0, result.stdout + result.stderr


def test_its_flags_and_variables_exist_and_its_ports_are_the_defaults(manifests, help_of, default_of):
    container = main_of(pods(manifests)["duet-trainer"])
    for flag in flags_of(container):
        assert f"--{flag}=VALUE" in help_of("duet-trainer")
    for variable in container["env"]:
        assert f"env: {variable['name']})" in help_of("duet-trainer")
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert ports == {"grpc": default_of("duet-trainer", "port"), "metrics": default_of("duet-trainer", "metrics_port")}


def test_it_is_locked_down_like_the_others(manifests):
    pod = pods(manifests)["duet-trainer"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["automountServiceAccountToken"] is False
    for container in containers(pod):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False and security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


def test_a_training_has_time_to_save_its_state(manifests, default_of):
    pod = pods(manifests)["duet-trainer"]
    drain_s = int(flags_of(main_of(pod))["drain_grace_ms"]) / 1000 + int(default_of("duet-trainer", "drain_timeout_s"))
    assert pod["terminationGracePeriodSeconds"] > drain_s + TRAINING_SAVES_S
    assert of_kind(manifests, "Deployment")["duet-trainer"]["spec"]["strategy"] == {"type": "Recreate"}


def test_the_services_only_read_what_it_writes(manifests, help_of):
    for name in ("duet-detector", "duet-segmenter"):
        pod = pods(manifests)[name]
        (mount,) = [each for each in main_of(pod)["volumeMounts"] if each["name"] == "trained"]
        (volume,) = [each for each in pod["volumes"] if each["name"] == "trained"]
        assert mount["readOnly"] and volume["persistentVolumeClaim"] == {"claimName": "duet-models", "readOnly": True}
        (root,) = [each["value"] for each in main_of(pod)["env"] if each["name"] == "DUET_MODEL_ROOT"]
        assert root == mount["mountPath"] and "env: DUET_MODEL_ROOT)" in help_of(name)
    mounts = {each["name"]: each for each in main_of(pods(manifests)["duet-trainer"])["volumeMounts"]}
    assert mounts["trained"]["mountPath"] == flags_of(main_of(pods(manifests)["duet-trainer"]))["model_root"]
    assert mounts["work"]["mountPath"] == flags_of(main_of(pods(manifests)["duet-trainer"]))["work_dir"]
    assert not mounts["trained"].get("readOnly") and not mounts["work"].get("readOnly")
    claims = of_kind(manifests, "PersistentVolumeClaim")
    assert claims["duet-models"]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_gateway_calls_it_and_says_what_serves(manifests, help_of):
    pod = pods(manifests)["duet-gateway"]
    variables = {each["name"]: each.get("value") for each in main_of(pod)["env"]}
    (port,) = [each["port"] for each in of_kind(manifests, "Service")["duet-trainer"]["spec"]["ports"]
               if each["name"] == "grpc"]
    assert variables["DUET_TRAINER"] == f"duet-trainer:{port}" and variables["DUET_MODEL_ROOT"] == "/trained"
    assert all(f"env: {name})" in help_of("duet-gateway") for name in variables)
    (mount,) = [each for each in main_of(pod)["volumeMounts"] if each["name"] == "trained"]
    assert mount["mountPath"] == "/trained" and not mount.get("readOnly")


def test_with_tls_it_has_files_too(tmp_path_factory):
    manifests = list(yaml.safe_load_all(render_with(tmp_path_factory, "label-studio", "trainer", "tls")))
    container = main_of(pods(manifests)["duet-trainer"])
    assert {"DUET_TLS_CERTIFICATE", "DUET_TLS_KEY", "DUET_TLS_CLIENT_CA"} <= {each["name"] for each in container["env"]}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert "grpc" not in container["readinessProbe"]


def test_only_the_gateway_reaches_it(manifests):
    labels = of_kind(manifests, "Deployment")["duet-trainer"]["spec"]["template"]["metadata"]["labels"]
    policies = of_kind(manifests, "NetworkPolicy").values()
    rules = [rule for each in policies if selects(each["spec"]["podSelector"], labels)
             for rule in each["spec"].get("ingress", [])]
    by_port = {port["port"]: rule["from"] for rule in rules for port in rule["ports"]}
    assert by_port.keys() == {"grpc", "metrics"}
    assert by_port["grpc"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "duet-gateway"}}}]
    assert any(selects(each["spec"]["podSelector"], labels) and "ingress" not in each["spec"] for each in policies)


def test_it_begins_from_the_models_of_the_services(manifests):
    pod = pods(manifests)["duet-trainer"]
    flags = flags_of(main_of(pod))
    for fetched, service, flag in zip(pod["initContainers"], ("duet-detector", "duet-segmenter"),
                                      ("checkpoint", "segmenter_checkpoint"), strict=True):
        (of_service,) = pods(manifests)[service]["initContainers"]
        assert fetched["envFrom"] == of_service["envFrom"]
        assert fetched["args"][1] == flags[flag]


def test_its_metrics_have_the_agreed_names(tmp_path):
    """As tests/contract/goldens/duet-trainer.metrics.txt says; DUET_UPDATE_GOLDENS=1 writes that instead."""
    (tmp_path / "models").mkdir()
    trainer = Service("duet-trainer", "--port=0", "--metrics_port=0", f"--work_dir={tmp_path}/work",
                      f"--model_root={tmp_path}/models", f"--checkpoint={CHECKPOINT['duet-detector']}",
                      "--label_studio_url=http://127.0.0.1:9")
    try:
        trainer.ready()
        text = requests.get(f"http://127.0.0.1:{trainer.metrics_port}/metrics", timeout=10).text
    finally:
        trainer.kill()
    names = sorted(f"{name} {kind}" for name, kind in re.findall(r"^# TYPE (duet_trainer\S+) (\S+)$", text, re.M))
    golden = ROOT / "tests/contract/goldens/duet-trainer.metrics.txt"
    if os.environ.get("DUET_UPDATE_GOLDENS"):
        golden.write_text("\n".join(names) + "\n")
    assert names == golden.read_text().splitlines()
