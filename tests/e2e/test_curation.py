"""What to label next, and which annotations to look at again, in a real Label Studio."""

import subprocess

import requests

from label_configs import config
from service import BINARIES


def rectangle(scene, thing, label):
    x0, y0, x1, y1 = thing.box
    return {"id": f"{thing.label}-{x0:.0f}-{y0:.0f}", "from_name": "rectanglelabels", "to_name": "image", "type": "rectanglelabels",
            "original_width": scene.width, "original_height": scene.height, "image_rotation": 0,
            "value": {"x": 100 * x0 / scene.width, "y": 100 * y0 / scene.height, "width": 100 * (x1 - x0) / scene.width,
                      "height": 100 * (y1 - y0) / scene.height, "rotation": 0, "rectanglelabels": [label]}}


def test_the_data_manager_sorts_by_what_is_learned(studio, make_project, scenes, labels):
    project = make_project(config(labels, "RectangleLabels"), extra_params={"score": "uncertainty"})
    tasks = project.upload([scene.file for scene in scenes])
    project.retrieve_predictions()
    stored = {task: predictions[0]["score"] for task, predictions in project.predictions().items()}
    assert len(set(stored.values())) == len(tasks) and all(0 < score < 1 for score in stored.values()), stored

    # Settings → Annotation → the predictions of this version: until then the column is empty.
    studio.call("PATCH", f"/api/projects/{project.id}", json={"model_version": project.backend()["model_version"]})
    view = studio.call("POST", "/api/dm/views", json={"project": project.id, "data": {"ordering": ["tasks:predictions_score"]}})
    listed = studio.call("GET", f"/api/tasks?project={project.id}&view={view['id']}&fields=all")["tasks"]
    assert [task["id"] for task in listed] == sorted(tasks, key=stored.get)
    assert [task["predictions_score"] for task in listed] == sorted(stored.values())


def test_a_review_names_what_is_annotated_wrongly(studio, start_gateway, make_project, scenes, labels):
    gateway = start_gateway(f"--label_studio_url={studio.url}", f"--label_studio_api_key={studio.token}")
    project = make_project(config(labels, "RectangleLabels"))
    tasks = project.upload([scene.file for scene in scenes])
    wrong = None
    for task, scene in zip(tasks, scenes):
        result = [rectangle(scene, thing, thing.label) for thing in scene.objects]
        if wrong is None:
            largest = scene.objects.index(scene.largest())
            label = result[largest]["value"]["rectanglelabels"]
            label[0] = "ring" if label[0] != "ring" else "cross"
            wrong = (task, result[largest]["id"])
        project.annotate(task, result)

    review = requests.get(f"{gateway}/review/{project.id}", timeout=60).json()

    assert review["tasks"] == len(tasks) and not review["failed"]
    assert review["objects"] == sum(len(scene.objects) for scene in scenes)
    first = review["issues"][0]
    assert (first["task"], first["region"], first["kind"]) == (*wrong, "wrong_label"), review
    ran = subprocess.run([BINARIES / "duet", "review", f"--label_studio_project={project.id}", f"--gateway={gateway}", "--top=1"],
                         capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0 and first["sentence"] in ran.stdout and wrong[1] in ran.stdout, ran.stdout + ran.stderr
