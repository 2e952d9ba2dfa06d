"""Bulk predictions and opened tasks: what a real Label Studio asks, stores and shows."""

import io
import json
import xml.etree.ElementTree
import zipfile

import pytest
import requests

import scenes as scene_files
from conftest import COCO_LABELS
from duet_command import ROOT
from label_configs import config
from label_studio import data_uri
from strict_validation import problems_of

# The demo detector's recall on held-out scenes is well above this at the default threshold; four scenes are few.
ENOUGH = 0.7


def kinds_of(prediction):
    return {region["type"] for region in prediction["result"]}


def test_the_backend_is_connected_and_has_a_version(make_project, labels):
    backend = make_project(config(labels, "RectangleLabels")).backend()

    assert (backend["readable_state"], backend["error_message"]) == ("Connected", None) or (
        backend["readable_state"] == "Connected" and not backend["error_message"])
    assert backend["model_version"]


def test_bulk_predictions_are_stored_once_and_find_what_was_drawn(make_project, backend, scenes, labels):
    label_config = config(labels, "RectangleLabels")
    project = make_project(label_config)
    tasks = project.upload([scene.file for scene in scenes])

    project.retrieve_predictions()

    (call,) = backend.of("/predict")
    assert len(call.response["results"]) == len(tasks)
    stored = project.predictions()
    version = project.backend()["model_version"]
    recalls = []
    for task, scene in zip(tasks, scenes):
        (prediction,) = stored[task]
        assert prediction["model_version"] == version
        assert 0 < prediction["score"] <= 1
        assert not problems_of(prediction, label_config)
        assert kinds_of(prediction) == {"rectanglelabels"}
        assert all(region["original_width"] == scene.width for region in prediction["result"])
        recalls.append(scene_files.recall(scene, prediction["result"], scene_files.box_mask))
    assert sum(recalls) / len(recalls) >= ENOUGH, recalls


def test_a_second_retrieval_asks_nothing_and_stores_nothing(make_project, backend, scenes, labels):
    project = make_project(config(labels, "RectangleLabels"))
    project.upload([scene.file for scene in scenes[:2]])
    project.retrieve_predictions()
    backend.clear()

    project.retrieve_predictions()

    assert not backend.of("/predict")
    assert [len(each) for each in project.predictions().values()] == [1, 1]


def test_labels_are_corrected_and_predictions_are_asked_for_again(make_project, backend, scenes, labels):
    """The advice of docs/troubleshooting.md for a project whose labels the model doesn't have."""
    project = make_project(config(["thing"], "RectangleLabels"))
    tasks = project.upload([scene.file for scene in scenes[:2]])
    project.retrieve_predictions()
    assert [each[0]["result"] for each in project.predictions().values()] == [[], []]

    project.set_label_config(config(labels, "RectangleLabels"))
    project.retrieve_predictions()

    version = project.backend()["model_version"]
    for task in tasks:
        (found,) = [each for each in project.predictions()[task] if each["model_version"] == version]
        assert found["result"]
    backend.clear()
    project.set_label_config(config(labels, "RectangleLabels").replace("<Image", "\n  <Header value='Scenes'/><Image"))
    project.retrieve_predictions()
    assert not backend.of("/predict"), "what changes no answer asks for none"


def test_up_warns_of_a_project_whose_config_has_no_label_for_any_class(duet, make_project, labels):
    project = make_project(config(["thing"], "RectangleLabels"))

    warned = duet.up("--with-label-studio")

    words = f"project {project.id} in Label Studio: the label config has no label for any class of the model"
    assert words in warned.stderr + warned.stdout
    assert labels[0] in (warned.stderr + warned.stdout).split(words)[1].splitlines()[0]
    assert words in duet.run("status").stdout
    project.set_label_config(config(labels, "RectangleLabels"))
    assert words not in (again := duet.up("--with-label-studio")).stderr + again.stdout


def test_an_opened_task_brings_its_prediction(make_project, scenes, labels):
    project = make_project(config(labels, "RectangleLabels"))
    (task,) = project.upload([scenes[0].file])

    opened = project.open_task(task)

    (prediction,) = opened["predictions"]
    assert prediction["result"]


@pytest.mark.parametrize("tag, at_least", [("BrushLabels", 0.7), ("PolygonLabels", 0.7)])
def test_masks_come_with_the_boxes_and_cover_what_was_drawn(make_project, scenes, labels, tag, at_least):
    label_config = config(labels, "RectangleLabels", tag)
    project = make_project(label_config)
    tasks = project.upload([scene.file for scene in scenes[:2]])

    project.retrieve_predictions()

    stored = project.predictions()
    recalls = []
    for task, scene in zip(tasks, scenes):
        (prediction,) = stored[task]
        assert not problems_of(prediction, label_config)
        assert kinds_of(prediction) == {"rectanglelabels", tag.lower()}
        masks = [region for region in prediction["result"] if region["type"] == tag.lower()]
        recalls.append(scene_files.recall(scene, masks, at_least=at_least))
    assert sum(recalls) / len(recalls) >= ENOUGH, recalls


