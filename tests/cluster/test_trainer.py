"""components/trainer on a node, beside a real Label Studio: annotations become a model that serves their project alone, and back."""

import datetime
import json
import os
import pathlib
import shutil
import subprocess

import pytest
import requests

from control_plane import NODE_ADDRESS
from deployment import add, gateway_address, kustomization, remove, roll_out
from duet import LABELS, label_config, predict, with_weights
from programs import ROOT, Program, wait_until

STUDIO, TOKEN = f"http://{NODE_ADDRESS}:8080", "0123456789abcdef0123456789abcdef01234567"
FOLDER = pathlib.Path("/var/lib/cluster/trainer")
VOLUMES = {"duet-models": "ReadWriteMany", "duet-trainer-work": "ReadWriteOnce"}
DUET_USER = 10001
OTHER = "2.1"  # a project that nothing was trained for
# Classes of the demo model's under names of the project's own: the model that serves at first knows none of them.
OWN = [f"my {label}" for label in LABELS]
# As in tests/e2e/test_training.py, where the numbers have their reasons.
ANNOTATED, SETTINGS = 18, {"duet-trainer": {"DUET_MIN_INTERVAL_S": "0", "DUET_VAL_SHARE": "0.45",
                                            "DUET_TRAIN_FLAGS": "--epochs=12,--input_size=256", "DUET_TRAIN_SEGMENTERS": "false"},
                           "duet-gateway": {"DUET_TRAIN_INTERVAL_S": "0", "DUET_SCORE_THRESHOLD": "0.1"}}


@pytest.fixture
def studio(cluster, tmp_path):
    """Label Studio as a process of the node's; asks its API."""
    data = tmp_path / "studio"
    program = Program(tmp_path, ROOT / ".duet/venv/label-studio/bin/label-studio", "start", "--no-browser",
                      "--internal-host=0.0.0.0", "--port=8080", environment={
                          **os.environ, "HOME": str(data), "DJANGO_DB": "sqlite", "LABEL_STUDIO_BASE_DATA_DIR": str(data),
                          "LABEL_STUDIO_HOST": STUDIO, "LABEL_STUDIO_USERNAME": "duet@example.com", "LABEL_STUDIO_PASSWORD": "duet-in-a-cluster",
                          "LABEL_STUDIO_USER_TOKEN": TOKEN, "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
                          "LABEL_STUDIO_COLLECT_ANALYTICS": "false", "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
                          "LABEL_STUDIO_SENTRY_DSN": "", "LABEL_STUDIO_FRONTEND_SENTRY_DSN": ""})

    def healthy():
        try:
            return requests.get(f"{STUDIO}/health", timeout=5).ok
        except requests.RequestException:
            return False

    def call(method, path, **arguments):
        answer = requests.request(method, f"{STUDIO}{path}", headers={"Authorization": f"Token {TOKEN}"}, timeout=150, **arguments)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()
    program.wait_until(healthy)
    yield call
    program.kill()


@pytest.fixture
def project(studio, tmp_path):
    """One whose drawn scenes are annotated: its number, and what Label Studio calls it."""
    scenes = tmp_path / "scenes"
    subprocess.run([ROOT / "build/release/bin/duet-train", "scenes", "--seed=5", f"--count={ANNOTATED}", f"--out={scenes}"], check=True)
    coco = json.loads((scenes / "coco.json").read_text())
    made = studio("POST", "/api/projects", json={"title": "own", "label_config": label_config(OWN)})
    number = made["id"]
    for image in coco["images"]:
        content = (scenes / image["file_name"]).read_bytes()
        studio("POST", f"/api/projects/{number}/import", files={image["file_name"]: (image["file_name"], content, "image/jpeg")})
    for task in studio("GET", f"/api/tasks?project={number}&page_size=100")["tasks"]:
        (image,) = [each for each in coco["images"] if task["data"]["image"].endswith(each["file_name"])]
        studio("POST", f"/api/tasks/{task['id']}/annotations", json={"result": [
            rectangle(each, image) for each in coco["annotations"] if each["image_id"] == image["id"]]})
    return number, f"{number}.{int(datetime.datetime.fromisoformat(made['created_at']).timestamp())}"


def rectangle(annotation, image):
    x, y, width, height = annotation["bbox"]
    return {"from_name": "rectanglelabels", "to_name": "image", "type": "rectanglelabels", "original_width": image["width"],
            "original_height": image["height"], "image_rotation": 0, "value": {
                "x": 100 * x / image["width"], "y": 100 * y / image["height"], "width": 100 * width / image["width"],
                "height": 100 * height / image["height"], "rotation": 0, "rectanglelabels": [OWN[annotation["category_id"] - 1]]}}


@pytest.fixture
def duet(cluster, node, studio, tmp_path):
    for name, mode in VOLUMES.items():
        (FOLDER / name).mkdir(parents=True)
        os.chown(FOLDER / name, DUET_USER, DUET_USER)
        cluster.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
            "capacity": {"storage": "100Gi"}, "accessModes": [mode], "storageClassName": "disk", "hostPath": {"path": str(FOLDER / name)}}})
    settings = [add("Deployment", name, "/spec/template/spec/containers/0/env/-", {"name": key, "value": value})
                for name, variables in SETTINGS.items() for key, value in variables.items()]
    cluster.do("apply", "-k", kustomization(
        tmp_path, base="overlays/local", components=["label-studio", "trainer"], **with_weights(),
        images=[{"name": f"duet-{name}", "newTag": "local"} for name in ("trainer", "fetch-model")],
        patches=[*settings, *[add("PersistentVolumeClaim", name, "/spec/storageClassName", "disk") for name in VOLUMES]]))
    cluster.do("create", "secret", "generic", "duet-label-studio", "-n", "duet", f"--from-literal=url={STUDIO}",
               f"--from-literal=api-key={TOKEN}")
    roll_out(cluster, "duet-trainer", "duet-detector", "duet-segmenter", "duet-gateway")
    yield gateway_address(cluster)
    remove(cluster)
    cluster.do("delete", "pv", *VOLUMES)
    shutil.rmtree(FOLDER)


def found(address, project, labels):
    """The labels of what is found for a project that has these."""
    answer = predict(address, project=project, labels=labels)
    assert answer.ok, answer.text
    return {label for task in answer.json()["results"] for each in task["result"] for label in each["value"].get("rectanglelabels", ())}


def test_annotations_become_a_model_that_serves_their_project_and_back(cluster, duet, project):
    number, name = project

    def inside(*command):
        return cluster.do("exec", "deploy/duet-gateway", "-n", "duet", "-c", "gateway", "--", "duet", *command)
    assert not found(duet, name, OWN) and found(duet, OTHER, LABELS)

    inside("train", f"--label_studio_project={number}")

    wait_until(lambda: f"detector project-{number}: version 1 serves" in inside("models", "list"))
    wait_until(lambda: found(duet, name, OWN))
    assert found(duet, OTHER, LABELS)
    inside("models", "rollback", f"project-{number}", "--reason=to see that it goes back")
    wait_until(lambda: not found(duet, name, OWN))
