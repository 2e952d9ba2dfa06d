#!/usr/bin/env python3
"""Makes small checkpoints with random weights and what mmdet and mmyolo find with them, for the parity tests.

usage: make_detector_goldens.py tests/data/detector [MODEL...]      (MODEL: a key of MODELS or SHAPES; default: all)

Needs mmdet 3.3.0, mmyolo 0.6.0, mmengine 0.10.7, mmcv-lite 2.1.0, torch, torchvision and pycocotools from PyPI. Reads the images of
tests/data/detector. Writes for each model NAME.pth, NAME.json and, for RTMDet, NAME.safetensors, in the form that
make_detector_fixtures.py describes. The weights are random: each network is shrunk to a few channels, and its predictions are
scaled so that some hundred boxes pass the threshold. A shape is a NAME.py, the config to use instead of the checkpoint's, and a NAME.json.
"""
import copy
import hashlib
import json
import os
import sys

import numpy as np
import torch

from make_detector_fixtures import number, write_safetensors
from make_full_size_goldens import spread
from openmmlab import import_mmdet, import_mmyolo

CLASSES = ("cat", "big dog", "zażółć", "wheel")
IMAGES = {"mmdet": ("images/a1_640x480.png", "images/a0_97x61.png", "images/a2_333x1000.png"),
          "mmyolo": ("images_yolo/a0_303x154.png", "images_yolo/a1_640x480.png", "images_yolo/a3_gray97x61.png")}
# So many (cell, class) pairs of a level, out of all images, pass the config's score threshold.
CANDIDATES = 250
SAMPLES = 4
MOST_SEEDS = 40
FIRST_SEED = {"ppyoloe": 2}  # with those before, bf16's roundings grow to half of the values
NOISE = 2e-5  # as far as float32 with other kernels may be off, relative to the largest


def nano(model):
    """RTMPose's rtmdet_nano_320-8xb32_coco-person.py, shrunk further."""
    model.backbone.update(deepen_factor=0.33, use_depthwise=True)
    model.neck.update(num_csp_blocks=1, use_depthwise=True)
    model.bbox_head.update(share_conv=False, exp_on_reg=False, use_depthwise=True)


# upstream, config, width, changes to the model, side of the input, keep meta
MODELS = {
    "rtmdet_nano": ("mmdet", "rtmdet/rtmdet_s_8xb32-300e_coco.py", 0.0625, nano, 320, True),
    "yolox_nano": ("mmyolo", "yolox/yolox_nano_fast_8xb8-300e_coco.py", 0.0625, None, 416, True),
    "yolov6_l": ("mmyolo", "yolov6/yolov6_l_syncbn_fast_8xb32-300e_coco.py", 0.046875, None, 640, True),
    "yolov6_v3_l": ("mmyolo", "yolov6/yolov6_v3_l_syncbn_fast_8xb32-300e_coco.py", 0.046875, None, 640, True),
    # A bare state dict: what no tensor tells comes from the family's defaults.
    "ppyoloe": ("mmyolo", "ppyoloe/ppyoloe_s_fast_8xb32-300e_coco.py", 0.0625, None, 640, False),
}
DEEPEN = 0.33


def pack(*more):
    return dict(type="mmdet.PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor") + more)


def fit(scale, pad=None, keep_ratio=True):
    steps = [dict(type="LoadImageFromFile"), dict(type="mmdet.Resize", scale=scale, keep_ratio=keep_ratio)]
    if pad:
        steps.append(dict(type="mmdet.Pad", pad_val=dict(img=(114, 114, 114)), **pad))
    return steps + [pack()]


def letterbox(scale, may_grow=False):
    return [dict(type="LoadImageFromFile"), dict(type="mmyolo.YOLOv5KeepRatioResize", scale=scale),
            dict(type="mmyolo.LetterResize", scale=scale, allow_scale_up=may_grow, pad_val=dict(img=114)),
            pack("pad_param")]


