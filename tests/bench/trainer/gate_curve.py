#!/usr/bin/env python3
"""How often the gate errs (docs/training.md): trains many models of different worth, lets the gate decide between them, and
counts the swaps that lose and the gains that are taken, as a Markdown table.

usage: gate_curve.py OUT [--repeats=10] [--seed=1]

Draws scenes, and trains from models/demo/rtmdet-demo.pth, at 128 pixels, three parents and from each of them children: on few
and many images, with clean, noisy and wrong labels, with the parent's boxes where an annotator would have accepted them, with a
class that the parent hasn't seen. A parent and its child are
what the loop compares. What is true says the AP on scenes that no decision sees. A decision is made on some scenes of a
pool, annotated by the same hand as what the child has learned from.

Another seed is another set of models, scenes and decisions. What is in OUT is not made again. Needs bin/duet-train and
tests/bench_trainer_gate_decisions of the build folder; takes about 25 minutes of one processor.
"""
import argparse
import collections
import json
import math
import pathlib
import random
import statistics
import subprocess
import sys

from commands import ROOT, duet_train

DECISIONS = ROOT / "build/release/tests/bench_trainer_gate_decisions"
DEMO = ROOT / "models/demo/rtmdet-demo.pth"
SHAPES = "circle,square,triangle,star,ring,cross,hexagon,heart,crescent,arrow"
# By what is drawn: the shapes of the demo, or a third of them drops, which it has never seen.
DRAWN = {"shapes": SHAPES, "drops": "drop,drop,drop,drop,drop," + SHAPES}
POOL = {"shapes": 240, "drops": 200}
HIDDEN = {"shapes": 500, "drops": 400}
HANDS = ("clean", "noisy", "wrong", "awful")
# A prediction with this score, and this IoU with what is really there, is left as it is by who corrects predictions.
SHOWN, ACCEPTED = 0.5, 0.7
SIZES = (5, 10, 20, 40, 80)
LOSS, GAIN = 0.01, 0.05
# Detections below this score are left out of the decisions, which would take three times as long with them.
LEAST_SCORE = 0.01

Model = collections.namedtuple("Model", "name parent images labels drawn epochs rate seed")
PARENTS = ("weak", "off", "good")


