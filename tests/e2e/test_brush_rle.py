"""Every golden mask, coded by us and decoded by Label Studio's own SDK, is the same mask."""

import json
import subprocess

import numpy
from label_studio_sdk.converter.brush import decode_rle
from PIL import Image

from duet_command import ROOT

DATA = ROOT / "tests/data"


def golden_masks():
    """(name, [height, width] bool): the segmenter's, those of drawn scenes, and the hand-made ones."""
    for file in sorted((DATA / "segmenter").glob("*_masks.png")):  # MODEL_IMAGE_masks.png
        height = Image.open(file.with_name(f"{file.stem.split('_')[-2]}.png")).height
        stacked = numpy.asarray(Image.open(file)) > 0
        for index, mask in enumerate(stacked.reshape(-1, height, stacked.shape[1])):
            yield f"{file.stem}[{index}]", mask
    for file in sorted((DATA / "scenes").glob("*.masks.png")):
        objects = numpy.asarray(Image.open(file))
        for index in range(objects.max() + 1):
            yield f"{file.stem}[{index}]", objects == index
    for name, mask in json.loads((DATA / "label_studio/brush_rle.json").read_text())["masks"].items():
        values = numpy.repeat(numpy.array(mask["runs"][::2]) > 0, mask["runs"][1::2])
        yield name, values.reshape(mask["height"], mask["width"])


def line_of(mask):
    """Row-major runs, background first."""
    flat = numpy.concatenate([[False], mask.ravel()])
    changes = numpy.nonzero(numpy.diff(flat))[0]
    runs = numpy.diff(numpy.concatenate([[0], changes, [mask.size]]))
    return " ".join(map(str, [mask.shape[1], mask.shape[0], *runs]))


def test_the_sdk_decodes_every_golden_mask_to_itself():
    names, masks = zip(*golden_masks())
    assert len(masks) > 40

    coded = subprocess.run([ROOT / "build/release/tests/brush_rle_of_runs"], check=True, text=True,
                           input="\n".join(map(line_of, masks)) + "\n", capture_output=True).stdout.splitlines()

    assert len(coded) == len(masks)
    for name, mask, text in zip(names, masks, coded):
        decoded = numpy.asarray(decode_rle(json.loads(text)), dtype=numpy.uint8).reshape(*mask.shape, 4)
        assert ((decoded == 255) == mask[:, :, None]).all() and set(numpy.unique(decoded)) <= {0, 255}, name