# Inputs that are no square of one size: name → (model whose weights it has, test pipeline, changes to the data preprocessor,
# images if not all). (320, 192) with a portrait is an input of 320 x 303 pixels, which mmdet's networks can't take either.
LANDSCAPES = ("images/a1_640x480.png", "images/a0_97x61.png")
BOTH_WAYS = ("images_yolo/a2_333x1000.png", "images_yolo/a0_303x154.png")  # a portrait is resized twice
SHAPES = {
    "shape_batch_divisor": ("rtmdet_nano", fit((333, 200)), {"pad_size_divisor": 32}, None),
    "shape_pad_divisor": ("rtmdet_nano", fit((333, 200), {"size_divisor": 32}), {}, None),
    "shape_portrait": ("rtmdet_nano", fit((256, 320), {"size": (256, 320)}), {}, None),
    "shape_landscape": ("rtmdet_nano", fit((320, 192), {"size": (320, 192)}), {}, LANDSCAPES),
    "shape_stretch": ("rtmdet_nano", fit((352, 224), keep_ratio=False), {}, None),
    "shape_letterbox": ("yolov6_l", letterbox((320, 192)), {}, BOTH_WAYS),
    "shape_letterbox_grows": ("yolov6_l", letterbox((320, 352), may_grow=True), {}, BOTH_WAYS),
}


def shrink(config, upstream, width, change, side):
    model = config.model
    model.backbone.pop("init_cfg", None)
    if upstream == "mmdet":
        channels = [int(c * width) for c in (256, 512, 1024)]
        model.backbone.widen_factor = width
        model.neck.update(in_channels=channels, out_channels=channels[0])
        model.bbox_head.update(in_channels=channels[0], feat_channels=channels[0], num_classes=len(CLASSES))
        for step in config.test_dataloader.dataset.pipeline:
            if step.type == "Resize":
                step.scale = (side, side)
            elif step.type == "Pad":
                step.size = (side, side)
        config.test_pipeline = config.test_dataloader.dataset.pipeline
    else:
        for part in (model.backbone, model.neck):
            part.update(widen_factor=width, deepen_factor=DEEPEN)
        model.bbox_head.head_module.update(widen_factor=width, num_classes=len(CLASSES))
        for assigner in (model.get("train_cfg") or {}).values():
            if hasattr(assigner, "num_classes"):
                assigner.num_classes = len(CLASSES)
    if change:
        change(model)
    return config


def predictions(model):
    """The last convolutions: of classes, of boxes, of objectness."""
    head = getattr(model.bbox_head, "head_module", model.bbox_head)
    for names in (("rtm_cls", "rtm_reg"), ("multi_level_conv_cls", "multi_level_conv_reg", "multi_level_conv_obj"),
                  ("cls_preds", "reg_preds")):
        if hasattr(head, names[0]):
            return [list(getattr(head, name)) for name in names]
    raise ValueError(type(head))


def outputs_of(convolutions, run):
    """What each of them gave, all images together."""
    values = {conv: [] for conv in convolutions}
    hooks = [conv.register_forward_hook(lambda m, args, out: values[m].append(out.clone())) for conv in convolutions]
    run()
    for hook in hooks:
        hook.remove()
    return values


