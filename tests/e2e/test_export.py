"""What Label Studio's exporter makes of annotations that were made with the config of ./duet label-config: the recipe's last
step. Which export gives what is told by README.md, Export."""

import collections
import io
import json
import xml.etree.ElementTree
import zipfile

import numpy
import pytest
from PIL import Image

import scenes as scene_files
from duet_command import ROOT
from test_annotating import page, percent, playwright  # noqa: F401 (fixtures)
from test_interactive import inside
from test_predictions import problems_of


@pytest.fixture(scope="session")
def printed(duet):
    return duet.run("label-config").stdout


def archive(project, kind):
    """The exported files by name."""
    with zipfile.ZipFile(io.BytesIO(project.export(kind))) as file:
        return {name: file.read(name) for name in file.namelist()}


def coco(project, kind, file):
    """{category id: name}, and the entries as (category id, box, whether it has an outline)."""
    exported = json.loads(archive(project, kind)[file])
    entries = [(entry["category_id"], entry["bbox"], bool(entry["segmentation"])) for entry in exported["annotations"]]
    return {category["id"]: category["name"] for category in exported["categories"]}, entries


def yolo(project):
    """The classes in their order, and (class, box in fractions: centre and size) of every line."""
    files = archive(project, "YOLO")
    lines = [line.split() for name, text in files.items() if name.startswith("labels/")
             for line in text.decode().splitlines()]
    return files["classes.txt"].decode().splitlines(), [(int(line[0]), *map(float, line[1:])) for line in lines]


def labelled_boxes(result):
    """(label, x, y, width, height in pixels) of every rectangle of an annotation's result."""
    boxes = []
    for region in result:
        value = region["value"]
        if region["type"] != "labels" or "x" not in value:
            continue
        width, height = region["original_width"] / 100, region["original_height"] / 100
        boxes.append((*value["labels"], value["x"] * width, value["y"] * height, value["width"] * width,
                      value["height"] * height))
    return sorted(boxes)


def labelled_masks(result):
    return sorted(label for region in result if "rle" in region["value"] and region["type"] == "labels"
                  for label in region["value"]["labels"])


def check_exports(project, labels, boxes):
    """COCO, Brush labels to COCO and YOLO have one entry for each box, under its name; COCO and YOLO number the classes as
    the model does."""
    expected = [(label, pytest.approx(box, abs=0.1)) for label, *box in boxes]

    names, entries = coco(project, "COCO", "result.json")
    assert names == dict(enumerate(labels))
    assert sorted((names[category], box) for category, box, _ in entries) == expected

    names, entries = coco(project, "BRUSH_TO_COCO", "result_coco.json")
    assert sorted((names[category], box) for category, box, _ in entries) == expected
    # The exporter passes over masks whose label came from <Labels>. If a newer one doesn't, README has to say so.
    assert not any(outline for _, _, outline in entries)

    classes, lines = yolo(project)
    assert classes == labels
    assert collections.Counter(classes[line[0]] for line in lines) == collections.Counter(box[0] for box in boxes)
    assert all(len(line) == 5 for line in lines)


def check_masks(project, names):
    """Brush labels to PNG has one file for each mask, with its label in the name."""
    files = archive(project, "BRUSH_TO_PNG") if names else {}
    assert sorted(name.rsplit("-", 2)[1] for name in files) == sorted(names)


def test_accepted_predictions_are_exported_once_an_object_under_their_names(make_project, printed, scenes, labels):
    project = make_project(printed)
    tasks = project.upload([scene.file for scene in scenes])
    project.retrieve_predictions()
    boxes, masks = [], []
    for task in tasks:
        (prediction,) = project.predictions()[task]
        assert not problems_of(prediction, printed)

        project.annotate(task, prediction["result"])

        boxes += labelled_boxes(prediction["result"])
        masks += labelled_masks(prediction["result"])
    assert len(boxes) == len(masks) >= 10
    check_exports(project, labels, sorted(boxes))
    check_masks(project, masks)
    with pytest.raises(AssertionError, match="500"):
        project.export("VOC")


def documented_config(labels):
    """The config for outlines, with these labels."""
    text = (ROOT / "docs/label_studio.md").read_text().split("### A label config for outlines")[1]
    view = xml.etree.ElementTree.fromstring(text.split("```")[1])
    for control in view:
        numbered = any("category" in label.attrib for label in control)
        for label in list(control):
            control.remove(label)
            for number, name in enumerate(labels if label.get("value") == "cat" else []):
                xml.etree.ElementTree.SubElement(control, "Label", value=name, **({"category": str(number)} if numbered else {}))
    return xml.etree.ElementTree.tostring(view, encoding="unicode")


