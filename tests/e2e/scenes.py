"""Images with known objects, drawn by duet-train, and how well regions cover those objects."""

import dataclasses
import json
import pathlib

import numpy
from label_studio_sdk.converter.brush import decode_rle
from PIL import Image, ImageDraw


@dataclasses.dataclass
class Object:
    label: str
    box: tuple  # x_min, y_min, x_max, y_max in pixels
    mask: numpy.ndarray  # [height, width], bool


@dataclasses.dataclass
class Scene:
    file: pathlib.Path
    width: int
    height: int
    objects: list

    def largest(self):
        return max(self.objects, key=lambda thing: thing.mask.sum())


def load(directory):
    scenes = []
    for description in sorted(pathlib.Path(directory).glob("scene_*.json")):
        text = json.loads(description.read_text())
        index = numpy.asarray(Image.open(description.with_suffix(".masks.png")))
        objects = [Object(thing["label"], tuple(thing["box"]), index == 1 + i)
                   for i, thing in enumerate(text["objects"])]
        scenes.append(Scene(description.with_suffix(".jpg"), text["width"], text["height"], objects))
    return scenes


def label_of(region):
    (label,) = region["value"][region["type"]]
    return label


def mask_of(region):
    """The pixels a region covers, [height, width] bool, as the editor would paint it."""
    width, height = region["original_width"], region["original_height"]
    value, kind = region["value"], region["type"]
    if kind == "brushlabels":
        rgba = numpy.asarray(decode_rle(value["rle"]), dtype=numpy.uint8).reshape(height, width, 4)
        return rgba[:, :, 3] > 0
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    x, y = width / 100, height / 100
    if kind == "polygonlabels":
        draw.polygon([(px * x, py * y) for px, py in value["points"]], fill=1)
    elif kind == "rectanglelabels":
        draw.rectangle((value["x"] * x, value["y"] * y, (value["x"] + value["width"]) * x - 1,
                        (value["y"] + value["height"]) * y - 1), fill=1)
    elif kind == "ellipselabels":
        rows, columns = numpy.mgrid[0:height, 0:width]
        angle = numpy.deg2rad(value["rotation"])
        dx, dy = columns + 0.5 - value["x"] * x, rows + 0.5 - value["y"] * y
        along, across = dx * numpy.cos(angle) + dy * numpy.sin(angle), dy * numpy.cos(angle) - dx * numpy.sin(angle)
        return (along / (value["radiusX"] * x)) ** 2 + (across / (value["radiusY"] * y)) ** 2 <= 1
    else:
        raise AssertionError(f"no area in a {kind}")
    return numpy.asarray(canvas)


def box_mask(thing, scene):
    """The object's box as a mask."""
    mask = numpy.zeros((scene.height, scene.width), dtype=bool)
    x_min, y_min, x_max, y_max = (round(edge) for edge in thing.box)
    mask[y_min:y_max, x_min:x_max] = True
    return mask


def iou(a, b):
    return (a & b).sum() / max(1, (a | b).sum())


def recall(scene, regions, mask=lambda thing, scene: thing.mask, at_least=0.5):
    """The share of the scene's objects that a region of their label covers with at least this IoU."""
    found = 0
    for thing in scene.objects:
        truth = mask(thing, scene)
        found += any(label_of(region) == thing.label and iou(mask_of(region), truth) >= at_least for region in regions)
    return found / len(scene.objects)
