#!/usr/bin/env python3
"""The first click on any of a thousand embedded images after a restart of everything.

usage: first_click.py [--images=1000] [--seed=1]

Draws scenes, has them embedded by `duet embed`, ends the segmenter, starts another one and a gateway, and clicks once into each
image, one after the other in an order by chance, through the gateway as Label Studio does. Prints milliseconds. Needs nothing
beside Python; the demo's models.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import subprocess
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARIES = ROOT / "build/release/bin"
CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image"><Label value="circle"/></BrushLabels>
<KeyPointLabels name="point" toName="image" smart="true"><Label value="circle"/></KeyPointLabels></View>"""


class Service:
    def __init__(self, name, *flags):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DUET_")}
        self.process = subprocess.Popen([BINARIES / name, "--port=0", "--log_level=info", *flags], stderr=subprocess.PIPE,
                                        text=True, env=environment)
        for line in self.process.stderr:
            entry = json.loads(line)
            if entry["event"] == "serving":
                self.port, self.metrics_port = entry["port"], entry.get("metrics_port", entry["port"])
                break
        else:
            raise SystemExit(f"{name} did not start")
        threading.Thread(target=lambda: collections.deque(self.process.stderr, 0), daemon=True).start()

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer:
            return answer.read().decode()

    def end(self):
        self.process.terminate()
        self.process.wait()


def click(port, number, image):
    prompt = {"id": "p", "from_name": "point", "to_name": "image", "type": "keypointlabels", "original_width": 640,
              "original_height": 480, "is_positive": True,
              "value": {"x": 50, "y": 50, "width": 0.3, "keypointlabels": ["circle"]}}
    body = {"tasks": [{"id": number, "data": {"image": f"/data/local-files/?d={image}"}}], "project": "1.1",
            "label_config": CONFIG, "params": {"login": None, "password": None, "context": {"result": [prompt]}}}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    begun = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        json.load(answer)
    return 1000 * (time.perf_counter() - begun)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([BINARIES / "duet-train", "scenes", f"--seed={args.seed}", f"--count={args.images}",
                        f"--out={folder}/scenes"], check=True, stdout=subprocess.DEVNULL)
        flags = [f"--checkpoint={ROOT}/models/demo/sam-demo.pth", "--metrics_port=0", f"--embedding_store=file://{folder}/kept"]
        segmenter = Service("duet-segmenter", *flags)
        begun = time.perf_counter()
        subprocess.run([BINARIES / "duet", "embed", f"{folder}/scenes/*.jpg", f"--out={folder}/run",
                        f"--segmenter=127.0.0.1:{segmenter.port}"], check=True, stdout=subprocess.DEVNULL)
        print(f"embedded           {args.images / (time.perf_counter() - begun):9.1f} images a second")
        segmenter.end()

        segmenter = Service("duet-segmenter", *flags)
        detector = Service("duet-detector", f"--checkpoint={ROOT}/models/demo/rtmdet-demo.pth", "--metrics_port=0")
        gateway = Service("duet-gateway", f"--detector=127.0.0.1:{detector.port}", f"--segmenter=127.0.0.1:{segmenter.port}",
                          f"--local_files_root={folder}/scenes")
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{gateway.port}/readyz").close()
                break
            except OSError:
                time.sleep(0.05)
        images = sorted(path.name for path in pathlib.Path(folder, "scenes").rglob("*.jpg"))
        random.Random(args.seed).shuffle(images)
        times = sorted(click(gateway.port, number, image) for number, image in enumerate(images, 1))
        found = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in segmenter.metrics().splitlines()
                 if line.startswith("duet_segmenter_embeddings_total")}
        for service in (gateway, detector, segmenter):
            service.end()
    misses = found.get('duet_segmenter_embeddings_total{result="miss"}', 0)
    print(f"first clicks       {len(times):9d}, of which {misses:.0f} had to be encoded")
    for name, share in (("median", 0.5), ("p95", 0.95), ("p99", 0.99), ("longest", 1)):
        print(f"{name:18} {times[min(len(times) - 1, int(share * len(times)))]:9.1f} ms")


if __name__ == "__main__":
    main()
