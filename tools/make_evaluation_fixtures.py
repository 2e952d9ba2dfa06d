"""Makes tests/data/trainer/coco_evaluation.json: annotations, detections, and what pycocotools' COCOeval says of them.

usage: python make_evaluation_fixtures.py     (needs pycocotools)

Each case is made of what its rules treat in its own way: whole coordinates, with which IoUs are exactly a threshold; few
different scores, so that many are equal; crowds; areas on the borders of the ranges; more than a hundred detections of one
class in one image; classes and images without objects, and without detections; images in another order than their ids. The
last case has annotations that a training leaves out or changes, and an evaluation doesn't: boxes that reach out of their image
or lie beside it, boxes without width or height, objects marked `ignore`.
"""
import contextlib
import io
import json
import pathlib
import random

import numpy
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

OUT = pathlib.Path(__file__).resolve().parents[1] / "tests/data/trainer/coco_evaluation.json"
CLASSES = 4  # the last has no object, but detections


def code_of(pixels):
    code = mask.encode(numpy.asfortranarray(pixels.astype(numpy.uint8)))
    return {"size": code["size"], "counts": code["counts"].decode()}


def shape(chosen, box, width, height):
    """The mask of an ellipse or rectangle in the box."""
    x, y, w, h = box
    rows, columns = numpy.mgrid[0:height, 0:width] + 0.5
    if chosen.random() < 0.5:
        return code_of((columns > x) & (columns < x + w) & (rows > y) & (rows < y + h))
    return code_of(((columns - x - w / 2) / (w / 2)) ** 2 + ((rows - y - h / 2) / (h / 2)) ** 2 <= 1)


def random_box(chosen, width, height):
    w, h = (chosen.choice([8, 16, 32, 32, 64, 96, 96, 128]) for _ in range(2))
    w, h = min(w, width), min(h, height)
    return [chosen.randint(0, (width - w) // 8) * 8, chosen.randint(0, (height - h) // 8) * 8, w, h]


def moved(chosen, box, width, height):
    """A box that overlaps this one more or less: by quarters, so that IoUs such as 1/2, 3/4 and 0.6 are frequent."""
    x, y, w, h = box
    dx, dy = (chosen.choice([0, 0, 0, 1, 1, 2]) * side / 8 for side in (w, h))
    dw, dh = (chosen.choice([0, 0, 0, 0, -1, 1, 2]) * side / 8 for side in (w, h))
    x, y = min(x + dx, width - 1), min(y + dy, height - 1)
    return [x, y, max(1, min(w + dw, width - x)), max(1, min(h + dh, height - y))]


def make_case(seed, images=12, whole=True):
    """(annotations, results) in COCO's formats. `whole`: coordinates on a grid; otherwise any float of 32 bits."""
    chosen = random.Random(seed)
    ids = [*chosen.sample(range(1, 1000), images)]
    sizes = {one: (chosen.choice([96, 160, 200]), chosen.choice([96, 128, 200])) for one in ids}
    annotations, results = [], []
    for image, (width, height) in sizes.items():
        for _ in range(chosen.choice([0, 1, 3, 8])):
            box = random_box(chosen, width, height)
            crowd = chosen.random() < 0.2
            if crowd:  # around other objects, most probably
                box = [0, 0, max(box[2], width // 2), max(box[3], height // 2)]
            segmentation = shape(chosen, box, width, height)
            area = chosen.choice([int(mask.area(segmentation)), box[2] * box[3], 1024, 9216])
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": chosen.randrange(1, CLASSES) * 7,
                                "bbox": box, "segmentation": segmentation, "area": area,
                                "iscrowd": int(crowd)})
        here = [one for one in annotations if one["image_id"] == image]
        for _ in range(chosen.choice([0, 4, 20])):
            near = chosen.choice(here) if here and chosen.random() < 0.8 else None
            box = moved(chosen, near["bbox"], width, height) if near else random_box(chosen, width, height)
            category = near["category_id"] if near and chosen.random() < 0.9 else chosen.randint(1, CLASSES) * 7
            results.append((image, category, chosen.choice([0.125, 0.25, 0.5, 0.5, 0.75, 0.875]), box))
    image, (width, height) = next(iter(sizes.items()))
    for n in range(115):  # many of one class and image
        results.append((image, 7, chosen.choice([0.25, 0.5]), random_box(chosen, width, height)))
    chosen.shuffle(results)
    found = []
    for image, category, score, box in results:
        if not whole:
            left, top, right, bottom = (
                float(numpy.float32(value + chosen.uniform(-1.5, 1.5))) for value in
                (box[0], box[1], box[0] + box[2] + 2, box[1] + box[3] + 2))
            box = [left, top, right - left, bottom - top]
            score = float(numpy.float32(chosen.choice([score, chosen.random()])))
        found.append({"image_id": image, "category_id": category, "score": score, "bbox": box,
                      "segmentation": shape(chosen, box, *sizes[image])})
    return {"images": [{"id": one, "file_name": f"{one}.jpg", "width": size[0], "height": size[1]}
                       for one, size in sizes.items()],
            "categories": [{"id": 7 * number, "name": f"class {number}"} for number in range(1, CLASSES + 1)],
            "annotations": annotations}, found


def make_odd(annotations, results, seed):
    """Changes boxes and marks of about half of the annotations."""
    chosen = random.Random(seed)
    for one in annotations["annotations"]:
        x, y, w, h = one["bbox"]
        change = chosen.randrange(8)
        if change == 0:
            one["bbox"] = [x - w / 2, y, w + w / 2, h]
            results.append({"image_id": one["image_id"], "category_id": one["category_id"], "score": 0.875,
                            "bbox": [x, y, w, h], "segmentation": one["segmentation"]})
        elif change == 1:
            one["bbox"] = [x + 300, y, w, h]
        elif change == 2:
            one["bbox"] = [x, y, 0, h]
        elif change == 3:
            one["bbox"] = [x, y, w, -h]
        elif change == 4:
            one["ignore"] = 1  # of crowds, too
        elif change == 5:
            one.update(ignore=0, iscrowd=1)


def judge(annotations, results, kind):
    """COCOeval.stats of all classes, and of each by itself."""
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        truth = COCO()
        truth.dataset = {"info": {}, **annotations}
        truth.createIndex()
        # With a box, loadRes takes its area also for masks; mmdet leaves it out, too.
        other = "segmentation" if kind == "bbox" else "bbox"
        detections = truth.loadRes([{key: value for key, value in one.items() if key != other} for one in results])
        stats = []
        for chosen in (None, *sorted(truth.getCatIds())):
            evaluation = COCOeval(truth, detections, kind)
            if chosen is not None:
                evaluation.params.catIds = [chosen]
            for step in (evaluation.evaluate, evaluation.accumulate, evaluation.summarize):
                step()
            stats.append([float(value) for value in evaluation.stats])
    return {"all": stats[0], "by_class": stats[1:]}


if __name__ == "__main__":
    cases = []
    for seed in range(5):
        annotations, results = make_case(seed, images=6, whole=seed != 3)
        odd = seed == 4
        if odd:
            make_odd(annotations, results, seed)
        cases.append({"annotations": annotations, "results": results, "boxes": judge(annotations, results, "bbox"),
                      "masks": judge(annotations, results, "segm"), "odd_boxes": odd})
    OUT.write_text("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n")