def test_the_documented_config_for_outlines_exports_outline_and_box_in_one_entry(make_project, scenes, labels):
    label_config = documented_config(labels)
    project = make_project(label_config)
    (task,) = project.upload([scenes[0].file])
    project.retrieve_predictions()
    ((prediction,),) = project.predictions().values()
    assert {region["type"] for region in prediction["result"]} == {"polygonlabels"}
    assert not problems_of(prediction, label_config)

    project.annotate(task, prediction["result"])

    polygons = sorted(scene_files.label_of(region) for region in prediction["result"])
    names, entries = coco(project, "COCO", "result.json")
    assert names == dict(enumerate(labels))
    assert sorted(names[category] for category, _, _ in entries) == polygons
    assert all(outline and min(box[2:]) > 4 for _, box, outline in entries)
    classes, lines = yolo(project)
    assert classes == labels and sorted(classes[line[0]] for line in lines) == polygons
    assert all(len(line) > 5 for line in lines)


def clear_space(result, width, height, margin=6):
    """(label, box, the space around it) of a rectangle with nothing else near it."""
    boxes = labelled_boxes(result)
    for label, x, y, w, h in boxes:
        left, top, right, bottom = space = (x - margin, y - margin, x + w + margin, y + h + margin)
        near = [box for _, *box in boxes if box[0] < right and box[0] + box[2] > left
                and box[1] < bottom and box[1] + box[3] > top]
        if len(near) == 1 and left > 0 and top > 0 and right < width and bottom < height:
            return label, [x, y, w, h], space
    return None


def test_a_corrected_label_is_exported_for_box_and_mask(page, make_project, printed, scenes, labels):  # noqa: F811
    project = make_project(printed)
    tasks = project.upload([scene.file for scene in scenes])
    project.retrieve_predictions()
    scene, task, found = next((scene, task, found) for scene, task in zip(scenes, tasks) if (found := clear_space(
        project.predictions()[task][0]["result"], scene.width, scene.height)))
    wrong, box, (left, top, right, bottom) = found
    predicted = labelled_boxes(project.predictions()[task][0]["result"])
    other = next(label for label in labels if label not in [thing[0] for thing in predicted])
    space = {**percent(scene, left, top), "to": percent(scene, right, bottom)}

    seen = page("correct.mjs", project, task, within=space, label=other)

    assert sorted(seen["before"]) == sorted(2 * [label for label, *_ in predicted])
    assert seen["after"].count(other) == 2
    (annotation,) = project.studio.call("GET", f"/api/tasks/{task}")["annotations"]
    assert annotation["id"] == seen["annotation"]
    boxes = labelled_boxes(annotation["result"])
    assert boxes == sorted((other, *box) if thing == (wrong, *box) else thing for thing in predicted)
    check_exports(project, labels, boxes)
    masks = labelled_masks(annotation["result"])
    assert masks.count(other) == 1
    check_masks(project, masks)


def test_control_clicks_into_a_predicted_object_and_alt_excludes(page, make_project, printed, backend, scenes):  # noqa: F811
    scene = scenes[0]
    project = make_project(printed)
    (task,) = project.upload([scene.file])
    project.retrieve_predictions()
    ((prediction,),) = project.predictions().values()
    drawn = numpy.logical_or.reduce(
        [scene_files.mask_of({**region, "type": "brushlabels"}) for region in prediction["result"] if region["type"] == "brush"])
    thing = max(scene.objects, key=lambda thing: (thing.mask & drawn).sum())
    x, y = inside(thing.mask & drawn)
    backend.clear()

    seen = page("click_through.mjs", project, task, label=thing.label, at=percent(scene, x + 0.5, y + 0.5),
                but_not=percent(scene, x + 8.5, y + 0.5))

    assert seen["selected"] == [1, 1]
    assert "brushregion" in seen["suggestions"]
    prompts = [[entry["is_positive"] for entry in call.request["params"]["context"]["result"] if entry["type"] == "keypoint"]
               for call in backend.of("/predict") if call.request["params"]["context"]]
    assert prompts == [[True], [True, False]]


@pytest.mark.parametrize("find", [None, "baseball bat"])
def test_one_list_of_labels_lies_beside_the_image(page, make_project, printed, labels, scenes, find):  # noqa: F811
    """With ten classes and with COCO's eighty, in a window of a small laptop."""
    project = make_project((ROOT / "tests/data/label_studio/generated_coco80.xml").read_text() if find else printed)
    (task,) = project.upload([scenes[0].file])
    window = {"width": 1280, "height": 720}

    seen = page("layout.mjs", project, task, viewport=window, find=find)

    column, image = seen["column"], seen["image"]
    assert seen["lists"] == 1
    assert column["x"] + column["width"] <= image["x"] and image["width"] >= 400
    assert column["y"] + column["height"] <= window["height"]
    assert abs(column["y"] - image["y"]) < 20
    assert seen["hotkey"] == ("person" if find else labels[0])
    assert seen.get("found") == find
