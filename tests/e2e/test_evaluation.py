"""`duet-train evaluate --data`, judged by pycocotools' COCOeval."""

import json
import os
import subprocess
import sys

import pytest

import scenes
from duet_command import ROOT

sys.path.append(str(ROOT / "tools"))
import make_evaluation_fixtures as fixtures  # noqa: E402

STATS = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"]
# Both are sums of the same numbers in another order.
TOLERANCE = 1e-9


def evaluate(*arguments, code=0):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DUET_")}
    ran = subprocess.run([ROOT / "build/release/bin/duet-train", "evaluate", *map(str, arguments)], capture_output=True,
                         text=True, env=environment, timeout=300)
    assert ran.returncode == code, ran.stderr
    return ran.stderr if code else json.loads(ran.stdout)


def stats(scores):
    return [-1 if scores[name] is None else scores[name] for name in STATS]


def same(ours, theirs):
    assert stats(ours["all"]) == pytest.approx(theirs["all"], abs=TOLERANCE)
    assert len(ours["by_class"]) == len(theirs["by_class"])
    for mine, other in zip(ours["by_class"].values(), theirs["by_class"]):
        assert stats(mine) == pytest.approx(other, abs=TOLERANCE)


# Other seeds than those of the fixture that unit.trainer.scores reads.
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "floats"])
@pytest.mark.parametrize("seed", range(100, 110))
def test_scores_are_those_of_pycocotools(tmp_path, seed, whole):
    annotations, results = fixtures.make_case(seed, whole=whole)
    (tmp_path / "annotations.json").write_text(json.dumps(annotations))
    (tmp_path / "results.json").write_text(json.dumps(results))
    report = evaluate(f"--data={tmp_path / 'annotations.json'}", f"--detections={tmp_path / 'results.json'}")
    assert report["left_out"] == []
    same(report["boxes"], fixtures.judge(annotations, results, "bbox"))
    same(report["masks"], fixtures.judge(annotations, results, "segm"))


DETECTOR = ROOT / "models/demo/rtmdet-demo.pth"
SCENES = ROOT / "tests/data/scenes"


def coco_of_scenes(path, more_classes=()):
    """The scenes as COCO, with their classes in the order of the alphabet, which is not the model's."""
    drawn = scenes.load(SCENES)
    classes = sorted({thing.label for scene in drawn for thing in scene.objects} | set(more_classes))
    path.write_text(json.dumps({
        "images": [{"id": number, "file_name": scene.file.name, "width": scene.width, "height": scene.height}
                   for number, scene in enumerate(drawn)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes)],
        "annotations": [
            {"id": 100 * number + index + 1, "image_id": number, "category_id": classes.index(thing.label), "iscrowd": 0,
             "bbox": [thing.box[0], thing.box[1], thing.box[2] - thing.box[0], thing.box[3] - thing.box[1]]}
            for number, scene in enumerate(drawn) for index, thing in enumerate(scene.objects)]}))
    return path


def test_a_checkpoint_is_scored_by_the_names_of_its_classes(tmp_path):
    data = coco_of_scenes(tmp_path / "annotations.json", more_classes=["aardvark"])
    report = evaluate(f"--data={data}", f"--images={SCENES}", f"--checkpoint={DETECTOR}")
    assert report["images"] == 4
    assert report["boxes"]["all"]["ap50"] > 0.8  # of 0.95 on many scenes; 0 if classes are mixed up
    assert report["boxes"]["by_class"]["aardvark"]["ap"] is None
    assert report["best_f1"]["f1"] > 0.8
    assert "masks" not in report
    for worst in report["worst_images"]:
        assert (SCENES / worst["image"]).exists()


def test_label_studios_export_gives_the_same_scores_as_coco(tmp_path):
    coco = coco_of_scenes(tmp_path / "annotations.json")
    tasks = [{"id": number, "data": {"image": f"/data/upload/1/{scene.file.name}"}, "annotations": [
        {"id": number, "created_at": "2026-01-01T00:00:00Z", "was_cancelled": False, "result": [
            {"id": str(index), "from_name": "box", "to_name": "image", "type": "rectanglelabels",
             "original_width": scene.width, "original_height": scene.height, "value": {
                 "x": 100 * thing.box[0] / scene.width, "y": 100 * thing.box[1] / scene.height,
                 "width": 100 * (thing.box[2] - thing.box[0]) / scene.width,
                 "height": 100 * (thing.box[3] - thing.box[1]) / scene.height, "rectanglelabels": [thing.label]}}
            for index, thing in enumerate(scene.objects)]}]} for number, scene in enumerate(scenes.load(SCENES))]
    export = tmp_path / "export.json"
    export.write_text(json.dumps(tasks))

    reports = [evaluate(f"--data={data}", f"--images={SCENES}", f"--checkpoint={DETECTOR}") for data in (coco, export)]

    assert reports[0]["boxes"] == reports[1]["boxes"] and reports[0]["boxes"]["all"]["ap"] > 0.5


def test_what_cannot_be_scored_is_named(tmp_path):
    data = coco_of_scenes(tmp_path / "annotations.json")
    assert "either --checkpoint" in evaluate(f"--data={data}", code=1)
    assert "--images" in evaluate(f"--data={data}", f"--checkpoint={DETECTOR}", code=1)
    assert "scene_0.jpg" in evaluate(f"--data={data}", f"--checkpoint={DETECTOR}", f"--images={tmp_path}", code=1)
    assert "not COCO's results format" in evaluate(f"--data={data}", f"--detections={data}", code=1)
    data.write_text(json.dumps({**json.loads(data.read_text()), "categories": [{"id": 1, "name": "unicorn"}]}))
    said = evaluate(f"--data={data}", f"--checkpoint={DETECTOR}", f"--images={SCENES}", code=1)
    assert "none of its classes" in said and "unicorn" in said
