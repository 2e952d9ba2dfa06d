"""What `duet export`, `duet import` and `duet revision` write and read, judged by pycocotools and by label-studio-sdk's
converter.

Where the converter differs, the difference is a fault of it (label-studio-sdk 2.1.2), and a test below that shows it:
  - a turned rectangle in an image that isn't square gets a wrong box: it turns percentages
  - a brush mask is missing in COCO
  - of several labels only the first is in COCO
  - every annotation of a task is written, as an image of its own
  - an ellipse without other regions is missing
"""

import contextlib
import io
import json
import math
import os
import re
import shutil
import subprocess

import numpy
import pytest
from label_studio_sdk.converter import Converter, brush
from label_studio_sdk.label_interface import LabelInterface
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from duet_command import ROOT

CONFIG = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image"><Label value="Cat" alias="cat"/><Label value="dog"/></RectangleLabels>
<PolygonLabels name="polygon" toName="image"><Label value="dog"/></PolygonLabels>
<EllipseLabels name="ellipse" toName="image"><Label value="dog"/></EllipseLabels>
<BrushLabels name="brush" toName="image"><Label value="cat"/><Label value="dog"/></BrushLabels></View>"""
WIDTH, HEIGHT = 64, 40


def duet_run(*arguments, cwd=None):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DUET_")}
    return subprocess.run([ROOT / "build/release/bin/duet", *map(str, arguments)], capture_output=True, text=True,
                          env=environment, timeout=120, cwd=cwd)


def duet(*arguments):
    ran = duet_run(*arguments)
    assert ran.returncode == 0, ran.stderr
    return ran.stderr


def refused(*arguments, code=2):
    """What it says."""
    ran = duet_run(*arguments)
    assert ran.returncode == code and not ran.stdout
    return ran.stderr


def quiet(function, *arguments):
    """pycocotools prints its progress."""
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*arguments)


def region(control, kind, value, name="r", labels=("dog",)):
    return {"id": name, "from_name": control, "to_name": "image", "type": f"{kind}labels", "original_width": WIDTH,
            "original_height": HEIGHT, "image_rotation": 0, "value": {**value, f"{kind}labels": list(labels)}}


def rectangle(x, y, width, height, rotation=0, **more):
    return region("box", "rectangle", dict(x=x, y=y, width=width, height=height, rotation=rotation), **more)


def task(number, *results, **annotation):
    return {"id": number, "data": {"image": f"/data/upload/1/{number}.jpg"}, "predictions": [
        {"result": [rectangle(1, 1, 2, 2)]}], "annotations": [
            {"id": number, "created_at": "2026-01-01T00:00:00Z", "was_cancelled": False, "result": list(results), **annotation}]}


class Export:
    """Tasks, as `duet export` and the converter write them."""

    def __init__(self, tmp_path, tasks):
        self.folder, self.data = tmp_path, tmp_path / "export.json"
        self.config = tmp_path / "config.xml"
        self.data.write_text(json.dumps(tasks))
        self.config.write_text(CONFIG)

    def ours(self, *flags):
        self.findings = duet("export", f"--data={self.data}", f"--label_config={self.config}",
                             f"--out={self.folder / 'ours'}", *flags)
        return quiet(COCO, str(self.folder / "ours/annotations.json"))

    def convert(self, kind):
        out = self.folder / kind.lower()
        Converter(CONFIG, str(self.folder), download_resources=False).convert(str(self.data), str(out), kind, is_dir=False)
        return out

    def theirs(self):
        return json.loads((self.convert("COCO") / "result.json").read_text())


def entries(coco):
    """(class, box) of each annotation, by their order."""
    names = {category["id"]: category["name"] for category in coco["categories"]}
    return [(names[one["category_id"]], one["bbox"]) for one in coco["annotations"]]


def same(ours, theirs):
    assert [name for name, _ in ours] == [name for name, _ in theirs]
    for (_, mine), (_, other) in zip(ours, theirs):
        assert mine == pytest.approx(other, abs=1e-4)


@pytest.fixture
def export(tmp_path):
    return lambda *tasks: Export(tmp_path, tasks)


def test_boxes_and_polygons_are_the_converters(export):
    polygon = region("polygon", "polygon", {"points": [[10.5, 12], [60, 20], [55.3, 80], [20, 70]], "closed": True}, "p")
    made = export(task(1, rectangle(10, 20, 30.5, 40, labels=["cat"]), rectangle(50, 10, 20, 33.3, name="s"), polygon),
                  task(2, rectangle(0, 0, 100, 100)))
    theirs = made.theirs()
    ours = made.ours()
    same(entries(ours.dataset), entries(theirs))
    assert {one["name"] for one in ours.dataset["categories"]} == {one["name"] for one in theirs["categories"]} == {"cat", "dog"}
    # The pixels of their polygon.
    mine, other = ours.dataset["annotations"][2], theirs["annotations"][2]
    code = coco_mask.merge(coco_mask.frPyObjects(other["segmentation"], HEIGHT, WIDTH))
    assert (ours.annToMask(mine) == coco_mask.decode(code)).all()
    assert not made.findings


def test_boxes_are_the_converters_yolo(export):
    made = export(task(1, rectangle(10, 20, 30.5, 40, labels=["cat", "dog"]), rectangle(50, 10, 20, 33.3, name="s")))
    folder = made.convert("YOLO")
    names = (folder / "classes.txt").read_text().split()
    lines = [line.split() for line in (folder / "labels/1.txt").read_text().splitlines()]
    expected = []
    for index, *numbers in lines:
        x, y, width, height = map(float, numbers)
        expected.append((names[int(index)], [(x - width / 2) * WIDTH, (y - height / 2) * HEIGHT, width * WIDTH, height * HEIGHT]))
    same(entries(made.ours().dataset), expected)


def test_turned_rectangles_are_the_converters_obb(export):
    made = export(task(1, rectangle(50, 20, 30, 25, rotation=35)))
    (line,) = (made.convert("YOLO_OBB") / "labels/1.txt").read_text().splitlines()
    corners = numpy.array(list(map(float, line.split()[1:]))).reshape(4, 2) * [WIDTH, HEIGHT]
    (mine,) = made.ours().dataset["annotations"]
    assert numpy.array(mine["segmentation"]).reshape(4, 2) == pytest.approx(corners, abs=1e-3)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    assert mine["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=1e-3)
    # Their COCO turns percentages, which fits square images only.
    (theirs,) = made.theirs()["annotations"]
    assert theirs["bbox"] != pytest.approx(mine["bbox"], abs=0.5)


def test_what_the_converters_coco_leaves_out_is_there(export):
    pixels = numpy.zeros((HEIGHT, WIDTH), numpy.uint8)
    pixels[5:20, 10:30] = 255
    stroke = region("brush", "brush", {"format": "rle", "rle": brush.mask2rle(pixels)}, "b", ["cat"])
    ellipse = region("ellipse", "ellipse", dict(x=60, y=50, radiusX=20, radiusY=10, rotation=30), "e")
    both = rectangle(10, 10, 20, 20, name="s", labels=["cat", "dog"])
    older = {"id": 9, "created_at": "2025-01-01T00:00:00Z", "result": [rectangle(1, 1, 5, 5)]}
    tasks = [task(1, rectangle(15.625, 12.5, 31.25, 37.5, labels=["cat"]), stroke, ellipse), task(2, both)]
    tasks[0]["annotations"].append(older)
    made = export(*tasks)
    ours = made.ours()
    boxed, round_one, cat, dog = ours.dataset["annotations"]
    assert (ours.annToMask(boxed) == pixels // 255).all()
    assert boxed["bbox"] == pytest.approx([10, 5, 20, 15])  # a box and a mask of one thing
    assert round_one["area"] == pytest.approx(math.pi * 0.2 * WIDTH * 0.1 * HEIGHT, rel=0.1)
    assert cat["bbox"] == dog["bbox"] and cat["category_id"] != dog["category_id"]
    assert len(ours.dataset["images"]) == 2
    theirs = made.theirs()
    assert not any(one["segmentation"] for one in theirs["annotations"])
    assert len(theirs["images"]) == 3
    assert [one["image_id"] for one in theirs["annotations"]].count(2) == 1


def test_json_min_of_the_converter_is_the_same_data(export, tmp_path):
    polygon = region("polygon", "polygon", {"points": [[10, 12], [60, 20], [55, 80]], "closed": True}, "p")
    made = export(task(1, rectangle(10, 20, 30, 40, labels=["cat"]), polygon), task(2, rectangle(1, 2, 30, 40, 20)))
    expected = made.ours().dataset
    made.data = made.convert("JSON_MIN") / "result.json"
    assert made.ours().dataset["annotations"] == expected["annotations"]


def coco_file(tmp_path, seed=5):
    """Random objects in each form that COCO has for masks, and a crowd."""
    random = numpy.random.default_rng(seed)
    coco = {"images": [], "annotations": [], "categories": [{"id": 90, "name": "dog"}, {"id": 8, "name": "cat"}]}
    for image in range(6):
        height, width = map(int, random.integers(20, 200, 2))
        coco["images"].append({"id": image + 10, "file_name": f"{image} a.jpg", "width": width, "height": height})
        for kind in ["box", "polygon", "parts", "rle", "runs"] + ["crowd"] * (image == 0):
            x, y = random.uniform(0, [width * 0.6, height * 0.6])
            w, h = random.uniform(4, [width - x, height - y])
            one = {"id": len(coco["annotations"]) + 1, "image_id": image + 10, "category_id": int(random.choice([8, 90])),
                   "bbox": [x, y, w, h], "area": w * h, "iscrowd": int(kind == "crowd"), "segmentation": []}
            polygons = [[x, y, x + w, y + h / 3, x + w / 2, y + h]]
            if kind == "parts":
                polygons.append([x, y + h / 2, x + w / 3, y + h / 2, x + w / 4, y + h])
            code = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
            if kind != "box":
                one["area"] = float(coco_mask.area(code))
                one["bbox"] = list(map(float, coco_mask.toBbox(code)))
                one["segmentation"] = polygons
            if kind == "rle":
                one["segmentation"] = {"size": [height, width], "counts": code["counts"].decode()}
            if kind in ("runs", "crowd"):
                flat = numpy.concatenate([[0], coco_mask.decode(code).T.flatten(), [2]])
                runs = numpy.diff(numpy.concatenate([[0], numpy.flatnonzero(numpy.diff(flat)) ]))
                one["segmentation"] = {"size": [height, width], "counts": runs.tolist()}
            coco["annotations"].append(one)
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(coco))
    return path


def average_precision(truth, detections, kind):
    """COCO's own."""
    evaluation = quiet(COCOeval, truth, quiet(truth.loadRes, detections), kind)
    for step in (evaluation.evaluate, evaluation.accumulate, evaluation.summarize):
        quiet(step)
    return evaluation.stats[0]