def models():
    yield Model("weak", None, 24, "clean", "shapes", 12, 0.0004, 1)
    yield Model("good", "weak", 160, "clean", "shapes", 24, 0.0006, 2)
    yield Model("off", "weak", 60, "noisy", "shapes", 20, 0.0006, 3)
    number = 10
    for parent in PARENTS:
        for labels, amounts in (("clean", (12, 24, 48, 96, 160)), ("noisy", (16, 48, 120)), ("wrong", (16, 48, 120)),
                                ("awful", (48,))):
            for images in amounts:
                number += 1
                yield Model(f"{parent}-{labels}-{images}", parent, images, labels, "shapes", max(4, min(30, 1440 // images)),
                            (0.0002, 0.0006, 0.0015)[number % 3], number)
    for parent in PARENTS:
        for labels, images in (("clean", 20), ("clean", 80), ("wrong", 20), ("noisy", 40)):
            number += 1
            yield Model(f"{parent}-drop-{labels}-{images}", parent, images, labels, "drops", max(6, min(40, 1440 // images)),
                        (0.0004, 0.001)[number % 2], number)
    for parent in PARENTS:
        for drawn, images in (("shapes", 16), ("shapes", 48), ("shapes", 120), ("drops", 40)):
            number += 1
            yield Model(f"{parent}-accepted-{drawn}-{images}", parent, images, "accepted", drawn,
                        max(4, min(30, 1440 // images)), (0.0002, 0.0006, 0.0015)[number % 3], number)


def draw(folder, seed, count, drawn):
    if not (folder / "coco.json").exists():
        duet_train("scenes", f"--seed={seed}", f"--count={count}", f"--shapes={DRAWN[drawn]}", f"--out={folder}")


def shaken(box, generator, width, height, share):
    """The box with each edge moved by up to `share` of its length."""
    x, y, w, h = box
    left, right = x + generator.uniform(-share, share) * w, x + w + generator.uniform(-share, share) * w
    top, bottom = y + generator.uniform(-share, share) * h, y + h + generator.uniform(-share, share) * h
    left, top, right, bottom = max(0, left), max(0, top), min(width, right), min(height, bottom)
    return [left, top, max(2, right - left), max(2, bottom - top)]


def annotated_by(hand, coco, seed):
    """`noisy`: a tenth of the objects is forgotten, edges are off by up to 15 %. `wrong`: 40 % have any class. `awful`: half is
    forgotten, and of the rest 80 % have any class."""
    generator = random.Random(seed)
    sizes = {image["id"]: (image["width"], image["height"]) for image in coco["images"]}
    classes = [category["id"] for category in coco["categories"]]
    kept = []
    for one in coco["annotations"]:
        one = {key: value for key, value in one.items() if key != "segmentation"}
        chance, other = generator.random(), generator.choice(classes)
        if chance < {"noisy": 0.1, "awful": 0.5}.get(hand, 0):
            continue
        if hand == "noisy":
            one["bbox"] = shaken(one["bbox"], generator, *sizes[one["image_id"]], 0.15)
        elif hand == "wrong" and chance < 0.4 or hand == "awful" and chance < 0.9:
            one["category_id"] = other
        kept.append(one)
    return coco | {"annotations": kept}


def overlap(one, other):
    """The IoU of two boxes [x, y, width, height]."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(0, width) * max(0, height)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def accepted(coco, found):
    """What somebody submits who corrects predictions: those that fit stay to the pixel, the others are drawn anew."""
    shown = collections.defaultdict(list)
    for one in sorted(found, key=lambda one: -one["score"]):
        if one["score"] >= SHOWN:
            shown[one["image_id"], one["category_id"]].append(one["bbox"])
    submitted = []
    for one in coco["annotations"]:
        boxes = shown[one["image_id"], one["category_id"]]
        best = max(boxes, key=lambda box: overlap(box, one["bbox"]), default=None)
        one = {key: value for key, value in one.items() if key != "segmentation"}
        if best and overlap(best, one["bbox"]) >= ACCEPTED:
            boxes.remove(best)
            one["bbox"] = best
        submitted.append(one)
    return coco | {"annotations": submitted}


def weights(out, name):
    """Of a model: what duet-trainer publishes of a child."""
    return out / name / ("best.pth" if name in PARENTS else "last.pth")


def find(out, name, scenes, found):
    """What the model finds on these scenes."""
    duet_train("evaluate", f"--data={scenes}/coco.json", f"--images={scenes}", f"--checkpoint={weights(out, name)}",
               f"--found={found}")
    found.write_text(json.dumps([one for one in json.loads(found.read_text()) if one["score"] >= LEAST_SCORE]))
    return json.loads(found.read_text())


def train(out, model, seed):
    folder = out / model.name
    if (folder / "report.md").exists():
        return
    scenes = out / f"scenes-{model.name}"
    draw(scenes, 100_000 * seed + model.seed, model.images, model.drawn)
    coco, data = json.loads((scenes / "coco.json").read_text()), out / f"{model.name}.json"
    if model.labels == "accepted":
        coco = accepted(coco, find(out, model.parent, scenes, scenes / "found.json"))
    else:
        coco = annotated_by(model.labels, coco, 1000 * (seed - 1) + model.seed)
    data.write_text(json.dumps(coco))
    duet_train(f"--data={data}", f"--images={scenes}", f"--from={weights(out, model.parent) if model.parent else DEMO}",
               f"--out={folder}", "--input_size=128", f"--epochs={model.epochs}", "--batch=8", "--patience=0",
               f"--lr={model.rate}", f"--seed={1000 * (seed - 1) + model.seed}", "--threads=1", "--frozen_stages=2", "--json")
    print("trained", model.name, file=sys.stderr, flush=True)


def draw_pools(out, seed):
    for number, drawn in enumerate(DRAWN):
        draw(out / f"pool-{drawn}", 1_000_000 * (seed - 1) + 700_001 + 10_000 * number, POOL[drawn], drawn)
        draw(out / f"hidden-{drawn}", 1_000_000 * (seed - 1) + 800_001 + 10_000 * number, HIDDEN[drawn], drawn)
        clean = json.loads((out / f"pool-{drawn}/coco.json").read_text())
        for hand in HANDS:
            (out / f"pool-{drawn}/by-{hand}.json").write_text(json.dumps(annotated_by(hand, clean, 98 + seed)))


def annotations(out, model):
    """Those of the pool, by the hand of what the model has learned from."""
    pool = out / f"pool-{model.drawn}"
    if model.labels != "accepted":
        return pool / f"by-{model.labels}.json"
    path = pool / f"by-accepted-{model.parent}.json"
    if not path.exists():
        found = json.loads((pool / f"{model.parent}.json").read_text())
        path.write_text(json.dumps(accepted(json.loads((pool / "coco.json").read_text()), found)))
    return path


def truth(out, name, drawn):
    """The model's AP and AP50 on the hidden scenes. What it finds in the pool is left there for the decisions."""
    scores, pool, hidden = out / f"{name}.{drawn}.json", out / f"pool-{drawn}", out / f"hidden-{drawn}"
    if not scores.exists():
        find(out, name, pool, pool / f"{name}.json")
        scores.write_text(duet_train("evaluate", f"--data={hidden}/coco.json", f"--images={hidden}",
                                     f"--checkpoint={weights(out, name)}"))
        print("measured", name, drawn, file=sys.stderr, flush=True)
    return json.loads(scores.read_text())["boxes"]["all"]


def decide(out, drawn, repeats, seed):
    """One dictionary a decision."""
    children = [model for model in models() if model.parent and model.drawn == drawn]
    jobs = [(model, size, random.Random(f"{model.name} {size} {repeat} {seed}").getrandbits(40))
            for model in children for size in SIZES for repeat in range(repeats)]
    pool = out / f"pool-{drawn}"
    lines = "".join(f"{model.parent} {model.name} {size} {draw} {annotations(out, model)}\n" for model, size, draw in jobs)
    results = out / f"decisions-{drawn}-{repeats}.jsonl"
    if not results.exists():
        ran = subprocess.run([DECISIONS, pool], input=lines, capture_output=True, text=True, check=True)
        results.write_text(ran.stdout)
    decisions = []
    for (model, size, _), line in zip(jobs, results.read_text().splitlines(), strict=True):
        old, new = truth(out, model.parent, drawn), truth(out, model.name, drawn)
        decisions.append({"size": size, "gain": new["ap"] - old["ap"], "new_class": drawn == "drops", **json.loads(line)})
    return decisions


def geti(decision):
    """Geti's rule: accepted unless a one-sided test of two proportions, with as many trials as images, calls the new one worse
    at 5 %; always if the labels have changed."""
    old, new, images = decision["old_score"], decision["new_score"], decision["images"]
    pooled = (old + new) / 2
    if decision["new_class"] or pooled in (0, 1):
        return True
    z = (new - old) / math.sqrt(pooled * (1 - pooled) * 2 / images)
    return statistics.NormalDist().cdf(z) >= 0.05


RULES = {"the gate": lambda decision: decision["outcome"] == "better", "Geti's rule": geti, "always": lambda decision: True}


def wilson(count, total, z=1.96):
    """"3.2 % (2.1 to 4.8)": a share, and its interval of 95 %."""
    if total == 0:
        return "–"
    share = count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return f"{100 * share:.1f} % ({100 * max(0, middle - half):.1f} to {100 * min(1, middle + half):.1f})"


def row(title, decisions, rule):
    swaps = [one for one in decisions if rule(one)]
    losing = [one for one in decisions if one["gain"] < -LOSS]
    gaining = [one for one in decisions if one["gain"] > GAIN]
    return (f"| {title} | {len(decisions)} | {len(swaps)} | {wilson(sum(one['gain'] < -LOSS for one in swaps), len(swaps))} "
            f"| {wilson(sum(map(rule, losing)), len(losing))} | {wilson(sum(map(rule, gaining)), len(gaining))} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--repeats", type=int, default=10, help="decisions a pair of models and number of images")
    parser.add_argument("--seed", type=int, default=1, help="of models, scenes and decisions")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for model in models():
        train(options.out, model, options.seed)
    draw_pools(options.out, options.seed)
    for model in models():
        for name in filter(None, (model.parent, model.name)):
            truth(options.out, name, model.drawn)
    decisions = [one for drawn in DRAWN for one in decide(options.out, drawn, options.repeats, options.seed)]
    print(f"| rule, images | decisions | swaps | of them lose > {LOSS} | worse by > {LOSS}, swapped | better by > {GAIN}, swapped |")
    print("|---|---|---|---|---|---|")
    for size in SIZES:
        print(row(f"the gate, {size}", [one for one in decisions if one["size"] == size], RULES["the gate"]))
    for name, rule in RULES.items():
        print(row(f"{name}, all", decisions, rule))


if __name__ == "__main__":
    main()
