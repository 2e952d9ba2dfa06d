"""Each further click refines the mask of the clicks before it: through the gateway, to the real segmenter."""

import pytest
import requests

import scenes as scene_files
from conftest import SEGMENTER
from label_configs import config, keypoint_prompt
from label_studio import data_uri
from service import PATIENCE_S, Service
from test_interactive import inside


@pytest.fixture
def click(scenes, labels):
    """click(points…): the mask that answers them, each (x, y, positive), on the first scene."""
    segmenter = Service("duet-segmenter", f"--checkpoint={SEGMENTER}", "--port=0", "--metrics_port=0")
    gateway = Service("duet-gateway", "--port=0", "--detector=", f"--segmenter=127.0.0.1:{segmenter.ready()}")
    url = f"http://127.0.0.1:{gateway.ready()}"
    scene, label_config = scenes[0], config(labels, "BrushLabels", smart=("KeyPointLabels",))

    def click(*points):
        prompts = [keypoint_prompt(scene, x, y, labels[0], positive) for x, y, positive in points]
        body = {"tasks": [{"id": 1, "data": {"image": data_uri(scene.file)}}], "project": "1.1",
                "label_config": label_config,
                "params": {"login": None, "password": None, "context": {"result": prompts}}}
        answer = requests.post(f"{url}/predict", json=body, timeout=PATIENCE_S)
        while answer.status_code == 503:  # the model is not heard of yet
            answer = requests.post(f"{url}/predict", json=body, timeout=PATIENCE_S)
        assert answer.ok, answer.text
        (region,) = answer.json()["results"][0]["result"]
        return scene_files.mask_of(region)

    yield click
    gateway.kill()
    segmenter.kill()


def test_a_further_click_starts_from_the_mask_before_it(click, scenes):
    thing = scenes[0].largest()
    x, y = inside(thing.mask)
    first = (x, y, True)
    second = (int(thing.box[0]) + 1, int(thing.box[1]) + 1, False)

    afresh = click(first, second)  # nothing was asked before: both at once
    again = click(first, second)
    one = click(first)
    refined = click(first, second)

    assert (afresh == again).all(), "an answer depends on its prompt, not on chance"
    assert not (afresh == one).all()
    assert not (refined == afresh).all(), "the first click's mask was not taken up"
