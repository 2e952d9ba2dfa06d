"""An annotator's work with the mouse, in a real browser: prompts become regions, annotations and an export; and the
pictures of docs/label_studio.md, which show what is emitted."""

import io
import json
import subprocess
import zipfile

import numpy
import pytest
from PIL import Image, ImageDraw

import pictures
import scenes as scene_files
from duet_command import ROOT
from label_configs import COLOURS, config
from label_studio import data_uri
from test_browser import BROWSER, changed, playwright, scaled  # noqa: F401 (a fixture)
from test_interactive import inside

SMART = ("KeyPointLabels", "RectangleLabels")


@pytest.fixture
def page(playwright, duet, studio, tmp_path):  # noqa: F811
    """Runs a script of browser/ on a task; returns what it prints."""

    def run(script, project, task, **specification):
        file = tmp_path / "specification.json"
        file.write_text(json.dumps({
            "url": studio.url, "email": "duet@example.com",
            "password": (duet.state / "label-studio" / "password").read_text(),
            "project": project.id, "task": task, "folder": str(tmp_path), **specification}))
        result = subprocess.run(["node", BROWSER / script, file], capture_output=True, text=True, timeout=240,
                                stdin=subprocess.DEVNULL)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    return run


def percent(scene, x, y):
    return {"x": 100 * x / scene.width, "y": 100 * y / scene.height}


def click_on(scene, thing):
    x, y = inside(thing.mask)
    return {**percent(scene, x + 0.5, y + 0.5), "label": thing.label}


def drag_around(scene, thing):
    x_min, y_min, x_max, y_max = thing.box
    return {**percent(scene, x_min, y_min), "to": percent(scene, x_max, y_max), "label": thing.label}


def coco_mask(exported, width, height):
    """All polygons of an export as one mask, and the names of their categories."""
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    names = {category["id"]: category["name"] for category in exported["categories"]}
    used = set()
    for annotation in exported["annotations"]:
        used.add(names[annotation["category_id"]])
        for ring in annotation["segmentation"]:
            if len(ring) >= 6:
                draw.polygon(ring, fill=1, outline=1)
    return numpy.asarray(canvas), used


@pytest.mark.parametrize("prompt", [click_on, drag_around])
def test_a_prompt_drawn_with_the_mouse_is_accepted_submitted_and_exported_with_its_mask(
        page, make_project, backend, scenes, labels, prompt):
    scene = scenes[0]
    thing = scene.largest()
    # No detection is this sure: the page opens without regions that the mouse might take hold of.
    project = make_project(config(labels, "BrushLabels", smart=SMART), extra_params={"score_threshold": 1.0})
    (task,) = project.upload([scene.file])

    seen = page("annotate.mjs", project, task, prompts=[prompt(scene, thing)])

    assert seen["suggestions"] == [seen["regions"]] == [["brushregion"]]
    (answer,) = [call for call in backend.of("/predict") if call.request["params"]["context"]]
    (suggested,) = answer.response["results"][0]["result"]
    (annotation,) = project.studio.call("GET", f"/api/tasks/{task}")["annotations"]
    assert annotation["id"] == seen["annotation"]
    (region,) = annotation["result"]
    assert (region["type"], scene_files.label_of(region)) == ("brushlabels", thing.label)
    # The editor draws the mask and reads it back from its canvas, whose rim is blended.
    mask = scene_files.mask_of(suggested)
    assert scene_files.iou(scene_files.mask_of(region), mask) >= 0.98
    with zipfile.ZipFile(io.BytesIO(project.export("BRUSH_TO_COCO"))) as archive:
        exported = json.loads(archive.read("result_coco.json"))
    drawn, categories = coco_mask(exported, scene.width, scene.height)
    assert categories == {thing.label}
    # Polygons run through pixel centres and leave out holes and single pixels.
    assert scene_files.iou(drawn, mask) >= 0.9


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_in_a_turned_view_the_region_lies_where_the_person_clicked(page, make_project, backend, scenes, labels,
                                                                    tmp_path, turns):
    scene = scenes[0]
    thing = scene.largest()
    project = make_project(config(labels, "BrushLabels", smart=SMART), extra_params={"score_threshold": 1.0})
    (task,) = project.upload([scene.file])
    upright = click_on(scene, thing)
    x, y = upright["x"], upright["y"]
    for _ in range(turns):
        x, y = 100 - y, x

    seen = page("annotate.mjs", project, task, prompts=[{"x": x, "y": y, "label": thing.label}], turns=turns)

    (call,) = [call for call in backend.of("/predict") if call.request["params"]["context"]]
    (prompted,) = call.request["params"]["context"]["result"]
    assert prompted["image_rotation"] == 90 * turns
    # Label Studio 1.23 shows a turned image up to 2 % larger than the frame that it cuts it off at.
    assert prompted["value"]["x"] == pytest.approx(upright["x"], abs=2.5)
    assert prompted["value"]["y"] == pytest.approx(upright["y"], abs=2.5)
    (suggested,) = call.response["results"][0]["result"]
    assert suggested["image_rotation"] == 90 * turns
    mask = scene_files.mask_of(suggested)
    assert scene_files.iou(mask, thing.mask) >= 0.7
    # On the screen: clockwise, as numpy turns the other way round.
    drawn = changed(tmp_path / "bare.png", tmp_path / "drawn.png")
    shown = scaled(numpy.rot90(mask, -turns), drawn)
    assert (drawn & shown).sum() >= 0.8 * shown.sum()
    assert shown[int(y / 100 * shown.shape[0]), int(x / 100 * shown.shape[1])], "not where the mouse was"
    (annotation,) = project.studio.call("GET", f"/api/tasks/{task}")["annotations"]
    assert annotation["id"] == seen["annotation"]
    (region,) = annotation["result"]
    assert region["image_rotation"] == 90 * turns
    assert scene_files.iou(scene_files.mask_of(region), mask) >= 0.98


