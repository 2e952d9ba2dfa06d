#!/usr/bin/env python3
"""Small objects in a large image: Duet's detector with and without slicing, and SAHI with mmdet and the same weights and tiles.

usage: sliced.py OUT [--side=8000] [--tile=160] [--objects=400] [--grpcurl=grpcurl]

Draws scenes, makes them so small that no object is larger than 16 pixels, and puts them into an image of side x side. Prints
recall (IoU 0.5, right class) and the seconds from pixels to boxes, one thread each; SAHI's only if sahi and mmdet can be imported.
"""
import argparse
import base64
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
import cv2  # noqa: E402
import numpy as np  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests/bench/trainer")]
from commands import duet_train  # noqa: E402

DETECTOR = ROOT / "build/release/bin/duet-detector"
LARGEST, OVERLAP, THRESHOLD = 16, 0.2, 0.3


def compose(out, side, objects):
    """The image, and its objects as (box, class)."""
    scenes = out / "scenes"
    if not (scenes / "coco.json").exists():
        duet_train("scenes", "--seed=81", f"--count={objects // 4}", f"--out={scenes}")
    coco = json.loads((scenes / "coco.json").read_text())
    names = {one["id"]: one["name"] for one in coco["categories"]}
    image = np.full((side, side, 3), 128, np.uint8)
    image[:] = cv2.resize(np.random.default_rng(1).normal(128, 12, (side // 50, side // 50, 3)).astype(np.uint8), (side, side))
    generator, truth, taken = random.Random(1), [], set()
    for scene in coco["images"]:
        here = [one for one in coco["annotations"] if one["image_id"] == scene["id"]]
        if not here:
            continue
        scale = LARGEST / max(max(one["bbox"][2:]) for one in here)
        small = cv2.resize(cv2.imread(str(scenes / scene["file_name"])), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = small.shape[:2]
        cell = 200  # no two overlap
        while (at := (generator.randrange(side // cell), generator.randrange(side // cell))) in taken:
            pass
        taken.add(at)
        x, y = at[0] * cell + generator.randrange(cell - width), at[1] * cell + generator.randrange(cell - height)
        image[y:y + height, x:x + width] = small
        for one in here:
            left, top, w, h = (value * scale for value in one["bbox"])
            truth.append(([x + left, y + top, x + left + w, y + top + h], names[one["category_id"]]))
    path = out / "large.png"
    cv2.imwrite(str(path), image)
    return path, truth


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0
    common = width * height
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def matched(wanted, found, least=0.5):
    """How many of `wanted` have a box of their own in `found`."""
    left, count = list(found), 0
    for box, label in wanted:
        best = max((one for one in left if one[1] == label), key=lambda one: iou(box, one[0]), default=None)
        if best and iou(box, best[0]) >= least:
            left.remove(best)
            count += 1
    return count


class Duet:
    def __init__(self, grpcurl):
        self.grpcurl = grpcurl
        self.process = subprocess.Popen(
            [DETECTOR, "--port=0", "--metrics_port=0", "--threads=1", f"--checkpoint={ROOT / 'models/demo/rtmdet-demo.pth'}"],
            stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if port := re.search(r'"event":"serving".*?"port":(\d+)', line):
                self.port = port.group(1)
                return
        sys.exit("duet-detector ended")

    def detect(self, path, **slicing):
        request = {"image": {"data": base64.b64encode(path.read_bytes()).decode()}, "score_threshold": THRESHOLD,
                   **({"slicing": slicing} if slicing else {})}
        answer = json.loads(subprocess.run(
            [self.grpcurl, "-plaintext", "-emit-defaults", "-max-msg-sz", str(1 << 28), "-d", "@", f"127.0.0.1:{self.port}",
             "duet.detector.v1.Detector/Detect"], input=json.dumps(request), capture_output=True, text=True, check=True).stdout)
        found = [([one["box"][name] for name in ("xMin", "yMin", "xMax", "yMax")] if "xMin" in one["box"] else
                  [one["box"][name] for name in ("x_min", "y_min", "x_max", "y_max")], one["label"])
                 for one in answer["detections"]]
        timing = answer["timing"]
        return found, timing.get("model_ms", timing.get("modelMs")) / 1000


def sahi_model():
    """None if it isn't installed."""
    try:
        import sahi  # noqa: F401
        import torch
        from openmmlab import import_mmdet
        from make_sliced_goldens import Inferencer
        torch.set_num_threads(1)
        mmdet = import_mmdet()
        from sahi.models.mmdet import MmdetDetectionModel
        return MmdetDetectionModel(model=Inferencer(mmdet), confidence_threshold=THRESHOLD, device="cpu")
    except ImportError as error:
        print(f"without SAHI: {error}", file=sys.stderr)
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--side", type=int, default=8000)
    parser.add_argument("--tile", type=int, default=160)
    parser.add_argument("--objects", type=int, default=400)
    parser.add_argument("--grpcurl", default="grpcurl")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path, truth = compose(options.out, options.side, options.objects)
    duet = Duet(options.grpcurl)
    try:
        whole, whole_s = duet.detect(path)
        sliced, sliced_s = duet.detect(path, tile_size=options.tile, overlap=int(OVERLAP * options.tile))
    finally:
        duet.process.kill()
    print(f"{len(truth)} objects")
    print(f"Duet, whole:  {matched(truth, whole)} found, {whole_s:.1f} s")
    print(f"Duet, sliced: {matched(truth, sliced)} found, {len(sliced)} boxes, {sliced_s:.1f} s")
    model = sahi_model()
    if model is None:
        return
    from sahi.predict import get_sliced_prediction
    image, begin = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), time.perf_counter()
    result = get_sliced_prediction(image, model, slice_height=options.tile, slice_width=options.tile, verbose=0,
                                   overlap_height_ratio=OVERLAP, overlap_width_ratio=OVERLAP)
    took = time.perf_counter() - begin
    found = [(one.bbox.to_xyxy(), one.category.name) for one in result.object_prediction_list]
    print(f"SAHI, sliced: {matched(truth, found)} found, {len(found)} boxes, {took:.1f} s; "
          f"{matched(found, sliced, least=0.99)} of its boxes are Duet's")


if __name__ == "__main__":
    main()
