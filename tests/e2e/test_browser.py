"""What an annotator sees: Label Studio's labelling page in a real browser."""

import json
import pathlib
import shutil
import subprocess

import numpy
import pytest
from PIL import Image

import scenes as scene_files
from duet_command import ROOT
from label_configs import config
from test_interactive import inside

BROWSER = pathlib.Path(__file__).parent / "browser"
# Kept, to be looked at.
SCREENSHOTS = ROOT / "build" / "e2e-screenshots"


def changed(before, after):
    """Where two screenshots differ by more than the eye would forgive: [height, width] bool."""
    before, after = (numpy.asarray(Image.open(SCREENSHOTS / name).convert("RGB"), dtype=int) for name in (before, after))
    return numpy.abs(before - after).max(axis=2) > 8


def scaled(mask, like):
    """The mask at a screenshot's size."""
    height, width = like.shape
    return numpy.asarray(Image.fromarray(mask).resize((width, height), Image.NEAREST))


def union(regions):
    return numpy.logical_or.reduce([scene_files.mask_of(region) for region in regions])


@pytest.fixture(scope="module")
def playwright():
    assert shutil.which("npm"), "npm is missing; ./duet test installs it"
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=BROWSER, check=True, timeout=300,
                   stdin=subprocess.DEVNULL)


def test_predictions_are_drawn_and_a_smart_click_brings_a_mask(
        playwright, duet, studio, make_project, backend, scenes, labels, tmp_path):
    scene = scenes[0]
    project = make_project(config(labels, "RectangleLabels", "BrushLabels", smart=("KeyPointLabels",)))
    (task,) = project.upload([scene.file])
    project.retrieve_predictions()
    ((prediction,),) = project.predictions().values()
    thing = scene.largest()
    x, y = inside(thing.mask)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    specification = tmp_path / "specification.json"
    specification.write_text(json.dumps({
        "url": studio.url, "email": "duet@example.com",
        "password": (duet.state / "label-studio" / "password").read_text(),
        "project": project.id, "task": task, "folder": str(SCREENSHOTS),
        "click": {"x": 100 * (x + 0.5) / scene.width, "y": 100 * (y + 0.5) / scene.height, "label": thing.label}}))
    backend.clear()

    result = subprocess.run(["node", BROWSER / "label_page.mjs", specification], capture_output=True, text=True,
                            timeout=240, stdin=subprocess.DEVNULL)

    assert result.returncode == 0, result.stderr
    seen = json.loads(result.stdout)
    assert len(seen["regions"]) == len(prediction["result"])
    assert seen["suggestions"] == ["brushregion"]
    drawn = changed("hidden.png", "regions.png")
    expected = scaled(union(prediction["result"]), drawn)
    # Region outlines and labels reach a little over their area, transparent fill on a like colour falls short of it.
    assert (drawn & expected).sum() >= 0.8 * expected.sum()
    assert (drawn & ~expected).sum() <= 0.05 * drawn.size
    (answer,) = [call for call in backend.of("/predict") if call.request["params"]["context"]]
    suggested = changed("hidden.png", "click.png")
    mask = scaled(union(answer.response["results"][0]["result"]), suggested)
    assert (suggested & mask).sum() >= 0.8 * mask.sum()
    assert mask[int(y * mask.shape[0] / scene.height), int(x * mask.shape[1] / scene.width)]
