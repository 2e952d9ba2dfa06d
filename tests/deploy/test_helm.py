"""The Helm chart: not stale, and rendered the same objects as kustomize makes of deploy/k8s."""

import contextlib
import functools
import re
import shutil
import sys

import pytest
import yaml

from conftest import DEPLOY, ROOT, render, run, tool

sys.path.append(str(ROOT / "tools"))
import make_helm_chart  # noqa: E402

CHART = DEPLOY / "helm/duet"
NEEDS = {name: needs for name, _, needs in make_helm_chart.COMPONENTS}
OVERLAYS = {"local": ["local"], "cpu": ["cpu"], "gpu": ["cpu", "gpu"]}  # and the values files for the same
# What kustomize writes as the end of generated names.
HASH = re.compile(r"\b(duet-[a-z-]+)-[0-9a-z]{10}$", re.MULTILINE)

KEPT = {("PersistentVolumeClaim", "duet-models")}  # what can't be made again from Label Studio's database without hours


def helm(*arguments):
    return run(tool("helm"), *arguments, "--kube-version=1.33")


def template(*arguments):
    printed = helm("template", "duet", CHART, "--namespace=duet", *arguments)
    assert printed.returncode == 0, printed.stderr
    return printed.stdout


def canonical(value):
    """Without the order of flags, and of lists whose items have names."""
    if isinstance(value, dict):
        return {key: canonical(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        value = [canonical(each) for each in value]
        if value and all(str(each).startswith("--") for each in value):
            return sorted(value)
        for key in ("mountPath", "name"):
            if value and all(isinstance(each, dict) and key in each for each in value):
                return sorted(value, key=lambda each: each[key])
    return value


def objects(text):
    found = {}
    for each in yaml.safe_load_all(text):
        if each and each["kind"] != "Namespace":  # Helm puts a release into one
            key = each["kind"], each["metadata"]["name"]
            assert key not in found, f"{key} twice"
            found[key] = canonical(each)
    return found


def of_kustomize(text):
    return objects(HASH.sub(r"\1", text))


def of_helm(text):
    found = objects(text)
    for each in found.values():
        # What kustomize does by a new name, the chart does by an annotation.
        metadata = each["spec"]["template"]["metadata"] if each["kind"] == "Deployment" else {}
        with contextlib.suppress(KeyError):
            assert metadata.pop("annotations").keys() == {"checksum/configuration"}
    # kubectl deletes what it is told to; Helm all that a release no longer has.
    for key in KEPT & found.keys():
        assert found[key]["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    return found


def assert_same(helms, kustomizes):
    assert helms.keys() == kustomizes.keys()
    for key, each in kustomizes.items():
        assert helms[key] == each, key


@functools.cache
def with_components(*names):
    """Both renderings: kustomize's objects, and Helm's text."""
    objects = {key: canonical(each) for key, each in make_helm_chart.render(names).items()}
    return objects, template(*(f"--set=components.{name}=true" for name in names))


def test_the_chart_is_not_stale():
    checked = run(sys.executable, ROOT / "tools/make_helm_chart.py", "--check")

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_stale_chart_is_noticed(tmp_path):
    """By a copy in which somebody has changed the base only, and one in which somebody has changed a template."""
    for file in ("CMakeLists.txt", "tools/make_helm_chart.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    base = tmp_path / "deploy/k8s/base/gateway.yaml"
    base.write_text(base.read_text().replace("minReadySeconds: 5", "minReadySeconds: 6"))
    changed = tmp_path / "deploy/helm/duet/templates/duet-detector.yaml"
    changed.write_text(changed.read_text() + "# and more\n")

    checked = run(sys.executable, tmp_path / "tools/make_helm_chart.py", "--check")

    assert checked.returncode == 1
    for name in ("gateway", "detector"):
        assert f"deploy/helm/duet/templates/duet-{name}.yaml is stale: run tools/make_helm_chart.py" in checked.stdout


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_values_for_an_overlay_make_its_objects(overlay):
    values = [f"--values={DEPLOY}/helm/{name}.yaml" for name in OVERLAYS[overlay]]

    assert_same(of_helm(template(*values)), of_kustomize(render(overlay)))


def test_by_default_the_chart_is_the_base():
    rendered, text = with_components()

    assert_same(of_helm(text), rendered)


@pytest.mark.parametrize("name", NEEDS)
def test_a_component_alone_makes_the_same_objects(name):
    rendered, text = with_components(*NEEDS[name], name)

    assert_same(of_helm(text), rendered)
    assert text != with_components(*NEEDS[name])[1]


@pytest.mark.parametrize("without", [None, *NEEDS])
def test_nearly_all_components_together_make_the_same_objects(without):
    names = [name for name in NEEDS if name != without and without not in NEEDS[name]]
    rendered, text = with_components(*names)

    assert_same(of_helm(text), rendered)


def test_every_component_is_in_the_chart_or_is_for_bulk_runs():
    folders = {path.name for path in (DEPLOY / "k8s/components").iterdir()}
    assert folders - {"bulk", "bulk-masks"} == {folder for _, folder, _ in make_helm_chart.COMPONENTS}


def test_variables_stand_before_those_that_use_them():
    """Kubernetes puts in only what stands before."""
    _, text = with_components(*NEEDS)
    for each in yaml.safe_load_all(text):
        for container in each["spec"]["template"]["spec"]["containers"] if each["kind"] == "Deployment" else []:
            known = set()
            for variable in container.get("env", []):
                assert set(re.findall(r"\$\((\w+)\)", variable.get("value", ""))) <= known
                known.add(variable["name"])


def test_lint_finds_nothing():
    for name in OVERLAYS:
        linted = helm("lint", "--strict", CHART, *(f"--values={DEPLOY}/helm/{each}.yaml" for each in OVERLAYS[name]))
        assert linted.returncode == 0, linted.stdout
        assert "[ERROR]" not in linted.stdout and "[WARNING]" not in linted.stdout


def test_what_people_set_is_where_it_belongs(tmp_path):
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({
        "image": {"registry": "registry.example.com/labelling/", "pullSecrets": [{"name": "pull"}]},
        "components": {"labelStudio": True, "redis": True, "trainer": True, "availability": True, "monitoring": True, "gpu": True,
                       "gatewayApi": True},
        "detector": {"image": {"repository": "mine", "tag": "7"}, "args": ["--log_level=debug"],
                     "env": [{"name": "DUET_MAX_IMAGE_MB", "value": "9"}],
                     "resources": {"requests": {"cpu": 3}}, "nodeSelector": {"disk": "ssd"},
                     "tolerations": [{"key": "mine", "operator": "Exists"}],
                     "autoscaling": {"maxReplicas": 3}, "model": {"url": "https://example.com/m.pth", "sha256": "ab12"}},
        "fetchModel": {"image": {"repository": "fetch", "tag": "8"}},
        "labelStudio": {"secret": "studio"}, "redis": {"secret": "cache"},
        "trainer": {"models": {"size": "7Gi", "storageClass": "nfs"}},
        "monitoring": {"labels": {"release": "prometheus"}},
        "gatewayApi": {"className": "cilium", "host": "duet.lab", "certificateSecret": "cert"}}))
    text = template(f"--values={tmp_path}/values.yaml")
    found = objects(text)

    pod = found["Deployment", "duet-detector"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "registry.example.com/labelling/mine:7"
    assert pod["initContainers"][0]["image"] == "registry.example.com/labelling/fetch:8"
    assert container["args"][-1] == "--log_level=debug" and "--checkpoint=/models/model.pth" in container["args"]
    assert {"name": "DUET_MAX_IMAGE_MB", "value": "9"} in container["env"]
    assert container["resources"]["requests"] == {"cpu": 3, "memory": "8Gi", "ephemeral-storage": "64Mi"}
    assert pod["nodeSelector"] == {"disk": "ssd"} and len(pod["tolerations"]) == 2
    version = make_helm_chart.version()
    segmenter = found["Deployment", "duet-segmenter"]["spec"]["template"]["spec"]["containers"][0]
    assert segmenter["image"] == f"registry.example.com/labelling/duet-segmenter:{version}-cuda"
    assert found["ConfigMap", "duet-detector-model"]["data"] == {"MODEL_URL": "https://example.com/m.pth", "MODEL_SHA256": "ab12"}
    assert found["HorizontalPodAutoscaler", "duet-detector"]["spec"]["maxReplicas"] == 3
    assert found["ServiceAccount", "duet"]["imagePullSecrets"] == [{"name": "pull"}]
    claim = found["PersistentVolumeClaim", "duet-models"]["spec"]
    assert claim["storageClassName"] == "nfs" and claim["resources"]["requests"]["storage"] == "7Gi"
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert found[kind, "duet"]["metadata"]["labels"]["release"] == "prometheus"
    assert found["Gateway", "duet"]["spec"]["gatewayClassName"] == "cilium"
    assert found["HTTPRoute", "duet-gateway"]["spec"]["hostnames"] == ["duet.lab"]
    assert set(re.findall(r"secretKeyRef:\n +key: .*\n +name: (\S+)", text)) == {"studio", "cache"}
    for name in ("duet-label-studio", "duet-gateway-tls", "duet.example.com"):
        assert name not in text


def test_another_model_rolls_the_pods():
    def annotation(*arguments):
        return {name: each["spec"]["template"]["metadata"].get("annotations") for (kind, name), each
                in objects(template(*arguments)).items() if kind == "Deployment"}

    before, after = annotation(), annotation("--set=detector.model.sha256=ab")

    assert [name for name in before if before[name] != after[name]] == ["duet-detector"]


def test_a_collector_elsewhere_is_reached(tmp_path):
    found = objects(template("--set=components.traces=true,traces.endpoint=https://tempo.watch:4319,traces.namespace=watch,traces.port=4319"))

    assert found["ConfigMap", "duet-traces"]["data"]["DUET_OTLP_ENDPOINT"] == "https://tempo.watch:4319"
    (collector, _) = found["NetworkPolicy", "duet-to-collector"]["spec"]["egress"]
    assert collector["ports"] == [{"port": 4319, "protocol": "TCP"}]
    assert collector["to"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "watch"}}}]


@pytest.mark.parametrize("wrong, said", [
    ("components.trianer=true", "trianer"),
    ("detector.replicas=two", "detector.replicas"),
    ("detector.model.sha256=XYZ", "detector.model.sha256"),
    ("segmenter.resources.limits.memory=lots", "segmenter.resources.limits.memory"),
    ("gateway.service.type=Ingress", "gateway.service.type"),
    ("gateway.args={log_level}", "gateway.args.0"),
    ("components.trainer=true", "components.trainer is on, but components.labelStudio is off: "),
    ("traces.sample=2", "traces.sample"),
    ("image.tag=sha256:0123", "image.tag"),
    ("detector.image.tag=@sha256:0123", "detector.image.tag"),
    ("components.queueTime=true", "components.queueTime is on, but components.availability is off: "),
    ("components.availability=true,gateway.replicas=3", "gateway.replicas is 3, but components.availability is on"),
    ("detector.autoscaling.minReplicas=9", "detector.autoscaling.minReplicas is 9, more than its maxReplicas, 8"),
    ("gateway.service.nodePort=30803", "gateway.service.nodePort is 30803, but gateway.service.type is ClusterIP: "),
])
def test_values_that_cannot_be_are_refused_by_name(wrong, said):
    refused = helm("template", "duet", CHART, f"--set={wrong}")

    assert refused.returncode != 0
    assert said in refused.stderr
    assert len(refused.stderr.strip().splitlines()) <= 4  # Helm's own heading of two lines, and the sentence
