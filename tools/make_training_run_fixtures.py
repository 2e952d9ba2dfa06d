#!/usr/bin/env python3
"""Makes tests/data/trainer/run_*.{json,pth}: what mmengine's Runner makes of small RTMDets in 20 iterations (needs
mmdet, torch).

usage: make_training_run_fixtures.py [--noise] tests/data/trainer [CASE...]

Weights, images and masks are not kept: both sides make them by the same formulas (`uniform`, `fill_weights`,
`make_image`, `make_mask` here and in tests/parity/trainer/training_run_test.cc). Of gradients, and of how far
the training moved weights and averages, a fixture has, tensor by tensor, the norm, a sum with signs and a few elements;
of losses, learning rates and the first batch's assignment everything. The learning rate is low, so that rounding does
not decide where the training goes.

--noise prints how far mmdet's own run gets from itself if the last bit of every initial weight is another: tolerances
are a multiple of that.
"""
import argparse
import copy
import json
import logging
import os
import sys
import tempfile
import warnings

import numpy as np
import torch

from openmmlab import import_mmdet

HEIGHT, WIDTH, BATCH, BATCHES, EPOCHS = 96, 128, 2, 5, 4
RATE = 1e-4
CLASSES = 3
SAMPLES = 12  # elements of each tensor that are kept


def uniform(seed, count):
    """`count` numbers in [0, 1), multiples of 2^-24: splitmix64 of seed and index."""
    with np.errstate(over="ignore"):
        z = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / (1 << 24)


def seed_of(name):
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) % (1 << 64)
    return value


def initial(name, shape, exp_on_reg):
    if name.endswith("num_batches_tracked"):
        return torch.tensor(3)
    u = uniform(seed_of(name), int(np.prod(shape)))
    if len(shape) == 4:
        values = (2 * u - 1) * 1.7 / np.sqrt(np.prod(shape[1:]))
    elif name.endswith(("running_var", "bn.weight")):
        values = 0.5 + u
    elif ".rtm_cls." in name:
        values = u - 3
    elif ".rtm_reg." in name:
        values = u - 0.5 if exp_on_reg else u + 1
    else:
        values = (2 * u - 1) * 0.1
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def unique_state(model):
    """Names and tensors, of shared tensors the first name."""
    seen, state = set(), []
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            state.append((name, tensor))
    return state


def fill_weights(model, exp_on_reg, noise):
    with torch.no_grad():
        for name, tensor in unique_state(model):
            tensor.copy_(initial(name, tuple(tensor.shape), exp_on_reg))
            if noise and tensor.is_floating_point():
                signs = torch.from_numpy(np.where(uniform(seed_of(name) ^ 2, tensor.numel()) < 0.5, -1.0, 1.0))
                tensor.mul_(1 + signs.reshape(tensor.shape).float() * 2 ** -23)


def make_image(number, objects):
    pixels = torch.from_numpy((uniform(number, 3 * HEIGHT * WIDTH) - 0.5).astype(np.float32)).reshape(3, HEIGHT, WIDTH)
    for thing in objects:
        x1, y1, x2, y2 = (int(edge) for edge in thing["box"])
        pixels[thing["class"], y1:y2, x1:x2] += 1.5
    return pixels


def make_mask(box):
    """The ellipse in the box, by whole numbers."""
    x1, y1, x2, y2 = (int(edge) for edge in box)
    x, y = 2 * np.arange(WIDTH) + 1, 2 * np.arange(HEIGHT) + 1
    w, h = max(x2 - x1, 0), max(y2 - y1, 0)
    inside = ((x[None] - x1 - x2) ** 2 * h * h + (y[:, None] - y1 - y2) ** 2 * w * w) <= w * w * h * h
    return inside.astype(np.uint8) * (w > 0) * (h > 0)


