#!/usr/bin/env python3
"""Writes tests/data/vision/merged_by_sahi.json: boxes, and what SAHI makes of them.

usage: make_merge_fixture.py     (needs: pip install sahi==0.12.8)

Objects are found several times, shifted, or in pieces, by two classes. Coordinates are multiples of a quarter and scores of
1/64, so that they are the same number in float32 and in JSON, and many scores are equal.
"""
import itertools
import json
import pathlib
import random

from sahi.postprocess import combine
from sahi.postprocess.backends import set_postprocess_backend
from sahi.prediction import ObjectPrediction

METHODS = {"nms": combine.NMSPostprocess, "nmm": combine.NMMPostprocess, "greedy_nmm": combine.GreedyNMMPostprocess}
OUT = pathlib.Path(__file__).resolve().parents[1] / "tests/data/vision/merged_by_sahi.json"


def drawn(generator):
    boxes = []
    for _ in range(60):
        x, y = generator.randrange(16, 1600) / 4, generator.randrange(16, 1200) / 4
        width, height = generator.randrange(16, 320) / 4, generator.randrange(16, 320) / 4
        for _ in range(generator.randrange(1, 5)):
            left = x + generator.randrange(-12, 13) / 4
            top = y + generator.randrange(-12, 13) / 4
            right, bottom = left + width * generator.choice((1, 1, 0.5)), top + height * generator.choice((1, 1, 0.75))
            box = [round(4 * value) / 4 for value in (left, top, right, bottom)]
            boxes.append([*box, generator.randrange(8, 65) / 64, generator.randrange(2)])
    boxes += boxes[:5]  # exact duplicates
    generator.shuffle(boxes)
    return boxes


def merged(boxes, method, metric, threshold, class_agnostic):
    predictions = [ObjectPrediction(bbox=list(box), score=score, category_id=label, category_name=str(label))
                   for *box, score, label in boxes]
    made = METHODS[method](match_threshold=threshold, match_metric=metric, class_agnostic=class_agnostic)(predictions)
    return sorted([*one.bbox.to_xyxy(), one.score.value, one.category.id] for one in made)


def main():
    set_postprocess_backend("numpy")
    boxes = drawn(random.Random(1))
    cases = []
    for method, metric, threshold, agnostic in itertools.product(METHODS, ("IOU", "IOS"), (0.25, 0.5), (False, True)):
        cases.append({"method": method, "metric": metric.lower(), "threshold": threshold, "class_agnostic": agnostic,
                      "merged": merged(boxes, method, metric, threshold, agnostic)})
    lines = ",\n".join(json.dumps(case) for case in cases)
    OUT.write_text(f'{{"boxes": {json.dumps(boxes)},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
