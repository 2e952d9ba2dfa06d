"""What Label Studio's exporter makes of annotations that were made with the config of ./duet label-config: the recipe's last
step. Which export gives what is told by docs/export.md."""

import collections
import io
import json
import xml.etree.ElementTree
import zipfile

import numpy
import pytest
from PIL import Image

import pictures
import scenes as scene_files
from duet_command import ROOT
from strict_validation import problems_of
from test_annotating import click_on, drag_around, page, percent, playwright  # noqa: F401 (fixtures)
from test_interactive import inside

# Of README's picture, for each one of the window in a row.
PIXELS = 1.5


@pytest.fixture(scope="session")
def printed(duet):
    return duet.run("label-config").stdout


def archive(project, kind):
    """The exported files by name. A single one comes as it is."""
    exported = project.export(kind)
    if not exported.startswith(b"PK"):
        return {"": exported}
    with zipfile.ZipFile(io.BytesIO(exported)) as file:
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


def labels_of(region):
    """Of a shape beside <Labels>, they are in an entry of their own that repeats the shape."""
    return next((value for key, value in region["value"].items() if key.endswith("labels")), [])


def labelled_boxes(result):
    """(label, x, y, width, height in pixels) of every rectangle of an annotation's result."""
    boxes = []
    for region in result:
        value, width, height = region["value"], region["original_width"] / 100, region["original_height"] / 100
        for label in labels_of(region) if "x" in value else []:
            boxes.append((label, value["x"] * width, value["y"] * height, value["width"] * width,
                          value["height"] * height))
    return sorted(boxes)


def labelled_masks(result):
    return sorted(label for region in result if "rle" in region["value"] for label in labels_of(region))


def check_exports(project, labels, boxes):
    """COCO, Brush labels to COCO and YOLO have one entry for each box, under its name; COCO and YOLO number the classes as
    the model does."""
    expected = [(label, pytest.approx(box, abs=0.1)) for label, *box in boxes]

    names, entries = coco(project, "COCO", "result.json")
    assert names == dict(enumerate(labels))
    assert sorted((names[category], box) for category, box, _ in entries) == expected

    names, entries = coco(project, "BRUSH_TO_COCO", "result_coco.json")
    assert sorted((names[category], box) for category, box, _ in entries) == expected
    # The exporter passes over masks whose label came from <Labels>. If a newer one doesn't, docs/export.md has to say so.
    assert not any(outline for _, _, outline in entries)

    classes, lines = yolo(project)
    assert classes == labels
    assert collections.Counter(classes[line[0]] for line in lines) == collections.Counter(box[0] for box in boxes)
    assert all(len(line) == 5 for line in lines)


def check_masks(project, names):
    """Brush labels to PNG has one file for each mask, with its label in the name."""
    files = archive(project, "BRUSH_TO_PNG")
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


def test_objects_made_with_smart_point_and_smart_box_are_exported_with_box_and_mask(
        page, make_project, printed, backend, scenes, labels):  # noqa: F811
    scene = scenes[0]
    clicked, framed = sorted(scene.objects, key=lambda thing: -thing.mask.sum())[:2]
    # No detection is this sure: the page opens without regions that the mouse might take hold of.
    project = make_project(printed, extra_params={"score_threshold": 1.0})
    (task,) = project.upload([scene.file])

    seen = page("annotate.mjs", project, task, prompts=[click_on(scene, clicked), drag_around(scene, framed)])

    assert [sorted(types) for types in seen["suggestions"]] == 2 * [["brushregion", "rectangleregion"]]
    boxes = []
    answers = [call.response["results"][0] for call in backend.of("/predict") if call.request["params"]["context"]]
    for thing, answer in zip((clicked, framed), answers, strict=True):
        assert not problems_of(answer, printed)
        ((label, *box),) = labelled_boxes(answer["result"])
        assert label == thing.label and labelled_masks(answer["result"]) == [thing.label]
        (mask,) = [region for region in answer["result"] if region["type"] == "brush"]
        assert scene_files.iou(scene_files.mask_of({**mask, "type": "brushlabels"}), thing.mask) >= 0.6
        boxes.append((label, *box))
    (annotation,) = project.studio.call("GET", f"/api/tasks/{task}")["annotations"]
    assert annotation["id"] == seen["annotation"]
    submitted = labelled_boxes(annotation["result"])
    assert submitted == [(label, *map(lambda side: pytest.approx(side, abs=1), box)) for label, *box in sorted(boxes)]
    check_exports(project, labels, submitted)
    check_masks(project, [clicked.label, framed.label])


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
def test_one_list_of_labels_lies_beside_the_image(  # noqa: F811
        page, make_project, printed, labels, picture_scene, tmp_path, find):
    """With ten classes and with COCO's eighty, in a window of a small laptop."""
    project = make_project((ROOT / "tests/data/label_studio/generated_coco80.xml").read_text() if find else printed)
    (task,) = project.upload([picture_scene.file])
    project.retrieve_predictions()
    window = {"width": 1280, "height": 720}

    seen = page("layout.mjs", project, task, viewport=window, pixels=PIXELS, find=find)

    column, image = seen["column"], seen["image"]
    assert seen["lists"] == 1
    assert column["x"] + column["width"] <= image["x"] and image["width"] >= 400
    assert column["y"] + column["height"] <= window["height"]
    assert abs(column["y"] - image["y"]) < 20
    assert seen["hotkey"] == ("person" if find else labels[0])
    assert seen.get("found") == find
    if pictures.updating() and not find:
        # Without the window's head and the list of tasks.
        shown = Image.open(tmp_path / "page.png").crop([PIXELS * edge for edge in (240, 48, window["width"], window["height"])])
        pictures.save(shown, "labelling_page", colours=128)
    assert "pictures/labelling_page.png" in (ROOT / "README.md").read_text()
