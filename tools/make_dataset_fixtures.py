"""Makes tests/data/dataset/coco_polygons.json: polygons and the pixels that pycocotools gives them.

usage: python make_dataset_fixtures.py     (needs pycocotools)

Of every kind that its rounding treats in its own way: random ones, concave and crossing themselves, on whole, half and
odd coordinates, thin ones, repeated points, partly and wholly outside of the image.
"""
import json
import pathlib
import random

from pycocotools import mask

OUT = pathlib.Path(__file__).resolve().parents[1] / "tests/data/dataset/coco_polygons.json"


def polygons(chosen):
    for _ in range(40):
        width, height = chosen.randint(1, 60), chosen.randint(1, 60)
        points = chosen.randint(3, 12)
        grid = chosen.choice([1, 2, 5, 10, 1000])
        reach = chosen.choice([0, 0, 0.3])
        yield width, height, [
            round(chosen.uniform(-reach, 1 + reach) * side * grid) / grid for _ in range(points) for side in (width, height)]
    yield 20, 10, [2, 2, 8, 2, 8, 6, 2, 6]  # along the edges of pixels
    yield 20, 10, [2.5, 2.5, 8.5, 2.5, 8.5, 6.5, 2.5, 6.5]  # through their centres
    yield 20, 10, [2, 2, 8, 2, 8, 2, 8, 6, 2, 6, 2, 2]  # repeated points
    yield 20, 10, [3, 3, 3, 3, 3, 3]  # a point
    yield 20, 10, [3, 1, 3, 9, 3.1, 5]  # nearly a line
    yield 20, 10, [-30, -30, -5, -30, -5, -5]  # outside
    yield 20, 10, [-30, -30, 50, -30, 50, 50, -30, 50]  # around all of it


if __name__ == "__main__":
    cases = []
    for width, height, polygon in polygons(random.Random(14)):
        code = mask.frPyObjects([polygon], height, width)[0]
        cases.append({"width": width, "height": height, "polygon": polygon, "counts": code["counts"].decode(),
                      "area": int(mask.area(code))})
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
