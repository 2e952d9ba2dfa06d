#!/usr/bin/env python3
"""How good a fine-tuned detector is after so many annotated images: a Markdown table.

usage: learning_curve.py DATA CHECKPOINT OUT [--counts=10,20,40,80] [--seeds=1] [-- FLAGS OF duet-train]

DATA has train.json, val.json and test.json, COCO, and images/. Of the training images the first so many by the hash of
their names are taken, so that a larger number has the smaller one's. Each training is measured with test.json by
`duet-train evaluate`. What is finished in OUT is not trained again.
"""
import argparse
import hashlib
import json
import pathlib
import statistics
import subprocess

from commands import DUET_TRAIN


def first_images(annotations, count):
    """The COCO file with `count` of its images, 0: all."""
    images = sorted(annotations["images"], key=lambda image: hashlib.sha256(image["file_name"].encode()).digest())
    kept = images[:count or None]
    ids = {image["id"] for image in kept}
    return annotations | {"images": kept, "annotations": [one for one in annotations["annotations"] if one["image_id"] in ids]}


def train_and_score(data, checkpoint, folder, count, seed, flags):
    subset = first_images(json.loads((data / "train.json").read_text()), count)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.json").write_text(json.dumps(subset))
    subprocess.run([DUET_TRAIN, f"--data={folder}/train.json", f"--images={data}/images", f"--validation={data}/val.json",
                    f"--from={checkpoint}", f"--out={folder}/run", f"--seed={seed}", *flags], check=True)
    scored = subprocess.run([DUET_TRAIN, "evaluate", f"--data={data}/test.json", f"--images={data}/images",
                             f"--checkpoint={folder}/run/best.pth"], check=True, capture_output=True, text=True)
    scores = json.loads(scored.stdout)["boxes"]["all"]
    return len(subset["images"]), scores["ap"], scores["ap50"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("checkpoint")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--counts", default="10,20,40,80,0", help="numbers of training images; 0: all")
    parser.add_argument("--seeds", default="1")
    options, flags = parser.parse_known_args()
    print("| training images | AP | AP50 |\n|---|---|---|", flush=True)
    for count in map(int, options.counts.split(",")):
        rows = [train_and_score(options.data, options.checkpoint, options.out / f"{count}-{seed}", count, seed,
                                [flag for flag in flags if flag != "--"])
                for seed in options.seeds.split(",")]
        print(f"| {rows[0][0]} | {statistics.mean(row[1] for row in rows):.3f} "
              f"| {', '.join(f'{row[2]:.3f}' for row in rows)} |", flush=True)


if __name__ == "__main__":
    main()
