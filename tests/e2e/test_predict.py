"""`duet predict`: pictures of the demo, as a list, as JSON and drawn, by services that run and by ones of its own."""

import json
import os
import re
import subprocess

import numpy
import pytest
import requests
from PIL import Image
from pycocotools import mask as coco_mask

from conftest import DETECTOR, SEGMENTER, free_ports
from duet_command import ROOT
from service import Service, wait_until

SCENES = ROOT / "tests/data/scenes"
SCENE = SCENES / "scene_3.jpg"
OWN = [f"--detector_checkpoint={DETECTOR}", f"--segmenter_checkpoint={SEGMENTER}",
       f"--kernel_plan={ROOT / 'build/release/kernel_plan'}"]


@pytest.fixture(scope="module")
def named():
    started = [Service("duet-detector", f"--checkpoint={DETECTOR}", "--port=0", "--metrics_port=0"),
               Service("duet-segmenter", f"--checkpoint={SEGMENTER}", "--port=0", "--metrics_port=0")]
    yield [f"--{service}=127.0.0.1:{process.ready()}" for service, process in zip(("detector", "segmenter"), started)]
    for process in started:
        process.kill()


@pytest.fixture
def predict(tmp_path):
    """Runs the command in a folder of its own; returns its exit code, stdout and stderr."""
    def run(*arguments):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DUET_")}
        ran = subprocess.run([ROOT / "build/release/bin/duet", "predict", *map(str, arguments)], capture_output=True, text=True,
                             cwd=tmp_path, env=environment, timeout=120)
        return ran.returncode, ran.stdout, ran.stderr
    return run


