#!/usr/bin/env python3
"""duet prelabel beside the rate of its detector's DetectBatch, and beside a Python loop with mmdet on the same weights.

usage: side_by_side.py WORKER [--model=tiny] [--images=200] [--rounds=3] [--json=FILE]

WORKER is build/release's bench_bulk_turns. With mmdet (./duet bench bulk --torch) the weights are an RTMDet of official size
with random weights, which both load; without, those of the demo. Images are copies of a 640x480 JPEG. Prints images a
second, median of the rounds, which take turns. Everything runs on the same machine, so that its load matters.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "../../.."))
BINARIES = os.path.join(ROOT, "build/release/bin")
IMAGE = os.path.join(ROOT, "tests/data/scenes/scene_1.jpg")
sys.path.insert(0, os.path.join(ROOT, "tools"))


def reference_model(name, folder):
    """mmdet's model and a checkpoint of it; nothing without mmdet."""
    try:
        import torch
        import make_full_size_goldens as reference
        mmdet = reference.import_mmdet()
    except ImportError:
        return None, None
    model, config = reference.build(mmdet, name)
    model.test_cfg.score_thr = 0.5
    path = os.path.join(folder, f"{name}.pth")
    torch.save({"meta": {"cfg": config.pretty_text, "dataset_meta": {"classes": tuple(f"class {i}" for i in range(80))}},
                "state_dict": model.state_dict()}, path)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return lambda: mmdet.apis.inference_detector(model, IMAGE), path


def rate(request, count):
    request()
    begun = time.perf_counter()
    for _ in range(count):
        request()
    return count / (time.perf_counter() - begun)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("worker")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    args = parser.parse_args()
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        mmdet, checkpoint = reference_model(args.model, folder)
        checkpoint = checkpoint or os.path.join(ROOT, "models/demo/rtmdet-demo.pth")
        for _ in range(args.rounds):
            printed = subprocess.run([args.worker, f"{BINARIES}/duet", f"{BINARIES}/duet-detector", checkpoint, IMAGE,
                                      str(args.images), "1"], check=True, capture_output=True, text=True).stdout
            for line in printed.splitlines():
                name, value = line.split()
                rates.setdefault(name, []).append(float(value))
            if mmdet:
                rates.setdefault("mmdet", []).append(rate(mmdet, max(5, args.images // 10)))
    median = {name: statistics.median(values) for name, values in rates.items()}
    median["prelabel / batch"] = statistics.median(a / b for a, b in zip(rates["prelabel"], rates["batch"]))
    if mmdet:
        median["prelabel / mmdet"] = median["prelabel"] / median["mmdet"]
    for name, value in median.items():
        print(f"{name:18}{value:9.2f}")
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"model": args.model if mmdet else "demo", "rates": rates, "median": median}, file)


if __name__ == "__main__":
    main()
