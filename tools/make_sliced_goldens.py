#!/usr/bin/env python3
"""Writes tests/data/detector/sliced.json and sliced.jpg: what SAHI finds with mmdet in a large image of small objects.

usage: make_sliced_goldens.py SCENES     (needs: mmdet, mmcv-lite, torchvision, sahi==0.12.8, pycocotools)

SCENES is a folder of `duet-train scenes`; six scenes, made small, stand side by side. The model is the demo's.
"""
import json
import pathlib
import sys

import cv2
import mmengine
import mmengine.dataset
import numpy as np
import torch

from openmmlab import import_mmdet

ROOT = pathlib.Path(__file__).resolve().parents[1]
OUT = ROOT / "tests/data/detector"
CHECKPOINT = ROOT / "models/demo/rtmdet-demo.pth"
TILE, OVERLAP, THRESHOLD = 200, 0.2, 0.3


def draw(scenes):
    images = [cv2.imread(str(path)) for path in sorted(pathlib.Path(scenes).glob("*.jpg"))[:6]]
    small = [cv2.resize(image, (230, 190), interpolation=cv2.INTER_AREA) for image in images]
    cv2.imwrite(str(OUT / "sliced.jpg"), np.vstack([np.hstack(small[:3]), np.hstack(small[3:])]),
                [cv2.IMWRITE_JPEG_QUALITY, 90])


class Inferencer:
    """What SAHI's MmdetDetectionModel asks of mmdet's own, which wants a whole experiment's config and a visualizer."""

    def __init__(self, mmdet):
        self.mmdet = mmdet
        config = torch.load(CHECKPOINT, map_location="cpu", weights_only=False)["meta"]["cfg"]
        self.config = mmengine.Config.fromstring(config, ".py")
        self.model = mmdet.apis.init_detector(self.config, str(CHECKPOINT), device="cpu", palette="random")
        self.cfg = {"train_dataloader": {"dataset": {"type": "", "pipeline": []}}}
        self.pipeline = mmengine.dataset.Compose(
            [dict(type="mmdet.LoadImageFromNDArray"), *self.config.test_pipeline[1:3], self.config.test_pipeline[-1]])

    def __call__(self, images):
        results = [self.mmdet.apis.inference_detector(self.model, np.ascontiguousarray(image), test_pipeline=self.pipeline)
                   for image in images]
        return {"predictions": [{"bboxes": one.pred_instances.bboxes.tolist(), "scores": one.pred_instances.scores.tolist(),
                                 "labels": one.pred_instances.labels.tolist()} for one in results]}


def main():
    draw(sys.argv[1])
    mmdet = import_mmdet()
    from sahi.models.mmdet import MmdetDetectionModel
    from sahi.postprocess.backends import set_postprocess_backend
    from sahi.predict import get_sliced_prediction

    set_postprocess_backend("numpy")
    model = MmdetDetectionModel(model=Inferencer(mmdet), confidence_threshold=THRESHOLD, device="cpu")
    # SAHI takes RGB, and hands BGR to mmdet.
    image = cv2.cvtColor(cv2.imread(str(OUT / "sliced.jpg")), cv2.COLOR_BGR2RGB)
    cases = []
    for method in ("GREEDYNMM", "NMM", "NMS"):
        for metric in ("IOS", "IOU"):
            result = get_sliced_prediction(
                image, model, slice_height=TILE, slice_width=TILE, overlap_height_ratio=OVERLAP, overlap_width_ratio=OVERLAP,
                postprocess_type=method, postprocess_match_metric=metric, verbose=0)
            found = [[*(round(value, 3) for value in one.bbox.to_xyxy()), round(one.score.value, 5), one.category.name]
                     for one in result.object_prediction_list]
            cases.append({"method": method, "metric": metric, "found": sorted(found, key=lambda one: -one[4])})
    lines = ",\n".join(json.dumps(case) for case in cases)
    (OUT / "sliced.json").write_text(
        f'{{"tile": {TILE}, "overlap": {int(OVERLAP * TILE)}, "score_threshold": {THRESHOLD},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
