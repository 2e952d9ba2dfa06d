"""Components that no overlay has: models that go to zero, and weights that are once on a node."""

import functools
import os
import signal
import subprocess
import sys
import threading

import jsonschema
import pytest
import yaml

from conftest import DEPLOY, ROOT, render_with, run
from test_bad_input import SHA256, WEIGHTS
from test_manifests import KUBERNETES_VERSIONS, MODELS, close, containers, flags_of, main_of, of_kind, pods


def rendered(tmp_path_factory, *components):
    return list(yaml.safe_load_all(render_with(tmp_path_factory, *components)))


@functools.cache
def scaled_object_schema():
    """The CRD's own, and strict."""
    file = ROOT / ".duet/tools/modules/keda/config/crd/bases/keda.sh_scaledobjects.yaml"
    assert file.exists(), f"{file} is missing: run ./duet test --only=deploy"
    (version,) = yaml.safe_load(file.read_text())["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    close(schema)
    return schema


class TestKeda:
    @pytest.fixture(scope="class")
    def manifests(self, tmp_path_factory):
        return rendered(tmp_path_factory, "availability", "queue-time", "keda")

    def test_its_objects_are_valid_by_their_crd(self, manifests):
        objects = of_kind(manifests, "ScaledObject")
        assert objects.keys() == set(MODELS)
        for each in objects.values():
            assert not list(jsonschema.Draft7Validator(scaled_object_schema()).iter_errors(each))

    def test_a_misspelt_field_is_noticed(self, manifests):
        each = of_kind(manifests, "ScaledObject")["duet-detector"]
        wrong = {**each, "spec": {**each["spec"], "minReplicas": 0}}

        (error,) = jsonschema.Draft7Validator(scaled_object_schema()).iter_errors(wrong)

        assert "minReplicas" in error.message

    def test_a_deployment_has_one_autoscaler(self, manifests):
        scaled = [each["spec"]["scaleTargetRef"]["name"] for kind in ("ScaledObject", "HorizontalPodAutoscaler")
                  for each in of_kind(manifests, kind).values()]
        assert sorted(scaled) == ["duet-detector", "duet-gateway", "duet-segmenter"]
        assert of_kind(manifests, "HorizontalPodAutoscaler").keys() == {"duet-gateway"}

    def test_it_needs_no_other_component(self, tmp_path_factory):
        assert of_kind(rendered(tmp_path_factory, "keda"), "ScaledObject").keys() == set(MODELS)

    def test_hours_decide_within_limits_of_the_autoscaler_that_it_replaces(self, manifests, tmp_path_factory):
        before = of_kind(rendered(tmp_path_factory, "availability"), "HorizontalPodAutoscaler")
        for name in MODELS:
            spec = of_kind(manifests, "ScaledObject")[name]["spec"]
            triggers = {each["type"]: each["metadata"] for each in spec["triggers"]}
            assert spec["minReplicaCount"] == 0 and spec["maxReplicaCount"] == before[name]["spec"]["maxReplicas"]
            assert int(triggers["cron"]["desiredReplicas"]) == before[name]["spec"]["minReplicas"]
            assert {"timezone", "start", "end"} <= triggers["cron"].keys()
            assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == before[name]["spec"]["behavior"]

    def test_work_counts_as_in_queue_time(self, manifests):
        (rule,) = yaml.safe_load((DEPLOY / "k8s/components/queue-time/adapter-rule.yaml").read_text())["rules"]["custom"]
        for name in MODELS:
            (trigger,) = [each for each in of_kind(manifests, "ScaledObject")[name]["spec"]["triggers"] if each["type"] == "prometheus"]
            matchers = f'namespace="duet",job="{name}"'
            expected = rule["metricsQuery"].replace("<<.LabelMatchers>>", matchers).replace(" by (<<.GroupBy>>)", "")
            assert trigger["metadata"]["query"] == expected and trigger["metricType"] == "Value"
            assert float(trigger["metadata"]["threshold"]) == 0.25  # of queue-time: 250m


class TestWeightsOnNode:
    @pytest.fixture(scope="class")
    def text(self, tmp_path_factory):
        return render_with(tmp_path_factory, "weights-on-node")

    @pytest.fixture
    def manifests(self, text):
        return list(yaml.safe_load_all(text))

    @pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
    def test_it_is_valid(self, text, version, tmp_path):
        (tmp_path / "rendered.yaml").write_text(text)

        result = run(sys.executable, "-m", "kubernetes_validate", "-k", version, "--strict", tmp_path / "rendered.yaml")

        assert result.returncode == 0, result.stdout + result.stderr

    def test_what_is_fetched_is_what_is_served_and_has_its_checksum_in_its_name(self, manifests):
        for name in MODELS:
            pod = pods(manifests)[name]
            (fetch,) = pod["initContainers"]
            assert fetch["args"] == ["$(MODEL_URL)", "/models/$(MODEL_SHA256).pth", "$(MODEL_SHA256)"]
            assert flags_of(main_of(pod))["checkpoint"] == fetch["args"][1]
            (source,) = fetch["envFrom"]
            (checksum,) = [each["valueFrom"]["configMapKeyRef"] for each in main_of(pod)["env"] if each["name"] == "MODEL_SHA256"]
            assert checksum == {"name": source["configMapRef"]["name"], "key": "MODEL_SHA256"}

    def test_traces_leave_the_files_name_alone(self, tmp_path_factory):
        for name, pod in pods(rendered(tmp_path_factory, "traces", "weights-on-node")).items():
            assert main_of(pod)["envFrom"][0]["configMapRef"]["name"].startswith("duet-traces-")
            assert ("MODEL_SHA256" in {each["name"] for each in main_of(pod).get("env", [])}) == (name in MODELS)

    def test_pods_of_a_node_share_its_folders_by_a_claim_that_restricted_pods_may_have(self, manifests):
        (volume,), (claim,) = of_kind(manifests, "PersistentVolume").values(), of_kind(manifests, "PersistentVolumeClaim").values()
        assert volume["spec"]["hostPath"]["type"] == "Directory" and "nodeAffinity" not in volume["spec"]
        assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
        assert claim["spec"]["storageClassName"] == volume["spec"]["storageClassName"]
        assert claim["spec"]["accessModes"] == volume["spec"]["accessModes"] == ["ReadWriteMany"]
        for name in MODELS:
            pod = pods(manifests)[name]
            assert not any("hostPath" in each for each in pod["volumes"])
            (shared,) = [each for each in pod["volumes"] if each["name"] == "models"]
            assert shared == {"name": "models", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
            mounts = {each["mountPath"]: each for each in main_of(pod)["volumeMounts"]}
            assert mounts["/models"] == {"name": "models", "mountPath": "/models", "subPath": "weights", "readOnly": True}
            (plan,) = [each["value"] for each in main_of(pod)["env"] if each["name"] == "DUET_KERNEL_PLAN"]
            assert plan.startswith("/plans/") and mounts["/plans"]["subPath"] == "kernel_plans"

    def test_the_nodes_folders_are_made_for_the_user_that_pods_are(self, manifests):
        printed = run("kubectl", "kustomize", DEPLOY / "k8s/node-folders")
        assert printed.returncode == 0, printed.stderr
        nodes = list(yaml.safe_load_all(printed.stdout))
        (daemons,) = of_kind(nodes, "DaemonSet").values()
        pod = daemons["spec"]["template"]["spec"]
        (make,), (stay,) = pod["initContainers"], pod["containers"]
        (mount,), (volume,) = make["volumeMounts"], pod["volumes"]
        (persistent,) = of_kind(manifests, "PersistentVolume").values()
        assert volume["hostPath"] == {"path": persistent["spec"]["hostPath"]["path"], "type": "DirectoryOrCreate"}
        user = str(pods(manifests)["duet-detector"]["securityContext"]["runAsUser"])
        used = {each["subPath"] for name in MODELS for each in main_of(pods(manifests)[name])["volumeMounts"] if "subPath" in each}
        folders = "weights kernel_plans"
        assert make["command"] == ["sh", "-c", f"cd {mount['mountPath']} && mkdir -p {folders} && chown {user}:{user} {folders}"]
        assert used == set(folders.split())
        assert make["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
        assert stay["securityContext"]["runAsNonRoot"] and "volumeMounts" not in stay
        assert all(each["resources"]["limits"]["memory"] for each in containers(pod))
        assert daemons["metadata"]["namespace"] not in {each["metadata"].get("namespace") for each in manifests}


class SlowPublisher:
    """Gives a file's first half, then waits for `go`. Counts who asked."""

    def __init__(self):
        import http.server
        self.asked, self.begun, self.go = 0, threading.Event(), threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler):
                self.asked += 1
                handler.send_response(200)
                handler.send_header("Content-Length", str(len(WEIGHTS)))
                handler.end_headers()
                handler.wfile.write(WEIGHTS[:len(WEIGHTS) // 2])
                handler.wfile.flush()
                self.begun.set()
                self.go.wait()
                handler.wfile.write(WEIGHTS[len(WEIGHTS) // 2:])

            def log_message(handler, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/model.pth"


@pytest.fixture
def publisher():
    publisher = SlowPublisher()
    yield publisher
    publisher.go.set()
    publisher.server.shutdown()
    publisher.server.server_close()


def fetch(url, file):
    environment = {**os.environ, "DUET_LIBRARY": str(ROOT / "tools/duet"), "DUET_ROOT": str(ROOT), "DUET_STATE": "/nowhere"}
    return subprocess.Popen([DEPLOY / "duet-fetch-model", url, file, SHA256], env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, start_new_session=True)


class TestPodsThatFetchIntoOneFolder:
    def test_one_fetches_and_the_others_find_it(self, publisher, tmp_path):
        file = tmp_path / "model.pth"
        first = fetch(publisher.url, file)
        assert publisher.begun.wait(60)
        later = [fetch(publisher.url, file) for _ in range(2)]
        # They have said that they wait, and nobody has asked again.
        waiting = [each.stdout.readline() for each in later]
        publisher.go.set()

        said = [each.communicate(timeout=60)[0] for each in (first, *later)]

        assert all("waiting" in line and str(tmp_path) in line for line in waiting)
        assert [each.returncode for each in (first, *later)] == [0, 0, 0], said
        assert publisher.asked == 1 and file.read_bytes() == WEIGHTS
        assert [each.name for each in tmp_path.iterdir()] == ["model.pth"]

    def test_who_was_killed_holds_up_nobody(self, publisher, tmp_path):
        file = tmp_path / "model.pth"
        first = fetch(publisher.url, file)
        assert publisher.begun.wait(60)
        second = fetch(publisher.url, file)
        assert "waiting" in second.stdout.readline()

        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
        publisher.go.set()
        said, _ = second.communicate(timeout=60)

        assert second.returncode == 0 and file.read_bytes() == WEIGHTS, said

    def test_a_name_that_is_to_be_a_checksum_and_is_empty_is_refused(self, tmp_path):
        refused = fetch("http://127.0.0.1:1/model.pth", tmp_path / ".pth")

        said, _ = refused.communicate(timeout=60)
        assert refused.returncode == 1 and "MODEL_SHA256 is empty" in said and len(said.splitlines()) == 1
