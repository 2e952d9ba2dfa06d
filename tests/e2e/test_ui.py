"""The gateway's own page, /ui, in a real browser: by mouse, by keyboard, and what comes of it."""

import base64
import io
import json
import shutil
import subprocess

import numpy
import pytest
import requests
from PIL import Image
from pycocotools import mask as coco_mask

from conftest import DETECTOR, SEGMENTER
from label_configs import config
from service import Service, wait_until
from test_browser import BROWSER, SCREENSHOTS
from test_interactive import inside


@pytest.fixture(scope="module")
def gateway():
    """The address of a gateway with both demo models."""
    started = []

    def start(name, *flags):
        started.append(Service(name, "--port=0", *flags))
        return started[-1].ready()

    try:
        detector = start("duet-detector", f"--checkpoint={DETECTOR}", "--metrics_port=0")
        segmenter = start("duet-segmenter", f"--checkpoint={SEGMENTER}", "--metrics_port=0")
        url = f"http://127.0.0.1:{start('duet-gateway', f'--detector=127.0.0.1:{detector}', f'--segmenter=127.0.0.1:{segmenter}')}"
        wait_until(lambda: requests.get(f"{url}/readyz", timeout=5).ok)
        yield url
    finally:
        for service in started:
            service.kill()


@pytest.fixture(scope="module")
def scene(scenes):
    """The one with the most room for a hand: two things at least."""
    return max((scene for scene in scenes if len(scene.objects) >= 2), key=lambda scene: scene.largest().mask.sum())


def thing_of(thing, scene, labels):
    x, y = inside(thing.mask)
    return {"x": int(x), "y": int(y), "r": int(numpy.sqrt(thing.mask.sum()) / 2), "size": [scene.width, scene.height],
            "key": str((labels.index(thing.label) + 1) % 10), "label": thing.label}


@pytest.fixture(scope="module")
def things(scene, labels):
    by_size = sorted(scene.objects, key=lambda thing: -thing.mask.sum())
    return [thing_of(thing, scene, labels) for thing in by_size[:2]]


@pytest.fixture(scope="module")
def seen(gateway, scene, things, labels, tmp_path_factory):
    assert shutil.which("npm"), "npm is missing; ./duet test installs it"
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=BROWSER, check=True, timeout=300,
                   stdin=subprocess.DEVNULL)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    # For "Is it well?": a project, and a task that fails.
    project, boxes = "7.1795395253", config(labels[:9] + ["cow"], "RectangleLabels")
    requests.post(f"{gateway}/setup", json={"project": project, "schema": boxes}, timeout=30).raise_for_status()
    requests.post(f"{gateway}/predict", timeout=30, json={
        "project": project, "label_config": boxes, "tasks": [{"id": 5, "data": {"image": "http://127.0.0.1:1/gone.jpg"}}]})
    return browse("try_it.mjs", gateway, scene, things, tmp_path_factory.mktemp("ui"))


def browse(script, gateway, scene, things, folder):
    """What a script of tests/e2e/browser has seen."""
    specification = folder / "specification.json"
    specification.write_text(json.dumps({"url": gateway, "folder": str(SCREENSHOTS), "picture": str(scene.file), "things": things}))
    result = subprocess.run(["node", BROWSER / script, specification], capture_output=True, text=True, timeout=400,
                            stdin=subprocess.DEVNULL)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def zoomed(seen, gateway, scene, things, tmp_path_factory):
    return browse("zoom.mjs", gateway, scene, things, tmp_path_factory.mktemp("zoom"))


def picture_of(url):
    return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def test_a_browser_that_asks_for_the_root_sees_a_page(seen):
    assert seen["address"].endswith("/ui/")


def test_the_page_is_small_and_comes_from_nowhere_else(seen, gateway):
    assert seen["load"]["bytes"] <= 100_000
    assert seen["load"]["hosts"] == [gateway.removeprefix("http://")]


def test_nothing_goes_wrong_unseen(seen):
    # What is no picture can't be decoded, which the browser itself doesn't log.
    assert seen["errors"] == []