def test_coco_through_label_studio_is_the_same_coco(tmp_path):
    source = coco_file(tmp_path)
    said = duet("import", f"--data={source}", f"--out={tmp_path / 'in'}")
    assert "1 crowds" in said
    duet("export", f"--data={tmp_path / 'in/tasks.json'}", f"--label_config={tmp_path / 'in/label_config.xml'}",
         f"--out={tmp_path / 'out'}")
    truth, read = quiet(COCO, str(source)), quiet(COCO, str(tmp_path / "out/annotations.json"))
    expected = [one for one in truth.dataset["annotations"] if not one["iscrowd"]]
    names = [{one["id"]: one["name"] for one in coco.dataset["categories"]} for coco in (truth, read)]
    files = [{one["id"]: one["file_name"] for one in coco.dataset["images"]} for coco in (truth, read)]
    assert [one["name"] for one in read.dataset["categories"]] == ["cat", "dog"]
    assert len(read.dataset["annotations"]) == len(expected)
    for mine, other in zip(read.dataset["annotations"], expected):
        assert names[1][mine["category_id"]] == names[0][other["category_id"]]
        assert files[1][mine["image_id"]] == files[0][other["image_id"]]
        assert mine["bbox"] == pytest.approx(other["bbox"], abs=1e-4)
        assert mine["area"] == pytest.approx(other["area"], rel=1e-4)
        if other["segmentation"]:
            assert (read.annToMask(mine) == truth.annToMask(other)).all()
    # As detections that are all sure, they find everything, and nothing else.
    for kind, judged in [("bbox", lambda one: True), ("segm", lambda one: one["segmentation"])]:
        pairs = [pair for pair in zip(read.dataset["annotations"], expected) if judged(pair[1])]
        subset = COCO()
        subset.dataset = {**truth.dataset, "info": {}, "annotations": [other for _, other in pairs]}
        quiet(subset.createIndex)
        detections = [{"image_id": other["image_id"], "category_id": other["category_id"], "score": 1.0,
                       **({"bbox": mine["bbox"]} if kind == "bbox" else {"segmentation": read.annToRLE(mine)})}
                      for mine, other in pairs]
        assert average_precision(subset, detections, kind) == 1