def make_objects(number, crowd):
    """One to four boxes with edges at quarters of pixels. `crowd`: every second one is a crowd region; image 1 has no
    objects, image 2 also has one without an inside."""
    u = iter(uniform(1000 + number, 64))
    objects = []
    for i in range(1 + int(next(u) * 4)):
        w, h = 8 + next(u) * 56, 8 + next(u) * 44
        x, y = next(u) * (WIDTH - w), next(u) * (HEIGHT - h)
        box = [round(v * 4) / 4 for v in (x, y, x + w, y + h)]
        objects.append({"box": box, "class": int(next(u) * CLASSES), "crowd": bool(crowd and i % 2)})
    if crowd and number == 1:
        objects = []
    if crowd and number == 2:
        objects.append({"box": [30.5, 20.25, 30.5, 40], "class": 1, "crowd": False})
    return objects


CASES = {
    "boxes": {},
    # As RTMDet-nano: depthwise, nothing shared between levels; the batch norms of mmdet's classes. So many more layers
    # spread rounding further.
    "nano": {"rate": 1e-5, "depthwise": True, "exp_on_reg": True,
             "norm": {"type": "BN", "momentum": 0.03, "eps": 0.001}},
    "frozen": {"frozen_stages": 4},
    "norm_eval": {"frozen_stages": 1, "norm_eval": True},
    "crowd": {"crowd": True},
    "accumulation": {"accumulation": 3},
    # All classes begin from nothing: their rows have a rate of their own, as trainer/run/training_config.cc writes it.
    "new_classes": {"rate": 2e-5, "class_rate_ratio": 20},
    "instances": {"rate": 3e-5, "instances": True, "crowd": True},
}


def model_config(case):
    norm = case.get("norm", {"type": "BN"})
    act = {"type": "SiLU", "inplace": True}
    depthwise = case.get("depthwise", False)
    head = {
        "type": "RTMDetInsSepBNHead" if case.get("instances") else "RTMDetSepBNHead", "num_classes": CLASSES,
        "in_channels": 32, "stacked_convs": 2, "feat_channels": 32,
        "anchor_generator": {"type": "MlvlPointGenerator", "offset": 0, "strides": [8, 16, 32]},
        "bbox_coder": {"type": "DistancePointBBoxCoder"},
        "loss_cls": {"type": "QualityFocalLoss", "use_sigmoid": True, "beta": 2.0, "loss_weight": 1.0},
        "loss_bbox": {"type": "GIoULoss", "loss_weight": 2.0}, "with_objectness": False, "share_conv": not depthwise,
        "pred_kernel_size": 1, "norm_cfg": norm, "act_cfg": act}
    if case.get("instances"):
        head["loss_mask"] = {"type": "DiceLoss", "loss_weight": 2.0, "eps": 5e-6, "reduction": "mean"}
    else:
        head.update(exp_on_reg=case.get("exp_on_reg", False), use_depthwise=depthwise)
    return {
        "type": "mmdet.RTMDet", "_scope_": "mmdet",
        "data_preprocessor": {"type": "DetDataPreprocessor", "pad_mask": True, "pad_size_divisor": 32},
        "backbone": {"type": "CSPNeXt", "arch": "P5", "expand_ratio": 0.5, "deepen_factor": 0.167,
                     "widen_factor": 0.125, "channel_attention": True, "use_depthwise": depthwise, "norm_cfg": norm,
                     "act_cfg": act, "frozen_stages": case.get("frozen_stages", -1),
                     "norm_eval": case.get("norm_eval", False)},
        "neck": {"type": "CSPNeXtPAFPN", "in_channels": [32, 64, 128], "out_channels": 32, "num_csp_blocks": 1,
                 "expand_ratio": 0.5, "use_depthwise": depthwise, "norm_cfg": norm, "act_cfg": act},
        "bbox_head": head,
        "train_cfg": {"assigner": {"type": "DynamicSoftLabelAssigner", "topk": 13}, "allowed_border": -1,
                      "pos_weight": -1, "debug": False},
        "test_cfg": {"nms_pre": 100, "min_bbox_size": 0, "score_thr": 0.05, "max_per_img": 10,
                     "nms": {"type": "nms", "iou_threshold": 0.6}}}


