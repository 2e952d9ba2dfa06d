"""Smart tools: prompts go through Label Studio to SAM, and one region comes back."""

import numpy
import pytest

import scenes as scene_files
from label_configs import config, keypoint_prompt, rectangle_prompt

SMART = ("KeyPointLabels", "RectangleLabels")


def inside(mask):
    """A pixel of the mask far from its rim: the middle of the longest run of its middle row."""
    row = int(numpy.median(numpy.nonzero(mask)[0]))
    columns = numpy.nonzero(mask[row])[0]
    runs = numpy.split(columns, numpy.nonzero(numpy.diff(columns) > 1)[0] + 1)
    longest = max(runs, key=len)
    return int(longest[len(longest) // 2]), row


@pytest.fixture
def task(make_project, scenes, labels):
    """(project, task id, scene, its largest object), with every kind of region allowed."""
    project = make_project(config(labels, "RectangleLabels", "BrushLabels", smart=SMART))
    (task,) = project.upload([scenes[0].file])
    return project, task, scenes[0], scenes[0].largest()


def test_a_click_gives_one_brush_region_in_the_prompts_label(task):
    project, task_id, scene, thing = task
    x, y = inside(thing.mask)

    (region,) = project.interact(task_id, [keypoint_prompt(scene, x, y, thing.label)])

    assert (region["type"], region["from_name"]) == ("brushlabels", "brushlabels")
    assert scene_files.label_of(region) == thing.label
    mask = scene_files.mask_of(region)
    assert mask[y, x]
    assert scene_files.iou(mask, thing.mask) >= 0.6


def test_points_of_both_signs_make_one_answer(task):
    project, task_id, scene, thing = task
    x, y = inside(thing.mask)
    outside_y, outside_x = numpy.argwhere(~scene_files.box_mask(thing, scene))[0]

    (region,) = project.interact(task_id, [
        keypoint_prompt(scene, x, y, thing.label),
        keypoint_prompt(scene, int(outside_x), int(outside_y), thing.label, positive=False)])

    mask = scene_files.mask_of(region)
    assert mask[y, x] and not mask[outside_y, outside_x]


def test_a_dragged_rectangle_gives_the_object_in_it(task):
    project, task_id, scene, thing = task

    mask, box = project.interact(task_id, [rectangle_prompt(scene, thing.box, thing.label)])

    assert scene_files.label_of(mask) == scene_files.label_of(box) == thing.label
    assert scene_files.iou(scene_files.mask_of(mask), thing.mask) >= 0.7
    assert box["from_name"] == "rectanglelabels"
    assert scene_files.iou(scene_files.mask_of(box), scene_files.box_mask(thing, scene)) >= 0.7


def test_a_prompt_answers_in_the_kind_that_the_config_offers(make_project, scenes, labels):
    project = make_project(config(labels, "PolygonLabels", smart=SMART))
    (task_id,) = project.upload([scenes[0].file])
    thing = scenes[0].largest()

    regions = project.interact(task_id, [rectangle_prompt(scenes[0], thing.box, thing.label)])

    assert {region["type"] for region in regions} == {"polygonlabels"}


def test_a_label_the_detector_never_heard_of_still_gets_its_mask(make_project, scenes):
    project = make_project(config(["baseball_bat"], "BrushLabels", smart=SMART))
    (task_id,) = project.upload([scenes[0].file])
    thing = scenes[0].largest()

    (region,) = project.interact(task_id, [rectangle_prompt(scenes[0], thing.box, "baseball_bat")])

    assert scene_files.label_of(region) == "baseball_bat"