def test_polygons_are_the_masks_without_holes(tmp_path):
    source = coco_file(tmp_path)
    duet("import", f"--data={source}", f"--out={tmp_path / 'in'}")
    written = []
    for masks in ("rle", "polygons"):
        duet("export", f"--data={tmp_path / 'in/tasks.json'}", f"--label_config={tmp_path / 'in/label_config.xml'}",
             f"--out={tmp_path / masks}", f"--masks={masks}")
        written.append(quiet(COCO, str(tmp_path / masks / "annotations.json")))
    for runs, polygons in zip(written[0].dataset["annotations"], written[1].dataset["annotations"]):
        if runs["segmentation"]:
            assert isinstance(polygons["segmentation"], list)
            assert (written[0].annToMask(runs) <= written[1].annToMask(polygons)).all()


@pytest.mark.parametrize("flags", [[], ["--predictions", "--model_version=v7"]])
def test_the_sdk_accepts_what_is_imported(tmp_path, flags):
    source = coco_file(tmp_path)
    duet("import", f"--data={source}", f"--out={tmp_path}", *flags)
    interface = LabelInterface((tmp_path / "label_config.xml").read_text())
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert len(tasks) == 6
    for one in tasks:
        interface.validate_task({"data": one["data"]})
        if flags:
            (prediction,) = one["predictions"]
            assert prediction["model_version"] == "v7"
            assert interface.validate_prediction(prediction, return_errors=True) == []
        else:
            (annotation,) = one["annotations"]
            assert interface.validate_annotation(annotation)