class Images(torch.utils.data.Dataset):
    def __init__(self, case):
        self.items = []
        for number in range(BATCH * BATCHES):
            objects = make_objects(number, case.get("crowd", False))
            self.items.append((make_image(number, objects), objects))
        self.masks = case.get("instances", False)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, number):
        from mmdet.structures import DetDataSample
        from mmdet.structures.mask import BitmapMasks
        from mmengine.structures import InstanceData
        pixels, objects = self.items[number]
        sample = DetDataSample(metainfo={"img_shape": (HEIGHT, WIDTH), "img_id": number})
        for field, crowd in (("gt_instances", False), ("ignored_instances", True)):
            chosen = [thing for thing in objects if thing["crowd"] == crowd]
            data = InstanceData(bboxes=torch.tensor([t["box"] for t in chosen], dtype=torch.float32).reshape(-1, 4),
                                labels=torch.tensor([t["class"] for t in chosen], dtype=torch.long))
            if self.masks:
                masks = [make_mask(thing["box"]) for thing in chosen]
                data.masks = BitmapMasks(masks if masks else np.zeros((0, HEIGHT, WIDTH), np.uint8), HEIGHT, WIDTH)
            setattr(sample, field, data)
        return {"inputs": pixels.clone(), "data_samples": sample}


def make_runner(case, noise, work_dir):
    from mmengine.hooks import Hook
    from mmengine.runner import Runner

    class Recorder(Hook):
        def __init__(self):
            self.losses, self.rates = [], []

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            self.losses.append({name: float(value.detach()) for name, value in outputs.items()})
            self.rates.append(runner.optim_wrapper.optimizer.param_groups[0]["lr"])

    keys = {}
    if "class_rate_ratio" in case:
        ratio = case["class_rate_ratio"]
        keys["bbox_head.rtm_cls"] = {"lr_mult": ratio}
        for level in range(3):
            keys[f"bbox_head.rtm_cls.{level}.bias"] = {"lr_mult": ratio, "decay_mult": 0}
    recorder = Recorder()
    rate = case.get("rate", RATE)
    runner = Runner(
        model=model_config(case), work_dir=work_dir, default_scope="mmdet", log_level="ERROR",
        train_dataloader={"dataset": Images(case), "batch_size": BATCH, "num_workers": 0,
                          "sampler": {"type": "DefaultSampler", "shuffle": False},
                          "collate_fn": {"type": "pseudo_collate"}},
        train_cfg={"by_epoch": True, "max_epochs": EPOCHS, "val_interval": 1000},
        optim_wrapper={"type": "OptimWrapper", "accumulative_counts": case.get("accumulation", 1),
                       "optimizer": {"type": "AdamW", "lr": rate, "weight_decay": 0.05},
                       "paramwise_cfg": {"norm_decay_mult": 0, "bias_decay_mult": 0, "bypass_duplicate": True,
                                         "custom_keys": keys}},
        param_scheduler=[
            {"type": "LinearLR", "start_factor": 1e-5, "by_epoch": False, "begin": 0, "end": 12},
            {"type": "CosineAnnealingLR", "eta_min": rate * 0.05, "begin": EPOCHS // 2, "end": EPOCHS,
             "T_max": EPOCHS // 2, "by_epoch": True, "convert_to_iter_based": True}],
        custom_hooks=[{"type": "EMAHook", "ema_type": "ExpMomentumEMA", "momentum": 0.0002, "update_buffers": True,
                       "priority": 49}],
        default_hooks={"checkpoint": None, "logger": None, "sampler_seed": None})
    runner.register_hook(recorder, priority=48)  # before the schedulers' hook
    runner.model.init_weights = lambda: fill_weights(runner.model, case.get("exp_on_reg", False), noise)
    runner.model.init_weights()
    return runner, recorder


def first_gradients(case, noise, work_dir):
    """Gradients of the first batch, and what the assigner said to it."""
    runner, _ = make_runner(case, noise, work_dir)
    model = runner.model
    model.train()
    assigner, assigned = model.bbox_head.assigner, []
    assign = assigner.assign

    def record(*args, **kwargs):
        result = assign(*args, **kwargs)
        objects = (result.gt_inds - 1).tolist()
        assigned.append({"objects": objects,
                         "ious": [0.0 if o < 0 else iou for o, iou in zip(objects, result.max_overlaps.tolist())]})
        return result

    assigner.assign = record
    images = Images(case)
    data = model.data_preprocessor({key: [images[i][key] for i in range(BATCH)] for key in ("inputs", "data_samples")},
                                   True)
    losses = model.loss(data["inputs"], data["data_samples"])
    total, _ = model.parse_losses(losses)
    total.backward()
    gradients = [(name, tensor.grad) for name, tensor in model.named_parameters() if tensor.grad is not None]
    return gradients, assigned


def run(case, noise=False):
    with tempfile.TemporaryDirectory() as work_dir:
        gradients, assigned = first_gradients(case, noise, work_dir)
        runner, recorder = make_runner(case, noise, work_dir)
        runner.train()
        ema = next(hook for hook in runner.hooks if type(hook).__name__ == "EMAHook").ema_model.module
        return {"gradient": gradients, "weights": [(n, t.clone()) for n, t in unique_state(runner.model)],
                "average": [(n, t.clone()) for n, t in unique_state(ema)]}, assigned, recorder


def movement(quantity, name, tensor, case):
    if quantity == "gradient":
        return tensor.detach().double()
    return tensor.detach().double() - initial(name, tuple(tensor.shape), case.get("exp_on_reg", False)).double()


def summary(quantity, tensors, case):
    """[tensors, 2 + SAMPLES]: norm, sum with signs, elements at even distances."""
    rows = []
    for name, tensor in tensors:
        flat = movement(quantity, name, tensor, case).reshape(-1)
        signs = torch.from_numpy(np.where(uniform(seed_of(name) ^ 1, flat.numel()) < 0.5, -1.0, 1.0))
        picked = flat[[i * flat.numel() // SAMPLES for i in range(SAMPLES)]]
        rows.append(torch.cat([torch.stack([flat.norm(), (flat * signs).sum()]), picked]))
    return torch.stack(rows).float()


def report_noise(name, case, tensors, losses):
    """How far two runs are apart, tensor by tensor, in units of how far the training moved the tensor."""
    noisy, _, recorder = run(case, noise=True)
    for quantity, pairs in tensors.items():
        apart = []
        for (tensor_name, a), (_, b) in zip(pairs, noisy[quantity]):
            moved = movement(quantity, tensor_name, a, case).norm().item()
            apart.append(((a.double() - b.double()).norm().item() / max(moved, 1e-9), tensor_name))
        apart.sort()
        print(f"{name} {quantity}: median {apart[len(apart) // 2][0]:.1e}, worst {apart[-1][0]:.1e} of {apart[-1][1]}",
              flush=True)
    for key in losses[0]:
        print(name, key, *(f"{abs(a[key] - b[key]) / max(abs(b[key]), 1e-9):.0e}"
                           for a, b in zip(losses, recorder.losses)), flush=True)


def make(name, out, noise):
    case = CASES[name]
    tensors, assigned, recorder = run(case)
    if noise:
        report_noise(name, case, tensors, recorder.losses)
    golden = {"case": {key: value for key, value in case.items()}, "height": HEIGHT, "width": WIDTH, "batch": BATCH,
              "batches": BATCHES, "epochs": EPOCHS, "samples": SAMPLES,
              "images": [make_objects(n, case.get("crowd", False)) for n in range(BATCH * BATCHES)],
              "assigned": assigned, "losses": recorder.losses, "learning_rates": recorder.rates,
              "names": {quantity: [n for n, _ in pairs] for quantity, pairs in tensors.items()}}
    with open(os.path.join(out, f"run_{name}.json"), "w") as file:
        json.dump(golden, file, separators=(",", ":"))
    torch.save({"state_dict": {quantity: summary(quantity, pairs, case) for quantity, pairs in tensors.items()}},
               os.path.join(out, f"run_{name}.pth"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise", action="store_true")
    parser.add_argument("out")
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    torch.set_num_threads(2)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    import_mmdet()
    for name in args.cases or CASES:
        make(name, args.out, args.noise)


if __name__ == "__main__":
    sys.exit(main())
