#!/usr/bin/env python3
"""How long a click takes while a training runs on the same cores.

usage: .duet/venv/deploy/bin/python tests/bench/trainer/clicks_beside_training.py [--clicks=N]

Starts the detector, the segmenter and the gateway with the demo models, and asks for clicks on one image, as the labelling page
does: alone, and beside duet-train on drawn scenes with the priorities that a training could have. The trainer's is idle.
"""
import argparse
import contextlib
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests/deploy"), str(ROOT / "tests/e2e")]

from label_configs import config, keypoint_prompt  # noqa: E402
from processes import CHECKPOINT, data_uri, trio  # noqa: E402
from service import predict  # noqa: E402

TRAIN = ROOT / "build/release/bin/duet-train"
PRIORITIES = {"idle": ["chrt", "--idle", "0", "nice", "-n", "19"], "nice 19": ["nice", "-n", "19"], "normal": []}


@contextlib.contextmanager
def training(folder, priority):
    subprocess.run([TRAIN, "scenes", "--seed=1", "--count=40", f"--out={folder}/scenes"], check=True)
    process = subprocess.Popen(
        [*priority, TRAIN, f"--data={folder}/scenes/coco.json", f"--images={folder}/scenes", "--json",
         f"--from={CHECKPOINT['duet-detector']}", f"--out={folder}/out", "--epochs=10000", "--patience=0"],
        stdout=subprocess.PIPE, text=True)
    try:
        while '"event":"step"' not in process.stdout.readline():
            assert process.poll() is None, "duet-train has ended"
        yield
    finally:
        process.kill()
        process.wait()


def median_ms(duet, clicks):
    image = type("Image", (), {"width": 512, "height": 512})
    picture = data_uri(ROOT / "tests/data/scenes/scene_0.jpg")
    label_config = config(["circle"], "BrushLabels", smart=["KeyPointLabels"])
    taken = []
    for number in range(clicks + 5):
        click = keypoint_prompt(image, 100 + number % 300, 200, "circle")
        begun = time.monotonic()
        answer = predict(duet.gateway.port, [picture], label_config, prompts=[click])
        assert answer.ok, answer.text
        taken.append(1000 * (time.monotonic() - begun))
        time.sleep(0.05)  # a hand moves
    return statistics.median(taken[5:])


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--clicks", type=int, default=100)
    clicks = options.parse_args().clicks
    with trio() as duet:
        alone = median_ms(duet, clicks)
        print(f"{'alone':10} {alone:7.1f} ms")
        for name, priority in PRIORITIES.items():
            with tempfile.TemporaryDirectory() as folder, training(folder, priority):
                beside = median_ms(duet, clicks)
            print(f"{name:10} {beside:7.1f} ms  {beside / alone:.2f} times", flush=True)


main()