def test_images_are_copied_and_nothing_else(tmp_path):
    images = tmp_path / "media"
    (images / "1").mkdir(parents=True)
    scene = (ROOT / "tests/data/scenes/scene_0.jpg").read_bytes()
    (images / "1/one.jpg").write_bytes(scene)
    (tmp_path / "secret.jpg").write_bytes(scene)
    tasks = []
    for number, image in enumerate(["/data/upload/1/one.jpg", "/data/upload/../secret.jpg", "/data/upload/1/none.jpg"]):
        made = task(number + 1)
        made["data"]["image"] = image
        tasks.append(made)
    export = Export(tmp_path, tasks)
    ours = export.ours(f"--images={images}")
    assert [one["file_name"] for one in ours.dataset["images"]] == ["images/one.jpg"]
    assert (tmp_path / "ours/images/one.jpg").read_bytes() == scene
    assert "2 images that can't be found, left out; the first: '/data/upload/../secret.jpg' of task 2" in export.findings


def sides(folder, revision):
    """Which images are on which side, by their hashes."""
    manifest = json.loads((folder / "revisions" / revision / "manifest.json").read_text())
    return {one["image_sha256"]: one["side"] for one in manifest["samples"]}


def revision_of(printed):
    return re.match("revision ([0-9a-f]{16})", printed).group(1)


