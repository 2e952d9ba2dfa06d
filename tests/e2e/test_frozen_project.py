"""What a training learns from: the annotations of a real Label Studio, after its own button was pressed."""

import contextlib
import json

import pytest
import requests

from conftest import DETECTOR
from label_configs import config
from service import Service, wait_until

# Seconds, not a good model.
RECIPE = "--train_flags=--epochs=2,--input_size=128,--batch=4"


def rectangle(thing, scene):
    x_min, y_min, x_max, y_max = thing.box
    return {"from_name": "rectanglelabels", "to_name": "image", "type": "rectanglelabels",
            "original_width": scene.width, "original_height": scene.height, "image_rotation": 0,
            "value": {"x": 100 * x_min / scene.width, "y": 100 * y_min / scene.height,
                      "width": 100 * (x_max - x_min) / scene.width, "height": 100 * (y_max - y_min) / scene.height,
                      "rotation": 0, "rectanglelabels": [thing.label]}}


@pytest.fixture
def project(studio, scenes, labels):
    """Four annotated scenes; of one an older annotation is wrong; one scene was skipped, and one nobody has seen."""
    project = studio.create_project("training", config(labels, "RectangleLabels"))
    tasks = project.upload([scene.file for scene in scenes])
    tasks += project.upload([scenes[0].file, scenes[1].file])
    wrong = [{**rectangle(scenes[0].objects[0], scenes[0]),
              "value": {**rectangle(scenes[0].objects[0], scenes[0])["value"], "rectanglelabels": ["heart"]}}]
    project.annotate(tasks[0], wrong)
    for task, scene in zip(tasks, scenes):
        project.annotate(task, [rectangle(thing, scene) for thing in scene.objects])
    skipped = project.annotate(tasks[4], [rectangle(scenes[0].objects[0], scenes[0])])
    studio.call("PATCH", f"/api/annotations/{skipped['id']}", json={"was_cancelled": True})
    yield project
    project.delete()


@pytest.fixture
def loop(studio, tmp_path):
    """A detector, a trainer and a gateway that share a model root."""
    root, work = tmp_path / "models", tmp_path / "work"
    root.mkdir()
    label_studio = [f"--label_studio_url={studio.url}", f"--label_studio_api_key={studio.token}"]
    with contextlib.ExitStack() as stack:
        def start(name, *flags):
            service = Service(name, "--port=0", f"--model_root={root}", *flags)
            stack.callback(service.kill)
            service.ready()
            return service
        detector = start("duet-detector", "--metrics_port=0", f"--checkpoint={DETECTOR}")
        trainer = start("duet-trainer", "--metrics_port=0", f"--work_dir={work}", f"--checkpoint={DETECTOR}", RECIPE,
                        *label_studio)
        gateway = start("duet-gateway", f"--detector=127.0.0.1:{detector.port}", "--segmenter=",
                        f"--trainer=127.0.0.1:{trainer.port}", *label_studio)
        url = f"http://127.0.0.1:{gateway.port}"
        wait_until(lambda: requests.get(f"{url}/readyz", timeout=5).ok)
        yield url, root, work


def test_what_was_annotated_becomes_a_version(loop, project, scenes, labels):
    url, root, work = loop
    project.add_backend(url)
    # Settings → Model → Start Training.
    project.studio.call("POST", f"/api/ml/{project.backend_id}/train", json={})

    def ended():
        answer = requests.get(f"{url}/train/{project.id}", timeout=30)
        return answer.ok and answer.json()["state"] in ("done", "failed", "cancelled")

    wait_until(ended)
    job = requests.get(f"{url}/train/{project.id}", timeout=30).json()
    assert job["state"] == "done", job
    folder = root / f"detector/project-{project.id}/1"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["classes"] == labels and manifest["images"] == len(scenes), job
    assert manifest["annotations"] == sum(len(scene.objects) for scene in scenes)
    frozen = [json.loads(file.read_text()) for file in work.glob("projects/*/revisions/*/*.json")]
    names = {category["id"]: category["name"] for part in frozen for category in part.get("categories", [])}
    found = sorted(names[thing["category_id"]] for part in frozen for thing in part.get("annotations", []))
    assert found == sorted(thing.label for scene in scenes for thing in scene.objects), "the newest annotation counts"
    assert not list(work.glob("jobs/*/[!j]*")), "nothing is left of the job but its record"
