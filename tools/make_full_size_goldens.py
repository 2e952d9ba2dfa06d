#!/usr/bin/env python3
"""Makes checkpoints of official size with random weights, and what mmdet finds with them, for parity.detector_service.rtmdet.

usage: make_full_size_goldens.py IMAGES OUT [MODEL...]      (MODEL: tiny, s, m, l, x, ins-tiny ... ins-x; default: m x ins-m)
       DUET_FULL_SIZE_GOLDENS=OUT build/release/tests/parity_detector_service_rtmdet --gtest_filter='*FullSize*'

Needs mmdet 3.3.0, mmengine 0.10.7, mmcv-lite 2.1.0, torch and torchvision from PyPI. They are too large to keep: m has 100 MB.
IMAGES is tests/data/detector/images.
"""
import json
import os
import sys

import torch

from openmmlab import import_mmdet

DEFAULT_MODELS = ("m", "x", "ins-m")
FILES = ("a1_640x480.png", "a4_1280x720.png")
# So many of the (cell, class) pairs pass the config's score threshold.
SHARE_OF_CANDIDATES = 0.0001


def build(mmdet, name):
    from mmengine.config import Config
    configs = os.path.join(os.path.dirname(mmdet.__file__), ".mim/configs/rtmdet")
    stock = f"rtmdet-ins_{name[4:]}" if name.startswith("ins-") else f"rtmdet_{name}"
    config = Config.fromfile(os.path.join(configs, f"{stock}_8xb32-300e_coco.py"))
    config.model.backbone.pop("init_cfg", None)
    torch.manual_seed(0)
    model = mmdet.apis.init_detector(config, None, device="cpu")
    model.init_weights()
    return model, config


def maps(model, image):
    return model.bbox_head(model.neck(model.backbone(image)))


def reg_features(model, image):
    """What the last convolutions of the box branch read."""
    head = model.bbox_head
    features = []
    for level, x in enumerate(model.neck(model.backbone(image))):
        for conv in head.reg_convs[level]:
            x = conv(x)
        features.append(x)
    return features


def spread(prediction, values, deviation):
    """Scales a last convolution so that its `values`, from all images, deviate so much; returns them without the bias."""
    centred = torch.cat([value.flatten() for value in values]) - prediction.bias.mean()
    factor = deviation / centred.std()
    prediction.weight *= factor
    return centred * factor


def settle(model, images, threshold):
    """Weights that keep the values' size from layer to layer, scores that spread, boxes that have a size.

    So that rounding stays rounding: with batch norms fitted to one image, mmdet in float32 and in float64 agreed on 14 of
    x's 128 detections. On all images: on one that it had not seen, scores would end at 1 and boxes outside.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=1.4 / module.weight[0].numel() ** 0.5)
        elif isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    model.eval()
    head = model.bbox_head
    results = [maps(model, image) for image in images]
    for level, prediction in enumerate(head.rtm_cls):
        values = spread(prediction, [result[0][level] for result in results], 1.5).sort()[0]
        first = int(len(values) * (1 - SHARE_OF_CANDIDATES))
        passing = values[first - 1:first + 1].mean()  # between two, so that none is at the threshold
        prediction.bias.fill_(float(torch.logit(torch.tensor(threshold)) - passing))
    # Before the head's exp or stride. An exp multiplies what went into it a hundredfold off by rounding, if it is large.
    exp = getattr(head, "exp_on_reg", False)
    raw = [[conv(feature) for conv, feature in zip(head.rtm_reg, reg_features(model, image))] for image in images]
    for level, prediction in enumerate(head.rtm_reg):
        spread(prediction, [values[level] for values in raw], 0.25 if exp else 1)
        prediction.bias.fill_(0.5 if exp else 3)
    if hasattr(head, "rtm_kernel"):
        for prediction in head.rtm_kernel:
            prediction.weight *= 30
        head.mask_head.projection.weight *= 10


def main(folder, out, names):
    mmdet = import_mmdet()
    from pycocotools import mask as coco_mask
    os.makedirs(out, exist_ok=True)
    for name in names:
        model, config = build(mmdet, name)
        threshold = model.test_cfg.score_thr
        with torch.no_grad():
            inputs = []
            hook = model.backbone.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
            for file in FILES:
                mmdet.apis.inference_detector(model, os.path.join(folder, file))
            hook.remove()
            settle(model, inputs, threshold)
            model.eval()
            classes = [str(c) for c in model.dataset_meta.get("classes", ())] or [f"class {i}" for i in range(80)]
            torch.save({"meta": {"cfg": config.pretty_text, "dataset_meta": {"classes": tuple(classes)}},
                        "state_dict": model.state_dict()}, os.path.join(out, f"{name}.pth"))
            images = []
            for file in FILES:
                result = mmdet.apis.inference_detector(model, os.path.join(folder, file))
                found = result.pred_instances
                entry = {"file": f"images/{file}", "scale_factor": [float(v) for v in result.scale_factor], "input_sha256": "",
                         "bboxes": found.bboxes.tolist(), "scores": found.scores.tolist(), "labels": found.labels.tolist()}
                if "masks" in found:
                    entry["masks"] = [coco_mask.encode(mask.numpy().astype("uint8", order="F"))["counts"].decode()
                                      for mask in found.masks]
                images.append(entry)
                print(f"{name} {file}: {len(found)} detections", flush=True)
        with open(os.path.join(out, f"{name}.json"), "w") as file:
            json.dump({"classes": classes, "images": images}, file)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3:] or DEFAULT_MODELS)
