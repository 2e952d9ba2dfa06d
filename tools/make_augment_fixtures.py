#!/usr/bin/env python3
"""Makes tests/data/trainer/augment/ with mmdet's own transforms (needs mmdet, mmcv or mmcv-lite, torchvision).

usage: make_augment_fixtures.py tests/data/trainer/augment RTMDET_NANO_CONFIG

recipes.json: of each RTMDet config, the arguments of its training transforms, defaults included. RTMDET_NANO_CONFIG is
RTMPose's projects/rtmpose/rtmdet/person/rtmdet_nano_320-8xb32_coco-person.py.

transforms.json, *.png: images with boxes and polygons, what each transform makes of them, and the random choices with
which it did. Images that go in are source_N.png; NAME.png is what came out of the case of that name.
"""
import inspect
import json
import os
import sys

import cv2
import numpy as np
import torch

from openmmlab import import_mmdet

SIDE = 48


def wanted(transform, registry):
    """Its arguments, and the defaults of those that it doesn't give."""
    given = {key: value for key, value in transform.items() if key != "type"}
    defaults = {}
    for owner in reversed(registry.get(transform["type"]).__mro__):
        if "__init__" in vars(owner):
            for name, parameter in inspect.signature(owner.__init__).parameters.items():
                if parameter.default is not inspect.Parameter.empty:
                    defaults[name] = parameter.default
    return {**defaults, **given}


def recipes(nano_config, registry, config_class, config_root):
    files = [os.path.join(config_root, "rtmdet", name) for name in sorted(os.listdir(os.path.join(config_root, "rtmdet")))
             if name.startswith(("rtmdet_", "rtmdet-ins_")) and "8xb" in name and name.endswith(".py")]
    files.append(os.path.join(config_root, "rtmdet", "rtmdet-ins_x_8xb16-300e_coco.py"))
    found = []
    for file in [*dict.fromkeys(files), nano_config]:
        config = config_class.fromfile(file)
        switch = [hook for hook in config.custom_hooks if hook["type"] == "PipelineSwitchHook"]
        stages = {"first": config.train_dataloader.dataset.pipeline, "plain": switch[0]["switch_pipeline"]}
        found.append({"config": os.path.basename(file), **{
            stage: [{"type": one["type"], **wanted(one, registry)} for one in pipeline
                    if one["type"] not in ("LoadImageFromFile", "PackDetInputs")]
            for stage, pipeline in stages.items()}})
    return found


class Images:
    """Pictures of soft colours, so that they are small as PNG, with polygons and the boxes around them."""

    def __init__(self, mmdet):
        from mmdet.structures.bbox import HorizontalBoxes
        from mmdet.structures.mask import PolygonMasks
        self.boxes, self.masks = HorizontalBoxes, PolygonMasks
        random = np.random.default_rng(15)
        self.sources = []
        for width, height in ((60, 45), (41, 64), (48, 48), (96, 20), (30, 37)):
            small = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
            polygons = []
            for _ in range(3):
                x, y = random.uniform(0, width - 12), random.uniform(0, height - 12)
                w, h = random.uniform(6, width - x), random.uniform(6, height - y)
                corners = [[x, y + h / 3], [x + w, y], [x + w * 0.8, y + h], [x + w * 0.2, y + h]]
                polygons.append([round(value, 2) for corner in corners for value in corner])
            self.sources.append({"image": image, "polygons": polygons, "labels": [0, 1, 2],
                                 "ignored": [False, False, len(self.sources) == 1]})

    def results(self, index):
        source = self.sources[index]
        height, width = source["image"].shape[:2]
        polygons = [[np.array(one)] for one in source["polygons"]]
        corners = np.array(source["polygons"]).reshape(len(polygons), -1, 2)
        boxes = torch.tensor(np.concatenate([corners.min(1), corners.max(1)], 1), dtype=torch.float32)
        return {"img": source["image"].copy(), "img_shape": (height, width), "gt_bboxes": self.boxes(boxes),
                "gt_bboxes_labels": np.array(source["labels"]), "gt_ignore_flags": np.array(source["ignored"]),
                "gt_masks": self.masks(polygons, height, width)}


def rle(bitmap):
    from pycocotools import mask
    return mask.encode(np.asfortranarray(bitmap.astype(np.uint8)))["counts"].decode()


def described(results):
    return {"boxes": results["gt_bboxes"].tensor.tolist(), "labels": results["gt_bboxes_labels"].tolist(),
            "ignored": results["gt_ignore_flags"].tolist(),
            "masks": [rle(bitmap) for bitmap in results["gt_masks"].to_ndarray()]}


class Draws:
    """Numbers instead of numpy's random ones, in the order in which a transform asks for them."""

    def __init__(self, module, numbers):
        self.module, self.numbers = module, list(numbers)

    def uniform(self, low, high):
        return self.numbers.pop(0)

    def randint(self, low, high=None, size=None):
        return self.numbers.pop(0)

    def __enter__(self):
        self.before, self.module.random = self.module.random, self

    def __exit__(self, *error):
        self.module.random = self.before
        assert error[0] or not self.numbers, self.numbers


def mosaic(module, images, indices, centre):
    transform = module.CachedMosaic(img_scale=(SIDE, SIDE), pad_val=114.0, max_cached_images=20, random_pop=False)
    transform.results_cache = [images.results(i) for i in range(len(images.sources))]
    # Of the three others from the cache, of x and y; `prob` first.
    with Draws(module, [0.0, *indices[1:], centre[0] / SIDE, centre[1] / SIDE]):
        return transform.transform(images.results(indices[0]))


