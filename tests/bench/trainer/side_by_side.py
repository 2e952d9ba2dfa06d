#!/usr/bin/env python3
"""An iteration of training RTMDet-tiny, Duet's beside mmdet's with PyTorch: same shapes and threads, taking turns.

usage: side_by_side.py DUET_WORKER [--iterations=30] [--threads=2] [--input_size=640] [--batch=4] [--json=FILE]

DUET_WORKER is build/release's bench_trainer_turns. Needs mmdet and its requirements. Random images, ten objects each;
forward, targets, losses, backward, AdamW and the average of the weights; all stages trained, and with a frozen backbone.
Seconds as the clock has them and as the processors do, which other programs on the machine disturb less. Besides: peak
memory of each process.
"""
import argparse
import json
import os
import random
import statistics
import sys
import time
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "../../../tools")]


def objects_of(image, side):
    """The same as in turns_bench.cc."""
    boxes, labels = [], []
    for o in range(10):
        size = side * (1 + o) / 16
        x = (o * 37 + image * 11) % 100 / 100 * (side - size)
        y = (o * 53 + image * 29) % 100 / 100 * (side - size)
        boxes.append([x, y, x + size, y + size])
        labels.append(o * 7 % 80)
    return boxes, labels


class Mmdet:
    """mmdet's model with mmengine's optimizer wrapper and mmdet's average, as its Runner calls them."""

    def __init__(self, frozen, images, side):
        import torch
        from mmdet.models.layers.ema import ExpMomentumEMA
        from mmdet.registry import MODELS
        from mmdet.structures import DetDataSample
        from mmengine.config import Config
        from mmengine.optim import build_optim_wrapper
        from mmengine.registry import DefaultScope
        from mmengine.structures import InstanceData
        import mmdet
        config = Config.fromfile(os.path.join(
            os.path.dirname(mmdet.__file__), ".mim/configs/rtmdet/rtmdet_tiny_8xb32-300e_coco.py"))
        config.model.backbone.pop("init_cfg")
        for part in ("backbone", "neck", "bbox_head"):
            config.model[part].norm_cfg = {"type": "BN"}
        config.model.backbone.frozen_stages = 4 if frozen else -1
        with DefaultScope.overwrite_default_scope("mmdet"):
            self.model = MODELS.build(config.model)
        self.model.init_weights()
        self.model.train()
        self.optimizer = build_optim_wrapper(self.model, config.optim_wrapper)
        self.average = ExpMomentumEMA(self.model, momentum=0.0002, update_buffers=True)
        self.images = torch.randn(images, 3, side, side)
        self.samples = []
        for image in range(images):
            boxes, labels = objects_of(image, side)
            shape = {"img_shape": (side, side), "pad_shape": (side, side), "batch_input_shape": (side, side)}
            self.samples.append(DetDataSample(metainfo=shape, gt_instances=InstanceData(
                bboxes=torch.tensor(boxes), labels=torch.tensor(labels))))

    def step(self):
        losses = self.model.loss(self.images, self.samples)
        total, values = self.model.parse_losses(losses)
        self.optimizer.update_params(total)
        self.average.update_parameters(self.model)
        return {name: float(value) for name, value in values.items()}


def serve(args):
    """The peer's process: answers each line as Duet's does."""
    # mmengine logs to where the answers go.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import torch
    from openmmlab import import_mmdet
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    import_mmdet()
    models = {}
    for line in sys.stdin:
        what = line.split()[1]
        if what not in models:
            models[what] = Mmdet(what == "frozen", args.batch, args.input_size)
        start = time.perf_counter()
        models[what].step()
        print(f"{(time.perf_counter() - start) * 1e3:.3f}", file=answers, flush=True)


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_megabytes(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def measure(args, what):
    from turns import Duet
    flags = [f"--threads={args.threads}", f"--input_size={args.input_size}", f"--batch={args.batch}"]
    processes = {"Duet": Duet(args.worker, *flags), "mmdet": Duet(sys.executable, __file__, args.worker, "--serve", *flags)}
    times = {name: {"clock": [], "processors": []} for name in processes}
    order = random.Random(1)
    for iteration in range(-args.warmup, args.iterations):
        for name, process in order.sample(sorted(processes.items()), len(processes)):
            before = processor_seconds(process.process.pid)
            elapsed = process.ask(f"step {what}") / 1e3
            if iteration >= 0:
                times[name]["clock"].append(elapsed)
                times[name]["processors"].append(processor_seconds(process.process.pid) - before)
    result = {name: {key: {"min": min(values), "median": statistics.median(values), "sum": sum(values)}
                     for key, values in kinds.items()} for name, kinds in times.items()}
    for name, process in processes.items():
        result[name]["peak_mb"] = peak_megabytes(process.process.pid)
        process.close()
    return result


def report(what, result):
    print(f"\n{what:10}{'clock: min':>12}{'median':>9}{'processors: median':>20}{'peak, MB':>10}")
    for name, row in result.items():
        print(f"{name:10}{row['clock']['min']:12.2f}{row['clock']['median']:9.2f}{row['processors']['median']:20.2f}"
              f"{row['peak_mb']:10.0f}")
    for kind in ("clock", "processors"):
        ratio = result["Duet"][kind]["sum"] / result["mmdet"][kind]["sum"]
        print(f"Duet / mmdet, {kind}: {ratio:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worker")
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--input_size", type=int, default=640)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--what", default="full,frozen")
    parser.add_argument("--json", dest="json_path")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    # As the services wait (docs/adr/0204).
    os.environ["OMP_WAIT_POLICY"] = "passive"
    if args.serve:
        return serve(args)
    results = {}
    for what in args.what.split(","):
        results[what] = measure(args, what)
        report(what, results[what])
    if args.json_path:
        with open(args.json_path, "w") as file:
            json.dump({"threads": args.threads, "batch": args.batch, "input_size": args.input_size, "results": results},
                      file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