def settle(model, threshold, run):
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            torch.nn.init.normal_(module.weight, std=1.4 / module.weight[0].numel() ** 0.5)
            if module.bias is not None:
                torch.nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.7, 1.3)
            torch.nn.init.normal_(module.bias, std=0.2)
        elif hasattr(module, "alpha") and isinstance(module.alpha, torch.nn.Parameter):
            torch.nn.init.uniform_(module.alpha, 0.5, 1.5)
    model.eval()
    classes, boxes, *objectness = predictions(model)
    for conv in sum(predictions(model), []):
        conv.bias.zero_()
    for conv, values in outputs_of(classes, run).items():
        values = spread(conv, values, 1.5).sort()[0]
        first = max(len(values) - CANDIDATES, len(values) // 2)
        wanted = 0.5 * threshold if objectness else threshold
        conv.bias.fill_(float(torch.logit(torch.tensor(wanted)) - values[first - 1:first + 1].mean()))
    for conv, values in outputs_of(boxes, run).items():
        if conv.out_channels > 4:  # logits of distances
            spread(conv, values, 1)
            torch.nn.init.normal_(conv.bias, std=0.5)
        else:  # boxes of a few cells: of two cells in the padding, which score nearly alike, none suppresses the other
            spread(conv, values, 0.5)
            conv.bias.fill_(0.5 if objectness else 1.2)
    for conv, values in outputs_of(objectness[0] if objectness else (), run).items():
        spread(conv, values, 1.5)
        conv.bias.zero_()


def is_block(module):
    return not isinstance(module, (torch.nn.modules.batchnorm._BatchNorm, torch.nn.ModuleList, torch.nn.Identity)) and \
        "Act" not in type(module).__name__ and type(module).__module__ != "torch.nn.modules.activation"


def trace(model, run):
    """Name of each block → what it gave."""
    layers, hooks = {}, []
    inside = {name + "." + part for name, m in model.named_modules() if type(m).__name__ in ("ConvModule", "ConvWrapper")
              for part in ("conv", "bn", "activate")}

    def record(name):
        def hook(module, args, out):
            if isinstance(out, torch.Tensor) and out.dim() == 4 and name not in layers:
                flat = out.flatten()
                indices = [int(i) for i in np.linspace(0, flat.numel() - 1, SAMPLES)]
                layers[name] = {"abs_sum": number(float(out.double().abs().sum())),
                                "sample": [[i, number(float(flat[i]))] for i in indices]}
        return hook
    for name, module in model.named_modules():
        if name and name not in inside and is_block(module):
            hooks.append(module.register_forward_hook(record(name)))
    run()
    for hook in hooks:
        hook.remove()
    return layers


def find(mmdet, model, path):
    """Detections, and the network's input."""
    inputs = []
    hook = model.backbone.register_forward_pre_hook(lambda module, args: inputs.append(args[0].clone()))
    result = mmdet.apis.inference_detector(model, path)
    hook.remove()
    return result, inputs[0]


def entry_of(image, result, network_input):
    found = result.pred_instances
    return {"file": image, "scale_factor": [float(v) for v in result.scale_factor],
            "input_size": [network_input.shape[3], network_input.shape[2]],
            "input_sha256": hashlib.sha256(network_input.numpy().tobytes()).hexdigest(),
            "bboxes": [[number(v) for v in box] for box in found.bboxes.tolist()],
            "scores": [number(v) for v in found.scores.tolist()], "labels": found.labels.tolist()}


def has_all(a, b, threshold):
    """Whether b has all detections of a, a fifth of the parity tests' tolerances apart at most; but for those at the threshold."""
    for box, score, label in zip(a.bboxes, a.scores, a.labels):
        near = (b.labels == label) & ((b.scores - score).abs() < 2e-4) & ((b.bboxes - box).abs().amax(1) < 0.02)
        if score > 1.002 * threshold and not near.any():
            return False
    return True


def is_stable(mmdet, model, paths):
    """Whether these weights in float64, with noise on the predictions, find what they find in float32: rounding decides nothing.

    Without the noise cells of the padding, which all see the same, would tie nearly to the bit.
    """
    exact = copy.deepcopy(model).double()
    exact.backbone.register_forward_pre_hook(lambda module, args: (args[0].double(),))
    for conv in sum(predictions(exact), []):
        conv.register_forward_hook(lambda module, args, out: out + NOISE * out.abs().max() * torch.randn(out.shape))
    for path in paths:
        a, b = (mmdet.apis.inference_detector(m, path).pred_instances for m in (model, exact))
        threshold = model.test_cfg.score_thr
        if not (has_all(a, b, threshold) and has_all(b, a, threshold)):
            return False
    return True


def make(mmdet, configs, out, name):
    from mmengine.config import Config
    upstream, file, width, change, side, keep_meta = MODELS[name]
    config = shrink(Config.fromfile(os.path.join(configs[upstream], file)), upstream, width, change, side)
    model = mmdet.apis.init_detector(copy.deepcopy(config), None, device="cpu")
    paths = [os.path.join(out, image) for image in IMAGES[upstream]]

    def run(files=paths):
        for path in files:
            mmdet.apis.inference_detector(model, path)

    with torch.no_grad():
        for seed in range(FIRST_SEED.get(name, 0), MOST_SEEDS):
            torch.manual_seed(seed)
            settle(model, model.test_cfg.score_thr, run)
            if is_stable(mmdet, model, paths):
                break
        else:
            sys.exit(f"{name}: float32 and float64 differ with every seed")
        print(f"{name}: seed {seed}", flush=True)
        state = model.state_dict()
        meta = {"cfg": config.pretty_text, "dataset_meta": {"classes": CLASSES}}
        torch.save({"meta": meta, "state_dict": state} if keep_meta else dict(state), os.path.join(out, f"{name}.pth"),
                   _use_new_zipfile_serialization=False)  # as publish_model.py does; smaller
        images = []
        for image, path in zip(IMAGES[upstream], paths):
            result, network_input = find(mmdet, model, path)
            print(f"{name} {image}: {len(result.pred_instances)} detections, input {list(network_input.shape)}", flush=True)
            images.append(entry_of(image, result, network_input))
        golden = {"classes": CLASSES if keep_meta else [f"class {i}" for i in range(len(CLASSES))], "images": images}
        if upstream == "mmdet":
            _, network_input = find(mmdet, model, paths[0])
            cls, reg = model.bbox_head(model.neck(model.backbone(network_input)))
            write_safetensors(os.path.join(out, f"{name}.safetensors"),
                              {f"head_{kind}_{i}": maps[i].numpy() for kind, maps in (("cls", cls), ("reg", reg))
                               for i in range(len(maps))})
        else:
            golden["layers"] = trace(model, lambda: run(paths[:1]))
    with open(os.path.join(out, f"{name}.json"), "w") as target:
        json.dump(golden, target, separators=(",", ":"))


def make_shape(mmdet, out, name):
    from mmengine.config import Config
    weights, pipeline, preprocessor, chosen = SHAPES[name]
    checkpoint = torch.load(os.path.join(out, f"{weights}.pth"), weights_only=False)
    config = Config.fromstring(checkpoint["meta"]["cfg"], ".py")
    config.model.data_preprocessor.update(preprocessor)
    config.test_pipeline = config.test_dataloader.dataset.pipeline = pipeline
    kept = Config({key: config[key] for key in ("model", "test_pipeline")})
    with open(os.path.join(out, f"{name}.py"), "w") as file:
        file.write(kept.pretty_text)
    model = mmdet.apis.init_detector(config, None, device="cpu")
    model.load_state_dict(checkpoint["state_dict"])
    images = []
    with torch.no_grad():
        for image in chosen or IMAGES[MODELS[weights][0]]:
            result, network_input = find(mmdet, model, os.path.join(out, image))
            images.append(entry_of(image, result, network_input))
            print(f"{name} {image}: {len(result.pred_instances)} detections, input {list(network_input.shape)}", flush=True)
    with open(os.path.join(out, f"{name}.json"), "w") as target:
        json.dump({"weights": weights, "classes": CLASSES, "images": images}, target, separators=(",", ":"))


def main(out, names):
    import cv2
    cv2.ipp.setUseIPP(False)  # its bicubic differs from OpenCV's own by a level
    mmdet = import_mmdet()
    mmyolo = import_mmyolo()
    configs = {package.__name__: os.path.join(os.path.dirname(package.__file__), ".mim/configs") for package in (mmdet, mmyolo)}
    for name in names:
        if name in MODELS:
            make(mmdet, configs, out, name)
        else:
            make_shape(mmdet, out, name)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:] or [*MODELS, *SHAPES])