def mix(module, results, partner, flip, ratio, offsets, pad_value):
    transform = module.CachedMixUp(img_scale=(SIDE, SIDE), ratio_range=(ratio, ratio), max_cached_images=10,
                                   random_pop=False, pad_val=pad_value)
    transform.results_cache = [partner]
    # `prob`, which one, the ratio, the flip; then y and x.
    with Draws(module, [0.0, 0, ratio, 1.0 if flip else 0.0, *offsets]):
        return transform.transform(results)


def resized(transforms, results, longer_side):
    return transforms.Resize(scale=(longer_side, longer_side), keep_ratio=True).transform(results)


def cropped(transforms, results, x, y, recompute):
    transform = transforms.RandomCrop(crop_size=(SIDE, SIDE), recompute_bbox=recompute, allow_negative_crop=True)
    transform._rand_offset = lambda margin: (y, x)
    return transform.transform(results)


def shifted(transforms, results, gains):
    transform = transforms.YOLOXHSVRandomAug()
    transform._get_hsv_gains = lambda: np.array(gains, dtype=np.int16)
    results["img"] = np.ascontiguousarray(results["img"])
    return transform.transform(results)


def flipped(transforms, results):
    transform = transforms.RandomFlip(prob=1.0)
    return transform.transform(results)


def padded(transforms, results):
    return transforms.Pad(size=(SIDE, SIDE), pad_val=dict(img=(114, 114, 114))).transform(results)


def cases(module, images):
    """name → (choices, results)"""
    def unmixed(choices):
        results = mosaic(module, images, choices["tiles"], choices["centre"])
        results = resized(module, results, choices["longer_side"])
        results = cropped(module, results, *choices["window"], choices["recompute"])
        results = shifted(module, results, choices["gains"])
        if choices["flip"]:
            results = flipped(module, results)
        return padded(module, results)

    yield "mosaic", {"tiles": [0, 1, 2, 3], "centre": [40, 60]}, mosaic(module, images, [0, 1, 2, 3], (40, 60))
    yield "mosaic_off_centre", {"tiles": [4, 3, 1, 0], "centre": [70, 25]}, mosaic(module, images, [4, 3, 1, 0], (70, 25))
    for name, source, longer_side in (("larger", 0, 91), ("smaller", 1, 29), ("half", 2, 24)):
        yield name, {"source": source, "longer_side": longer_side}, resized(module, images.results(source), longer_side)
    for name, source, window in (("crop", 0, (11, 0)), ("crop_far", 3, (48, 0)), ("crop_low", 1, (0, 16))):
        for recompute in (False, True):
            yield (name + ("_recomputed" if recompute else ""),
                   {"source": source, "x": window[0], "y": window[1], "recompute": recompute},
                   cropped(module, images.results(source), *window, recompute))
    for name, gains in (("colours", [4, -25, 17]), ("colours_back", [-5, 29, -29]), ("colours_same", [0, 0, 0])):
        yield name, {"source": 1, "gains": gains}, shifted(module, images.results(1), gains)
    yield "flip", {"source": 3}, flipped(module, images.results(3))
    yield "pad", {"source": 4}, padded(module, images.results(4))
    one = {"tiles": [0, 1, 2, 3], "centre": [50, 41], "longer_side": 130, "window": [30, 22], "recompute": True,
           "gains": [3, 20, -11], "flip": True}
    other = {"tiles": [2, 4, 0, 1], "centre": [33, 66], "longer_side": 60, "window": [5, 9], "recompute": False,
             "gains": [-2, 0, 28], "flip": False}
    yield "chain", one, unmixed(one)
    yield "chain_other", other, unmixed(other)
    small = {**other, "longer_side": 40, "window": [0, 0]}
    yield "chain_padded", small, unmixed(small)
    for name, flip, ratio, offsets, pad_value in (
            ("mixed", False, 1.0, [], (114, 114, 114)), ("mixed_flipped", True, 1.0, [], (114, 114, 114)),
            ("mixed_larger", True, 1.4, [7, 11], 114.0), ("mixed_smaller", False, 0.6, [], 114.0)):
        yield (name, {"frame": one, "partner": small, "flip": flip, "ratio": ratio,
                      "y": offsets[0] if offsets else 0, "x": offsets[1] if offsets else 0},
               mix(module, unmixed(one), unmixed(small), flip, ratio, offsets, pad_value))


def main(folder, nano_config):
    mmdet = import_mmdet()
    import mmdet.datasets.transforms.transforms as module
    from mmdet.registry import TRANSFORMS
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    os.makedirs(folder, exist_ok=True)
    config_root = os.path.join(os.path.dirname(mmdet.__file__), ".mim", "configs")
    with DefaultScope.overwrite_default_scope("mmdet"):
        found = recipes(nano_config, TRANSFORMS, Config, config_root)
    with open(os.path.join(folder, "recipes.json"), "w") as file:
        json.dump(found, file, indent=1, sort_keys=True)
        file.write("\n")
    images = Images(mmdet)
    sources = []
    for i, source in enumerate(images.sources):
        cv2.imwrite(os.path.join(folder, f"source_{i}.png"), source["image"])
        sources.append(described(images.results(i)))
    made = []
    for name, choices, results in cases(module, images):
        cv2.imwrite(os.path.join(folder, name + ".png"), results["img"])
        made.append({"name": name, "choices": choices, **described(results)})
    with open(os.path.join(folder, "transforms.json"), "w") as file:
        json.dump({"side": SIDE, "sources": sources, "cases": made}, file)
        file.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
