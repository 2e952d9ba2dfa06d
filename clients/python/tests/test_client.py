"""Against real services, at DETECTOR and SEGMENTER: tests/e2e/test_python_client.py starts them."""

import asyncio
import hashlib
import itertools
import os
import pathlib

import grpc
import pytest

from duet_client import (AsyncDetector, AsyncSegmenter, Box, Detector, DuetError, Failure, ImageId, Point, Prompt, Segmenter)

PICTURE = pathlib.Path(os.environ["PICTURE"])
CLASSES = {"circle", "square", "triangle", "star", "ring", "cross", "hexagon", "heart", "crescent", "arrow"}


@pytest.fixture
def detector():
    with Detector(os.environ["DETECTOR"]) as detector:
        yield detector


@pytest.fixture
def segmenter():
    with Segmenter(os.environ["SEGMENTER"]) as segmenter:
        yield segmenter


def another_picture(count=itertools.count()):
    """One that no segmenter has seen: the same pixels, another file."""
    return PICTURE.read_bytes() + f"{os.getpid()} {next(count)}".encode()


def test_what_is_detected_lies_in_the_picture_and_is_sorted(detector):
    found = detector.detect(PICTURE, score_threshold=0.3)

    assert found.detections and found.model_version == detector.model().version
    for each in found.detections:
        assert 0 <= each.box.x_min < each.box.x_max <= found.width and 0 <= each.box.y_min < each.box.y_max <= found.height
        assert each.label in CLASSES and detector.model().classes[each.class_id] == each.label
    scores = [each.score for each in found.detections]
    assert scores == sorted(scores, reverse=True) and min(scores) > 0.3


def test_settings_reach_the_detector(detector):
    label = detector.detect(PICTURE).detections[0].label

    assert {each.label for each in detector.detect(PICTURE, classes=[label]).detections} == {label}
    assert len(detector.detect(PICTURE, score_threshold=0, max_detections=2).detections) == 2
    with pytest.raises(DuetError, match="INVALID_ARGUMENT.*unicorn") as error:
        detector.detect(PICTURE, classes=["unicorn"])
    assert not error.value.may_pass


def test_many_pictures_are_answered_in_order_and_a_bad_one_harms_no_other(detector):
    alone = detector.detect(PICTURE)

    first, bad, last = detector.detect_many([PICTURE, b"no picture", PICTURE.read_bytes()])

    assert first == last == alone
    assert isinstance(bad, Failure) and bad.code == "INVALID_ARGUMENT" and bad.message


def test_a_box_becomes_a_mask(detector, segmenter):
    found = detector.detect(PICTURE)

    answer = segmenter.segment(PICTURE, [each.box for each in found.detections], polygons=True)

    assert len(answer.masks) == len(found.detections) and (answer.width, answer.height) == (found.width, found.height)
    for each, mask in zip(found.detections, answer.best(), strict=True):
        assert mask.area > 0 and mask.coco.as_dict()["size"] == [found.height, found.width]
        # The demo's shapes fill at least a fifth of their boxes; a mask of something else wouldn't be within its box.
        assert mask.area < 1.3 * each.box.width * each.box.height and mask.polygons


def test_a_picture_is_sent_once(segmenter):
    data = another_picture()
    with pytest.raises(DuetError) as unknown:
        segmenter.segment(ImageId(hashlib.sha256(data).hexdigest()), [Point(20, 20)])

    first = segmenter.segment(data, [Point(20, 20)])
    again = segmenter.segment(first.image_id, [Point(20, 20)])
    embedded = segmenter.embed(data)

    assert unknown.value.code is grpc.StatusCode.NOT_FOUND
    assert again.masks == first.masks and embedded.cached and embedded.image_id == first.image_id


def test_a_prompt_may_have_points_and_a_box_and_what_was_before(segmenter):
    box = Box(5, 5, 60, 60)
    first = segmenter.segment(PICTURE, [box], logits=True, three_masks=True)
    assert len(first.masks[0]) == 3

    more = Prompt(points=(Point(20, 20), Point(50, 50, foreground=False)), box=box, logits=first.best()[0].low_res_logits)
    answer = segmenter.segment(PICTURE, [more, Point(20, 20)])

    assert [len(each) for each in answer.masks] == [1, 1]


def test_nobody_at_the_port_is_one_error():
    with Detector("127.0.0.1:1", timeout_s=5) as nobody, pytest.raises(DuetError) as error:
        nobody.model()

    assert error.value.code is grpc.StatusCode.UNAVAILABLE and error.value.may_pass


def test_a_file_that_is_not_there_is_named(detector):
    with pytest.raises(FileNotFoundError, match="nowhere.jpg"):
        detector.detect(pathlib.Path("nowhere.jpg"))


def test_the_same_for_asyncio(detector, segmenter):
    async def ask():
        async with AsyncDetector(os.environ["DETECTOR"]) as detector, AsyncSegmenter(os.environ["SEGMENTER"]) as segmenter:
            found, model = await asyncio.gather(detector.detect(PICTURE), detector.model())
            many = [each async for each in detector.detect_many([PICTURE, b"no picture"])]
            masks = await segmenter.segment(PICTURE, [each.box for each in found.detections])
            new = await segmenter.segment(another_picture(), [Point(20, 20)])
            with pytest.raises(DuetError, match="unicorn"):
                await detector.detect(PICTURE, classes=["unicorn"])
            return found, model, many, masks, new, await segmenter.embed(PICTURE), await segmenter.model()

    found, model, many, masks, new, embedded, segmenting = asyncio.run(ask())

    assert found == detector.detect(PICTURE) == many[0] and isinstance(many[1], Failure)
    assert model == detector.model() and segmenting == segmenter.model()
    assert masks == segmenter.segment(PICTURE, [each.box for each in found.detections])
    assert new.masks and embedded.cached
