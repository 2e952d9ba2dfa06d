#!/usr/bin/env python3
"""How many wrong annotations are in the first tenth of a review (docs/training.md), as a Markdown table.

usage: review_recall.py OUT [--seeds=2]

Draws scenes and spoils one annotation in twenty, a quarter of them in each way: forgets it, gives it another class, moves the box,
or adds a box where nothing is. A model of models/demo/rtmdet-demo.pth, whose class names are other ones, learns half of the
scenes, spoilt as they are. Then all annotations are sorted as `duet review` sorts them: those that the model has learned
from, and those that it hasn't. The first tenth is as many issues as a tenth of the annotations.

What is in OUT is not made again. Needs bin/duet-train and tests/bench_trainer_curation_measures of the build folder; takes about
two minutes of one processor a seed.
"""
import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from commands import duet_train  # noqa: E402
from label_next import DEMO, MEASURES, draw  # noqa: E402

SCENES = 200
SPOILT = 0.05
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "hexagon", "heart", "crescent", "arrow")
WAYS = ("missing", "wrong_label", "bad_box", "spurious")


def iou(a, b):
    width = max(0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    height = max(0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    return width * height / (a[2] * a[3] + b[2] * b[3] - width * height)


def moved(box, generator, width, height):
    """A box that overlaps the object, by an IoU of 0.2 to 0.6: shifted and stretched."""
    while True:
        x, y, w, h = (box[0] + generator.uniform(-0.5, 0.5) * box[2], box[1] + generator.uniform(-0.5, 0.5) * box[3],
                      box[2] * generator.uniform(0.6, 1.6), box[3] * generator.uniform(0.6, 1.6))
        x, y = max(0, x), max(0, y)
        placed = [x, y, min(w, width - x), min(h, height - y)]
        if min(placed[2:]) > 4 and 0.2 <= iou(placed, box) <= 0.6:
            return placed


def spoil(coco, seed):
    """The annotations as people left them, and what is wrong with them: {annotation id: (way, the true one)}."""
    generator = random.Random(seed)
    images = {one["id"]: one for one in coco["images"]}
    classes = [category["id"] for category in coco["categories"]]
    chosen = generator.sample(coco["annotations"], round(SPOILT * len(coco["annotations"])))
    wrong = {one["id"]: (WAYS[number % len(WAYS)], one) for number, one in enumerate(chosen)}
    kept = []
    for one in coco["annotations"]:
        way, _ = wrong.get(one["id"], ("right", None))
        image = images[one["image_id"]]
        if way == "missing":
            continue
        if way == "wrong_label":
            one = one | {"category_id": generator.choice([other for other in classes if other != one["category_id"]])}
        if way == "bad_box":
            one = one | {"bbox": moved(one["bbox"], generator, image["width"], image["height"])}
        kept.append(one)
        if way == "spurious":  # beside a right one
            others = [other["bbox"] for other in coco["annotations"] if other["image_id"] == image["id"]]
            while True:
                side = generator.uniform(40, 120)
                box = [generator.uniform(0, image["width"] - side), generator.uniform(0, image["height"] - side), side, side]
                if all(iou(box, other) < 0.05 for other in others):
                    break
            added = {"id": -one["id"], "image_id": image["id"], "category_id": generator.choice(classes), "bbox": box,
                     "area": side * side, "iscrowd": 0}
            kept.append(added)
            wrong[added["id"]] = wrong.pop(one["id"])[:1] + (added,)
    return coco | {"annotations": kept}, wrong


def learn(folder, scenes, coco, images, seed):
    """What a model that has learned these images finds in all of them."""
    found = folder / "found.json"
    if not found.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data.json").write_text(json.dumps(coco | {
            "images": [one for one in coco["images"] if one["id"] in images],
            "annotations": [one for one in coco["annotations"] if one["image_id"] in images]}))
        duet_train(f"--data={folder}/data.json", f"--images={scenes}", "--val_share=0", f"--from={DEMO}", f"--out={folder}/model",
                   "--batch=4", "--patience=0", "--epochs=8", "--plain_epochs=8", "--lr=0.001", "--new_class_lr=0.01",
                   "--classes=" + ",".join(category["name"] for category in coco["categories"]), "--threads=1", f"--seed={seed}",
                   "--noresume")
        duet_train("evaluate", f"--data={scenes}/new.json", f"--images={scenes}", f"--checkpoint={folder}/model/last.pth",
                   f"--found={found}")
        found.write_text(json.dumps([one for one in json.loads(found.read_text()) if one["score"] >= 0.01]))
    return json.loads(found.read_text())


def issues(coco, found):
    """[(suspicion, kind, annotation id or None, image, box)], the most suspicious first."""
    names = {category["id"]: category["name"] for category in coco["categories"]}
    objects, detections = collections.defaultdict(list), collections.defaultdict(list)
    for one in coco["annotations"]:
        objects[one["image_id"]].append(one)
    for one in found:
        detections[one["image_id"]].append({"label": names[one["category_id"]], "score": one["score"], "box": one["bbox"]})
    lines = "".join(json.dumps({"detections": detections[image["id"]], "objects": [
        {"label": names[one["category_id"]], "box": one["bbox"]} for one in objects[image["id"]]]}) + "\n"
        for image in coco["images"])
    ran = subprocess.run([MEASURES], input=lines, capture_output=True, text=True, check=True)
    listed = []
    for image, line in zip(coco["images"], ran.stdout.splitlines(), strict=True):
        for one in json.loads(line)["issues"]:
            id = objects[image["id"]][one["object"]]["id"] if one["object"] >= 0 else None
            listed.append((one["suspicion"], one["kind"], id, image["id"], one["box"]))
    return sorted(listed, key=lambda one: -one[0])


def is_about(issue, id, way, truth):
    if way == "missing":
        return issue[2] is None and issue[3] == truth["image_id"] and iou(issue[4], truth["bbox"]) >= 0.5
    return issue[2] == id


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    counts = collections.Counter()
    for seed in range(1, options.seeds + 1):
        scenes = options.out / f"scenes-{seed}"
        true = draw(scenes, 9000 + seed, SCENES, SHAPES)
        spoilt, wrong = spoil(true, seed)
        learned = {one["id"] for one in true["images"][:SCENES // 2]}
        found = learn(options.out / f"model-{seed}", scenes, spoilt, learned, seed)
        for side in ("learned", "not learned"):
            mine = {one["id"] for one in true["images"] if (one["id"] in learned) == (side == "learned")}
            part = spoilt | {"images": [one for one in spoilt["images"] if one["id"] in mine],
                             "annotations": [one for one in spoilt["annotations"] if one["image_id"] in mine]}
            tenth = issues(part, found)[:round(len(part["annotations"]) / 10)]
            for id, (way, truth) in wrong.items():
                if truth["image_id"] in mine:
                    counts[side, way, "all"] += 1
                    counts[side, way, "found"] += any(is_about(issue, id, way, truth) for issue in tenth)
    print("| annotations | " + " | ".join(WAYS) + " | all |")
    print("|---" * (len(WAYS) + 2) + "|")
    for side in ("learned", "not learned"):
        cells = [(counts[side, way, "found"], counts[side, way, "all"]) for way in WAYS]
        cells.append(tuple(map(sum, zip(*cells))))
        print(f"| {side} | " + " | ".join(f"{found} of {total}" for found, total in cells)
              + f" ({100 * cells[-1][0] / max(1, cells[-1][1]):.0f} %) |")


if __name__ == "__main__":
    main()