# Picture: (controls, prompt, kinds of region shown).
RULES = {
    "rectangles_and_brushes": (("RectangleLabels", "BrushLabels"), None, {"rectangleregion", "brushregion"}),
    "rectangles_and_polygons": (("RectangleLabels", "PolygonLabels"), None, {"rectangleregion", "polygonregion"}),
    "ellipses_and_keypoints": (("EllipseLabels", "KeyPointLabels"), None, {"ellipseregion", "keypointregion"}),
    "smart_click": (("BrushLabels",), click_on, {"brushregion"}),
}


@pytest.mark.parametrize("name", RULES)
def test_what_is_emitted_is_drawn_as_the_documentation_shows_it(page, make_project, labels, picture_scene, tmp_path, name):
    controls, prompt, kinds = RULES[name]
    scene = picture_scene
    extra = {"extra_params": {"score_threshold": 1.0}} if prompt else {}
    project = make_project(config(labels, *controls, smart=SMART, colours=COLOURS), **extra)
    (task,) = project.upload([scene.file])

    options = {"prompt": prompt(scene, scene.largest())} if prompt else {}
    seen = page("show.mjs", project, task, pixels=2, **options)

    assert set(seen["regions"]) == kinds
    drawn, bare = (Image.open(tmp_path / f"{each}.png").convert("RGB") for each in ("drawn", "bare"))
    difference = numpy.abs(numpy.asarray(drawn, dtype=int) - numpy.asarray(bare, dtype=int)).max(axis=2) > 8
    assert difference.mean() > 0.001, "nothing was drawn"
    if pictures.updating():
        drawn.thumbnail((800, 800), Image.LANCZOS)
        pictures.save(drawn, name, colours=64)
    file = pictures.PICTURES / f"{name}.png"
    assert file.stat().st_size < 150_000
    assert f"pictures/{file.name}" in (ROOT / "docs/label_studio.md").read_text()


SERIALISED = {
    "aliases": '<Image name="image" value="$image"/><RectangleLabels name="r" toName="image">ALIASED</RectangleLabels>',
    "groups": '<Image name="image" value="$image"/><Labels name="state" toName="image"><Label value="new"/></Labels>'
              '<Labels name="what" toName="image">ALIASED</Labels><Rectangle name="r" toName="image"/>'
              '<Brush name="b" toName="image"/>',
    "bare": '<Image name="image" value="$image"/><Rectangle name="r" toName="image"/>',
    "objects of the task": '<Image name="image" value="$image"/><RectangleLabels name="r" toName="image" value="$objects"/>',
    "texts of the task": '<Image name="image" value="$image"/><RectangleLabels name="r" toName="image" value="$texts"/>',
    "repeater": '<Repeater on="$pages" indexFlag="{{idx}}"><Image name="i_{{idx}}" value="$pages[{{idx}}]"/>'
                '<RectangleLabels name="r_{{idx}}" toName="i_{{idx}}">ALIASED</RectangleLabels></Repeater>',
}


@pytest.mark.parametrize("name", SERIALISED)
def test_the_editor_writes_back_what_duet_wrote(page, make_project, scenes, labels, name):
    """The last judge of from_name, to_name, type and labels: the editor's own serialisation of a prediction."""
    aliased = "".join(f'<Label value="{label}" alias="a {label}"/>' for label in labels)
    project = make_project(f"<View>{SERIALISED[name].replace('ALIASED', aliased)}</View>")
    image = data_uri(scenes[0].file)
    (task,) = project.import_tasks([{
        "image": image, "pages": [image, data_uri(scenes[1].file)], "texts": labels,
        "objects": [{"value": f"the {label}", "alias": label} for label in labels]}])
    project.retrieve_predictions()
    ((prediction,),) = project.predictions().values()

    ids = {region["id"] for region in prediction["result"]}
    seen = page("resubmit.mjs", project, task, regions=len(ids))

    (annotation,) = project.studio.call("GET", f"/api/tasks/{task}")["annotations"]
    assert annotation["id"] == seen["annotation"]
    assert places_of(annotation["result"]) == places_of(prediction["result"])
    assert len(ids) > 1
    if name == "bare":
        assert seen["shown"] == [[]] * len(ids)
    elif name != "texts of the task":  # the editor keeps them in regions, but has no buttons for them
        assert all(seen["shown"])


def places_of(result):
    """Of each region: where it is and what it is called, in whatever order."""
    return sorted((region["id"], region["from_name"], region["to_name"], region["type"], region.get("item_index"),
                   *region["value"].get(region["type"], [])) for region in result)