def test_a_revision_is_a_frozen_split_of_what_can_be_used(tmp_path):
    scenes = ROOT / "tests/data/scenes"
    images = tmp_path / "media"
    images.mkdir()
    coco = {"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}], "images": [], "annotations": []}
    for number in range(12):
        # JPEG ignores what follows its end: so many files that are different and show three scenes.
        size = json.loads((scenes / f"scene_{number % 3}.json").read_text())
        (images / f"{number}.jpg").write_bytes((scenes / f"scene_{number % 3}.jpg").read_bytes() + bytes([number]))
        coco["images"].append(dict(id=number, file_name=f"{number}.jpg", width=size["width"], height=size["height"]))
        coco["annotations"].append(dict(id=number, image_id=number, category_id=1 + number % 2, bbox=[1, 2, 30, 40],
                                        area=1200, iscrowd=0))
    whole = (images / "3.jpg").read_bytes()
    (images / "3.jpg").write_bytes(whole[:len(whole) // 2])
    coco["images"][4]["width"] += 1
    data, out = tmp_path / "coco.json", tmp_path / "out"
    data.write_text(json.dumps(coco))

    made = duet_run("revision", f"--data={data}", f"--images={images}", f"--out={out}")
    assert made.returncode == 0, made.stderr
    revision = revision_of(made.stdout)
    rows = {line[:15].strip(): line[15:].split() for line in made.stdout.splitlines()[2:]}
    assert rows == {"images": ["8", "2"], "without objects": ["0", "0"], "cat": ["4", "1"], "dog": ["4", "1"]}
    assert "1 damaged images, left out; the first: '3.jpg' of task 3: it is damaged" in made.stderr
    assert "1 images of another size than what was annotated, left out; the first: '4.jpg'" in made.stderr
    for side in "train", "validation":
        coco_side = quiet(COCO, str(out / "revisions" / revision / f"{side}.json"))
        assert len(coco_side.imgs) == int(rows["images"][side == "validation"])
        assert all((out / one["file_name"]).is_file() for one in coco_side.imgs.values())

    # The same data is the same revision; more data leaves sides as they are, also of the image that is mended.
    assert revision_of(duet_run("revision", f"--data={data}", f"--images={images}", f"--out={out}").stdout) == revision
    (images / "3.jpg").write_bytes(whole)
    more = duet_run("revision", f"--data={data}", f"--images={images}", f"--out={out}")
    later = sides(out, revision_of(more.stdout))
    assert len(later) == 11
    assert sides(out, revision).items() <= later.items()

    intact = duet_run("revision", f"--out={out}", f"--verify={revision}")
    assert intact.returncode == 0, intact.stderr
    assert intact.stdout.splitlines()[0] == f"revision {revision}: nothing has changed"
    assert intact.stdout.splitlines()[1:] == made.stdout.splitlines()[1:]
    told = json.loads(duet_run("revision", f"--out={out}", f"--verify={revision}", "--json").stdout)
    for column, side in enumerate(("train", "validation")):
        counts = told[side]
        assert [counts["images"], counts["without_objects"]] == [int(rows[name][column]) for name in ("images", "without objects")]
        assert counts["objects"] == {name: int(row[column]) for name, row in rows.items() if name not in ("images", "without objects")}
    assert told["revision"] == revision
    changed = next((out / "images").glob(next(iter(sides(out, revision))) + ".*"))
    changed.write_bytes(whole)
    damaged = duet_run("revision", f"--out={out}", f"--verify={revision}")
    assert damaged.returncode == 1
    assert f"{changed}: has changed since it was frozen" in damaged.stderr


def test_a_revision_of_label_studios_export(tmp_path):
    images = tmp_path / "upload/1"
    images.mkdir(parents=True)
    size = json.loads((ROOT / "tests/data/scenes/scene_0.json").read_text())
    tasks = []
    for number in range(3):
        (images / f"{number}.jpg").write_bytes((ROOT / "tests/data/scenes/scene_0.jpg").read_bytes() + bytes([number]))
        made = task(number, *([rectangle(10, 10, 20, 20, labels=["Cat"])] if number else []))
        for result in made["annotations"][0]["result"]:
            result.update(original_width=size["width"], original_height=size["height"])
        tasks.append(made)
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    (tmp_path / "config.xml").write_text(CONFIG)
    made = duet_run("revision", f"--data={tmp_path / 'export.json'}", f"--label_config={tmp_path / 'config.xml'}",
                    f"--images={tmp_path / 'upload'}", f"--out={tmp_path / 'out'}", "--val_share=0.5")
    assert made.returncode == 0, made.stderr
    rows = {line[:15].strip(): line[15:].split() for line in made.stdout.splitlines()[2:]}
    # Half of one empty image is rounded up.
    assert rows == {"images": ["1", "2"], "without objects": ["0", "1"], "cat": ["1", "1"], "dog": ["0", "0"]}


@pytest.mark.parametrize("code, flags, message", [
    (2, ["--data=DATA"], "a new revision needs --data=FILE and --images=DIR; one that is there --verify=ID"),
    (1, ["--data=DATA", "--images=nowhere"], "--images=nowhere: there is no such folder"),
    (1, ["--data=DATA", "--images=."], "none of 6 samples can be used: "),
    (1, ["--data=nowhere.json", "--images=."], "nowhere.json: "),
    (2, ["--data=DATA", "--images=.", "--classes=zebra"], "zebra"),
    (2, ["--data=DATA", "--images=.", "--val_share=1.5"], "--val_share=1.5: must be from 0 to 1"),
    (1, ["--verify=0123456789abcdef"], "manifest.json: "),
    (1, ["--verify=latest"], "'latest' is no revision's id: 16 hexadecimal digits"),
    (2, ["--verify=0123456789abcdef", "--data=DATA"], "--data and --images are for a new one"),
])
def test_what_a_revision_cannot_be_made_of(tmp_path, code, flags, message):
    data = coco_file(tmp_path)
    ran = duet_run("revision", f"--out={tmp_path / 'out'}", *[flag.replace("DATA", str(data)) for flag in flags], cwd=tmp_path)
    assert ran.returncode == code
    *_, last = ran.stderr.splitlines()
    assert last.startswith("duet revision: ")
    assert message in last


def test_an_archive_is_named_with_what_is_needed(export, tmp_path):
    """Label Studio's exports COCO and YOLO are zip archives."""
    made = export(task(1, rectangle(10, 20, 30, 40)))
    archive = shutil.make_archive(str(tmp_path / "project"), "zip", made.convert("COCO"))

    said = refused("export", f"--data={archive}", f"--out={tmp_path / 'out'}")
    assert archive in said and "zip archive" in said and "unpack it" in said and "JSON or JSON-MIN" in said
    said = refused("import", f"--data={archive}", f"--out={tmp_path / 'out'}")
    assert archive in said and "zip archive" in said and "unpack it" in said
    said = refused("export", f"--data={tmp_path / 'coco/result.json'}", f"--out={tmp_path / 'out'}")
    assert "JSON or JSON-MIN" in said and "looks like COCO's" in said


@pytest.mark.parametrize("command", ["export", "import", "revision"])
@pytest.mark.parametrize("classes, why", [("cat,dog,cat", "the name 'cat' twice"), ("cat,,dog", "an empty name"), ("cat,", "an empty name")])
def test_classes_are_named_once_each(tmp_path, command, classes, why):
    said = refused(command, f"--data={coco_file(tmp_path)}", f"--out={tmp_path / 'out'}", f"--classes={classes}")
    assert "--classes" in said and why in said