def test_no_rule_of_accessibility_is_broken(seen):
    assert set(seen["axe"]) == {"welcome", "found", "marking", "welcome, dark and narrow", "keys", "marked, dark and narrow",
                                "written, wide", "written, narrow", "well, wide", "well, narrow", "reading, dark", "several, narrow",
                                "not told"}
    assert all(violations == [] for violations in seen["axe"].values()), seen["axe"]


def test_what_the_detector_finds_is_there_at_once_however_the_picture_comes(seen, scene):
    names = [name.rsplit(" ", 1)[0] for name in seen["found"]]
    assert set(names) & {thing.label for thing in scene.objects}
    assert seen["ways"]["drop"] == seen["ways"]["paste"] == seen["found"]
    assert seen["ways"]["sample"]


def test_the_mask_follows_the_pointer(seen, scene):
    shown = picture_of(seen["preview"])
    mask = numpy.asarray(shown.resize((scene.width, scene.height), Image.NEAREST))[..., 3] > 0
    thing = max(scene.objects, key=lambda thing: thing.mask.sum())
    assert overlap(mask, thing.mask > 0) > 0.7


def test_clicks_add_and_right_clicks_take_away(seen, things):
    first, second, third, box = [prompts[0] for prompts in seen["asked"]]
    assert [len(prompt["points"]) for prompt in (first, second, third)] == [1, 2, 3]
    assert [point[2] for point in third["points"]] == [1, 1, 0]
    assert first["points"][0][:2] == pytest.approx([things[0]["x"] + 0.5, things[0]["y"] + 0.5], abs=1)
    assert box["points"] == [] and box["box"][2] > box["box"][0]
    assert seen["clicked"] == [f"{things[0]['label']} 1"]
    assert len(seen["dragged"]) == 2


def test_all_of_it_goes_by_keyboard(seen, things):
    assert seen["byKeyboard"]["objects"] == [f"{things[0]['label']} 1"]
    (prompts,) = seen["byKeyboard"]["asked"]
    assert prompts[0]["points"][0][2] == 1


def test_nothing_is_wider_than_a_telephone(seen):
    assert seen["narrow"] == 390


def test_what_is_saved_is_what_was_marked(seen, scene, things):
    ((name, text),) = seen["saved"]["coco"].items()
    assert name == f"{scene.file.stem}.coco.json"
    assert seen["copied"] == text
    coco = json.loads(text)
    names = {category["id"]: category["name"] for category in coco["categories"]}
    assert [names[one["category_id"]] for one in coco["annotations"]] == [thing["label"] for thing in things]
    dragged = coco_mask.decode(coco["annotations"][1]["segmentation"]) > 0
    truth = sorted(scene.objects, key=lambda thing: -thing.mask.sum())[1]
    assert dragged.shape == truth.mask.shape
    assert overlap(dragged, truth.mask > 0) > 0.6

    tasks = json.loads(seen["saved"]["label_studio"][f"{scene.file.stem}.tasks.json"])
    assert {region["type"] for region in tasks[0]["annotations"][0]["result"]} >= {"rectangle", "brush", "labels"}
    lines = seen["saved"]["yolo"][f"{scene.file.stem}.txt"].splitlines()
    assert len(lines) == 2 and all(0 <= float(share) <= 1 for line in lines for share in line.split()[1:])


def test_what_is_no_picture_is_said(seen):
    assert seen["ways"]["text"].startswith("The browser can't show notes.txt: needed is a JPEG")


def test_what_is_found_late_is_not_lost_by_undo_and_redo(seen):
    assert seen["races"]["redone"] == seen["races"]["found"] + 1


def test_a_gateway_that_has_not_got_the_picture_is_sent_it(seen):
    assert seen["races"]["elsewhere"] == seen["races"]["found"]


def test_masks_of_an_earlier_picture_hold_up_no_later_ones(seen):
    assert seen["races"]["masks"] >= 1


def test_models_that_are_away_are_asked_for_until_they_are_back(seen):
    assert seen["hands"]["away"] == "The detector is away: it starts"
    assert " + " in seen["hands"]["back"]