def test_ellipses_are_emitted_where_they_are_the_only_kind(make_project, scenes, labels):
    label_config = config(labels, "EllipseLabels")
    project = make_project(label_config)
    (task,) = project.upload([scenes[0].file])

    project.retrieve_predictions()

    ((prediction,),) = project.predictions().values()
    assert not problems_of(prediction, label_config)
    assert kinds_of(prediction) == {"ellipselabels"}
    assert scene_files.recall(scenes[0], prediction["result"], at_least=0.4) >= 0.5


def test_keypoints_lie_on_their_object(make_project, scenes, labels):
    label_config = config(labels, "KeyPointLabels")
    project = make_project(label_config)
    project.upload([scenes[0].file])

    project.retrieve_predictions()

    ((prediction,),) = project.predictions().values()
    assert not problems_of(prediction, label_config)
    assert kinds_of(prediction) == {"keypointlabels"}
    hits = 0
    for region in prediction["result"]:
        x = int(region["value"]["x"] / 100 * scenes[0].width)
        y = int(region["value"]["y"] / 100 * scenes[0].height)
        hits += any(thing.mask[y, x] for thing in scenes[0].objects)
    assert hits >= ENOUGH * len(prediction["result"])


def test_nothing_is_emitted_into_smart_controls(make_project, scenes, labels):
    project = make_project(config(labels, "RectangleLabels", smart=("RectangleLabels", "KeyPointLabels")))
    project.upload([scenes[0].file])

    project.retrieve_predictions()

    ((prediction,),) = project.predictions().values()
    assert {region["from_name"] for region in prediction["result"]} == {"rectanglelabels"}


def test_the_generated_label_config_is_accepted_and_filled(duet, make_project, scenes, labels):
    label_config = duet.run("label-config").stdout
    values = [element.get("value") for element in xml.etree.ElementTree.fromstring(label_config).iter("Label")]
    assert set(labels) <= set(values)
    project = make_project(label_config)
    project.upload([scenes[0].file])

    project.retrieve_predictions()

    ((prediction,),) = project.predictions().values()
    assert not problems_of(prediction, label_config)
    assert prediction["result"]


def test_the_recipes_config_of_five_tags_gets_rectangles_and_brushes(make_project, scenes):
    label_config = (ROOT / "tests/data/label_studio/coco80_five_tags.xml").read_text()
    project = make_project(label_config, path="/p/coco")
    tasks = project.upload([scene.file for scene in scenes])

    project.retrieve_predictions()

    stored = project.predictions()
    version = project.backend()["model_version"]
    drawn, found = set(), set()
    for task, scene in zip(tasks, scenes):
        (prediction,) = stored[task]
        assert prediction["model_version"] == version
        assert not problems_of(prediction, label_config)
        assert {region["from_name"] for region in prediction["result"]} == {"RectangleLabels", "BrushLabels"}
        drawn |= {(task, COCO_LABELS[thing.label]) for thing in scene.objects}
        found |= {(task, scene_files.label_of(region)) for region in prediction["result"]}
    assert len(found & drawn) >= ENOUGH * len(drawn)


def test_one_unreadable_image_leaves_its_task_open_and_the_others_answered(make_project, scenes, labels):
    project = make_project(config(labels, "RectangleLabels"))
    (good,) = project.import_urls([data_uri(scenes[0].file)])
    (bad,) = project.import_urls(["data:image/jpeg;base64,bm90IGFuIGltYWdl"])

    project.retrieve_predictions()

    stored = project.predictions()
    assert len(stored[good]) == 1
    assert stored[bad] == []


def test_corrected_predictions_are_saved_and_exported_as_coco(make_project, backend, scenes, labels):
    project = make_project(config(labels, "RectangleLabels"))
    (task,) = project.upload([scenes[0].file])
    project.retrieve_predictions()
    ((prediction,),) = project.predictions().values()

    project.annotate(task, prediction["result"])

    hooks = backend.of("/webhook")
    assert hooks and all(call.status == 200 for call in hooks)
    with zipfile.ZipFile(io.BytesIO(project.export("COCO"))) as exported:
        coco = json.loads(exported.read("result.json"))
    assert len(coco["annotations"]) == len(prediction["result"])
    assert {category["name"] for category in coco["categories"]} == set(labels)


def test_a_config_without_a_usable_control_is_refused_in_one_sentence(duet):
    answer = requests.post(f"{duet.url}/predict", timeout=30, json={
        "tasks": [{"id": 1, "data": {"image": "data:,"}}], "project": "1.1", "params": {"context": None},
        "label_config": "<View><Text name='t' value='$t'/></View>"})

    assert 400 <= answer.status_code < 500
    assert "Image" in json.dumps(answer.json())
