#!/usr/bin/env python3
"""Writes tests/data/vision/coco_rle.json: masks as row-major runs, and what pycocotools makes of them.

usage: make_mask_fixtures.py OUT.json      (needs numpy and pycocotools)
"""
import json
import sys

import numpy as np
from pycocotools import mask as coco


def row_runs(mask):
    flat = mask.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    runs = np.diff(edges).tolist()
    return [0] + runs if flat[0] else runs


def blobs(rng, height, width, count):
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), bool)
    for _ in range(count):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        ry, rx = rng.uniform(2, height / 3), rng.uniform(2, width / 3)
        mask ^= ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
    return mask


def main():
    rng = np.random.default_rng(7)
    masks = {
        "empty": np.zeros((37, 41), bool),
        "full": np.ones((15, 131), bool),
        "one_pixel": np.zeros((23, 31), bool),
        "last_pixel": np.zeros((5, 64), bool),
        "one_by_one": np.ones((1, 1), bool),
        "checker": np.indices((16, 17)).sum(0) % 2 == 0,
        "noise": rng.random((61, 67)) < 0.5,
        "columns": np.tile([True, False, False], (9, 22)),
        "row": np.ones((1, 200), bool),
        "blobs_64_wide": blobs(rng, 90, 64, 5),
        "blobs": blobs(rng, 480, 641, 9),
        "tall": blobs(rng, 1500, 70, 6),
    }
    masks["one_pixel"][17, 29] = True
    masks["last_pixel"][4, 63] = True
    out = []
    for name, mask in masks.items():
        encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        x, y, width, height = coco.toBbox(encoded).tolist()
        out.append({
            "name": name, "height": mask.shape[0], "width": mask.shape[1],
            "row_runs": row_runs(mask), "counts": encoded["counts"].decode(),
            "area": int(coco.area(encoded)), "box": [x, y, x + width, y + height],
        })
    with open(sys.argv[1], "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(entry) for entry in out) + "\n]\n")


if __name__ == "__main__":
    main()