def truth_of(scene):
    """The objects of a scene, by their names, with their boxes' corners."""
    coco = json.loads((SCENES / "coco.json").read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    image = next(image["id"] for image in coco["images"] if image["file_name"] == scene.name)
    return [(names[one["category_id"]], [one["bbox"][0], one["bbox"][1], one["bbox"][0] + one["bbox"][2],
                                         one["bbox"][1] + one["bbox"][3]])
            for one in coco["annotations"] if one["image_id"] == image]


def overlap(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def assert_is_the_scene(image, scene):
    truth = truth_of(scene)
    assert sorted(one["label"] for one in image["objects"]) == sorted(name for name, _ in truth)
    for one in image["objects"]:
        assert max(overlap(one["box"], box) for name, box in truth if name == one["label"]) > 0.8
        mask = coco_mask.decode({"size": one["mask"]["size"], "counts": one["mask"]["counts"].encode()})
        assert mask.shape == (image["height"], image["width"])
        assert mask.sum() == one["area"] > 0
        rows, columns = numpy.nonzero(mask)
        around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert overlap(around, one["box"]) > 0.7, "a mask lies in its box"


def test_services_of_its_own_find_what_is_in_a_scene(predict, tmp_path):
    before = set(tmp_path.parent.iterdir())

    code, out, err = predict(SCENE, "-o", "found.json", *OWN)

    assert (code, err) == (0, "")
    assert_is_the_scene(json.loads((tmp_path / "found.json").read_text())["images"][0], SCENE)
    assert [line.split()[1] for line in out.splitlines()[1:]] == [
        one["label"] for one in json.loads((tmp_path / "found.json").read_text())["images"][0]["objects"]]
    assert set(tmp_path.parent.iterdir()) == before and [*tmp_path.iterdir()] == [tmp_path / "found.json"]


def test_it_is_drawn_in_the_colours_of_the_label_config(predict, named, tmp_path):
    scene = SCENES / "scene_1.jpg"

    code, out, err = predict("-o", "drawn.png", scene, *named)

    assert (code, err) == (0, "")
    before, drawn = numpy.asarray(Image.open(scene).convert("RGB")), numpy.asarray(Image.open(tmp_path / "drawn.png"))
    assert drawn.shape == before.shape
    colours = colours_of_the_label_config(named)
    pixels = {tuple(pixel) for pixel in drawn.reshape(-1, 3).tolist()}
    for name, _ in truth_of(scene):
        assert colours[name] in pixels, name
    assert "\x1b" not in out, "colours are for terminals"


def colours_of_the_label_config(named):
    gateway = Service("duet-gateway", "--port=0", *named)
    try:
        url = f"http://127.0.0.1:{gateway.ready()}/label-config"
        wait_until(lambda: requests.get(url, timeout=60).ok)
        text = requests.get(url, timeout=60).text
    finally:
        gateway.kill()
    found = re.findall(r'value="([^"]*)" background="#(\w\w)(\w\w)(\w\w)"', text)
    return {name: tuple(int(part, 16) for part in parts) for name, *parts in found}


def test_several_go_into_a_folder_and_as_lines_of_json(predict, named, tmp_path):
    (tmp_path / "drawn").mkdir()
    scenes = [SCENES / f"scene_{number}.jpg" for number in (1, 2, 3)]

    code, out, err = predict(*scenes, "-o", "drawn", "--json", *named)

    assert (code, err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["scene_1.png", "scene_2.png", "scene_3.png"]
    images = [json.loads(line) for line in out.splitlines()]
    assert [image["image"] for image in images] == [str(scene) for scene in scenes]
    assert_is_the_scene(images[2], SCENE)


def test_without_masks_there_are_boxes_alone(predict, named):
    code, out, _ = predict(SCENE, "--json", "--nomasks", *named)

    objects = json.loads(out)["objects"]
    assert code == 0 and objects and not any("mask" in one for one in objects)
    code, _, err = predict(SCENE, "--nomasks", named[0])
    assert (code, err) == (0, "")
    code, _, err = predict(SCENE, named[0])
    assert code == 0 and err.startswith("no segmenter is named, so there are no masks") and len(err.splitlines()) == 1


def test_bad_pictures_cost_a_sentence_each_and_the_others_are_done(predict, named, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture\n")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "folder").mkdir()

    code, out, err = predict("notes.txt", "cut.png", "folder", "missing.jpg", SCENE, *named)

    assert code == 1
    assert out.startswith(f"{SCENE}: ")
    *sentences, last = err.splitlines()
    assert [sentence.split(":")[0] for sentence in sentences] == ["notes.txt", "cut.png", "folder", "missing.jpg"]
    assert last == "duet predict: 4 of 5 pictures failed"


def test_of_a_picture_that_is_cut_off_there_is_what_it_has_and_a_sentence(predict, named, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(SCENE.read_bytes()[:2000])

    code, out, err = predict("cut.jpg", *named)

    assert code == 0 and out.startswith("cut.jpg: 320 x 240 pixels")
    assert err.startswith("cut.jpg: ") and len(err.splitlines()) == 1


@pytest.mark.parametrize("arguments, sentence", [
    ([], "no picture; needed: duet predict PICTURE"),
    (["missing.jpg"], "missing.jpg: there is no such file"),
    ([SCENE, "-o", "drawn.gif"], "--out=drawn.gif: needed: a name that ends in .png, .jpg or .json, or a folder"),
    ([SCENE, SCENE, "-o", "drawn.png"], "--out=drawn.png for 2 pictures; needed: a folder"),
    ([SCENE, "-o", "nowhere/"], "--out=nowhere/: there is no such folder"),
    ([SCENE, "-o", "nowhere/x.json"], "--out=nowhere/x.json: there is no such folder, nowhere"),
    ([SCENE, "-o", SCENE], "the drawing would replace the picture"),
    ([SCENE, "--score_threshold=2"], "--score_threshold=2: must be from 0 to 1"),
])
def test_what_cannot_be_done_is_one_sentence(predict, named, arguments, sentence):
    code, out, err = predict(*arguments, *named)

    assert (code, out) == (2, "")
    assert sentence in err and len(err.splitlines()) == 1


def test_services_that_are_away_or_missing_are_one_sentence(predict):
    port = free_ports(1)[0]

    assert "the detector doesn't answer" in predict(SCENE, f"--detector=127.0.0.1:{port}")[2]
    assert "no detector is named; needed: --detector=host:port" in predict(SCENE)[2]
    code, _, err = predict(SCENE, f"--detector_checkpoint={SCENE}")
    assert code == 2 and err.startswith(f"duet predict: the detector: {SCENE}") and len(err.splitlines()) == 1
    assert predict(SCENE, "-o")[2] == "duet predict: --out needs a value\n"