def test_a_ring_counts_down_while_the_encoder_works_and_no_click_is_lost(seen):
    assert seen["hands"]["ring"].startswith("about ") and seen["hands"]["ring"].endswith(" seconds left")
    assert seen["hands"]["early"] >= 1


def test_the_slider_says_how_sure_the_detector_has_to_be(seen):
    (least, weak), (most, strong) = seen["hands"]["scores"]
    assert least == 5 and most == 95 and len(strong) <= len(weak)
    assert all(score >= least for score in weak) and all(score >= most for score in strong)


def test_of_a_pointer_that_moves_on_only_the_last_place_is_asked_for(seen):
    where, asked = seen["hands"]["hovered"]
    assert where == pytest.approx(-1.5, abs=1) and asked <= 2


def test_alt_and_the_button_take_away_and_so_do_keys(seen):
    assert seen["hands"]["kinds"] == [1, 0, 0]
    assert seen["hands"]["keys"] == [[True, []], [True, [0]]]


def test_each_picture_keeps_what_is_marked_in_it(seen):
    several = seen["several"]
    assert several["names"] == ["a.jpg, 1 marked", "b.jpg"]
    assert several["kept"] == several["other"], "what is no picture takes nothing away"
    assert several["width"] == 390
    assert several["left"] == ["beforeunload"], "asked once, and not when it was copied"


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_what_would_be_written_is_said(seen, width, labels):
    part = seen["parts"][width]
    assert part["all"] == f"All of the model's {len(labels)} classes are written."
    assert "Star in box (RectangleLabels)" in part["one"]
    assert "Dropped" in part["one"] and "crescent" in part["one"]
    assert part["bad"]


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_what_label_studio_swallows_is_seen(seen, width):
    part = seen["parts"][width]
    assert "Detector: rtmdet" in part["services"] and "Segmenter: sam" in part["services"]
    assert "127.0.0.1" in part["failures"]
    assert "127.0.0.1" in part["selected"]
    assert "/setup" in part["requests"] and "/predict" in part["requests"]
    assert "Project 7: 9 of 10 classes written" in part["projects"]


def test_elsewhere_only_services_and_requests_are_shown(seen):
    assert seen["parts"]["elsewhere"] == ["Services", "Requests"]


def test_the_other_parts_fit_a_telephone_too(seen):
    assert seen["parts"]["narrow"]["width"] == 390


def test_a_click_hits_its_pixel_however_close_one_is(zoomed):
    assert set(zoomed["clicks"]) == {"below the pointer", "elsewhere", "after it was moved", "as a whole again", "the cursor", "a finger"}
    for way, click in zoomed["clicks"].items():
        # The screen's pixels are whole, the picture's place on it isn't.
        assert click["asked"] == pytest.approx(click["at"], abs=0.1), way


def test_the_mask_is_drawn_where_it_is_when_one_is_close(zoomed, scene):
    x0, y0, x1, y1 = zoomed["window"]
    shown = numpy.asarray(picture_of(zoomed["preview"]))[..., 3] > 0
    rows = (y0 + (numpy.arange(shown.shape[0]) + 0.5) * (y1 - y0) / shown.shape[0]).astype(int)
    columns = (x0 + (numpy.arange(shown.shape[1]) + 0.5) * (x1 - x0) / shown.shape[1]).astype(int)
    truth = max(scene.objects, key=lambda thing: thing.mask.sum()).mask > 0
    assert overlap(shown, truth[rows][:, columns]) > 0.7


def test_wheel_keys_and_fingers_come_closer_and_go_back(zoomed):
    assert zoomed["wheel"] == "332 %" and zoomed["back"] == "100 %"
    assert zoomed["keys"] == "225 %" and zoomed["home"] == "100 %"
    assert zoomed["pinch"] == "300 %" and zoomed["pinched"] == [], "two fingers are no click"
    assert zoomed["cursor"] > 0, "it is seen where it goes"
    assert zoomed["errors"] == [] and all(broken == [] for broken in zoomed["axe"].values()), zoomed["axe"]
    assert zoomed["width"] == 390
