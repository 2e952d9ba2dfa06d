#!/usr/bin/env python3
"""How many images people have to annotate until a model is good, if they take them by `score=uncertainty` and if they take any, as a
Markdown table.

usage: label_next.py OUT [--seeds=3] [--strategies=random,uncertainty]

Draws a pool of scenes in which the classes are as frequent as 30:1, and scenes with all of them to measure with. A strategy begins
with five images of the pool, trains from models/demo/rtmdet-demo.pth, whose class names are other ones, chooses three more images
by what that model says of the pool, and so on until AP50 is 0.9. What `uncertainty` says is what lib/curation says.

What is in OUT is not made again. Needs bin/duet-train and tests/bench_trainer_curation_measures of the build folder; takes about
two minutes of one processor a seed.
"""
import argparse
import collections
import json
import pathlib
import random
import statistics
import subprocess
import sys

from commands import ROOT, duet_train

MEASURES = ROOT / "build/release/tests/bench_trainer_curation_measures"
DEMO = ROOT / "models/demo/rtmdet-demo.pth"
# Percent of the objects.
SHARES = {"circle": 30, "square": 20, "triangle": 14, "star": 10, "ring": 8, "cross": 6, "hexagon": 5, "heart": 3, "crescent": 3,
          "arrow": 1}
POOL, TEST, FIRST, STEP, LAST = 300, 100, 5, 3, 100
GOAL = 0.9
IMAGES_SEEN = 200  # by each training, however few there are


def draw(folder, seed, count, shapes):
    """Scenes whose classes no model knows by name."""
    path = folder / "new.json"
    if not path.exists():
        duet_train("scenes", f"--seed={seed}", f"--count={count}", f"--shapes={','.join(shapes)}", f"--out={folder}")
        coco = json.loads((folder / "coco.json").read_text())
        for category in coco["categories"]:
            category["name"] = "new " + category["name"]
        for one in coco["annotations"]:
            del one["segmentation"]
        path.write_text(json.dumps(coco))
    return json.loads(path.read_text())


def train(folder, pool, coco, images, seed, looks):
    """A model that has learned these images: its scores on the test scenes, and what it finds in the pool if it `looks`."""
    scores, found = folder / "scores.json", folder / "found.json"
    if not scores.exists():
        folder.mkdir(parents=True, exist_ok=True)
        known = set(images)
        data = coco | {"images": [one for one in coco["images"] if one["id"] in known],
                       "annotations": [one for one in coco["annotations"] if one["image_id"] in known]}
        (folder / "data.json").write_text(json.dumps(data))
        epochs = max(1, round(IMAGES_SEEN / len(images)))
        duet_train(f"--data={folder}/data.json", f"--images={pool}", "--val_share=0", f"--from={DEMO}", f"--out={folder}/model",
                   "--classes=" + ",".join(category["name"] for category in coco["categories"]), "--batch=4", "--patience=0",
                   f"--epochs={epochs}", f"--plain_epochs={epochs}", "--lr=0.001", "--new_class_lr=0.01", "--threads=1",
                   f"--seed={seed}", "--noresume")
        model = f"--checkpoint={folder}/model/last.pth"
        if looks:
            duet_train("evaluate", f"--data={pool}/new.json", f"--images={pool}", model, f"--found={found}")
            found.write_text(json.dumps([one for one in json.loads(found.read_text()) if one["score"] >= 0.01]))
        test = pool.parent / "test"
        scores.write_text(duet_train("evaluate", f"--data={test}/new.json", f"--images={test}", model))
        for name in ("last.pth", "best.pth", "state.pth"):
            (folder / "model" / name).unlink(missing_ok=True)
    return json.loads(scores.read_text())["boxes"], json.loads(found.read_text()) if looks else []


def informativeness(coco, found):
    """By image, what lib/curation says."""
    names = {category["id"]: category["name"] for category in coco["categories"]}
    by_image = collections.defaultdict(list)
    for one in found:
        by_image[one["image_id"]].append({"label": names[one["category_id"]], "score": one["score"], "box": one["bbox"]})
    lines = "".join(json.dumps({"detections": by_image[one["id"]], "objects": []}) + "\n" for one in coco["images"])
    ran = subprocess.run([MEASURES], input=lines, capture_output=True, text=True, check=True)
    return {one["id"]: json.loads(line)["informativeness"]
            for one, line in zip(coco["images"], ran.stdout.splitlines(), strict=True)}


def curve(out, seed, strategy):
    """[(images, AP50), …], up to the goal."""
    shapes = [name for name, share in SHARES.items() for _ in range(share)]
    pool = out / f"pool-{seed}"
    coco = draw(pool, 5000 + seed, POOL, shapes)
    draw(out / "test", 999, TEST, list(SHARES))
    order = [one["id"] for one in coco["images"]]
    random.Random(seed).shuffle(order)
    images, points = order[:FIRST], []
    while True:
        name = "first" if len(images) == FIRST else strategy
        boxes, found = train(out / f"{seed}-{name}-{len(images)}", pool, coco, images, seed, name != "random")
        points.append((len(images), boxes["all"]["ap50"]))
        rarest = sum(one["image_id"] in set(images) and one["category_id"] == len(SHARES) for one in coco["annotations"])
        print(seed, strategy, *points[-1], f"{rarest} of the rarest class", file=sys.stderr, flush=True)
        if points[-1][1] >= GOAL or len(images) >= LAST:
            return points
        left = [image for image in order if image not in set(images)]
        if strategy == "uncertainty":
            worth = informativeness(coco, found)
            left.sort(key=lambda image: -worth[image])
        images = images + left[:STEP]


def needed(points):
    """Images to the goal, between two points of the curve."""
    (fewer, below), (more, above) = ([(0, 0.0)] + points)[-2:]
    if above < GOAL:
        return float("inf")
    return fewer + (more - fewer) * (GOAL - below) / (above - below)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--strategies", default="random,uncertainty")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    strategies = options.strategies.split(",")
    counts = {strategy: [needed(curve(options.out, seed, strategy)) for seed in range(1, options.seeds + 1)]
              for strategy in strategies}
    print("| order | " + " | ".join(f"seed {seed}" for seed in range(1, options.seeds + 1)) + " | mean |")
    print("|---" * (options.seeds + 2) + "|")
    for strategy in strategies:
        print(f"| {strategy} | " + " | ".join(f"{one:.0f}" for one in counts[strategy])
              + f" | {statistics.mean(counts[strategy]):.0f} |")


if __name__ == "__main__":
    main()
