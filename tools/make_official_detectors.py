#!/usr/bin/env python3
"""Makes tests/data/detector/official.json from the configs that mmdet and mmyolo ship (needs both, torch, mmcv or
mmcv-lite; mmrotate is not needed, so RTMDet-R is not in it).

usage: make_official_detectors.py tests/data/detector/official.json

Per official model: "state", the names and shapes of its state_dict (of a batch norm only the weight, since the rest has
its shape), and what its config says of images and boxes, in the config's own words. A file without a config must be
served with these very values.
"""
import glob
import json
import os
import re
import sys
import warnings

import torch

from openmmlab import import_mmdet, import_mmyolo

# For each package its configs, one of every official size.
CONFIGS = {
    "mmyolo": ["yolov5/yolov5_?-v61_syncbn_fast_8xb16-300e_coco.py", "yolov5/yolov5u/yolov5u_?_syncbn_fast_8xb16-300e_coco.py",
               "yolov6/yolov6_?_syncbn_fast_8xb32-300e_coco.py", "yolov6/yolov6_v3_?_syncbn_fast_8xb32-300e_coco.py",
               "yolov7/yolov7_[!dew]*_syncbn_fast_8x16b-300e_coco.py", "yolov8/yolov8_?_syncbn_fast_8xb16-500e_coco.py",
               "yolox/yolox_*_fast_8xb8-300e_coco.py", "ppyoloe/ppyoloe_?_fast_8xb*-300e_coco.py",
               "ppyoloe/ppyoloe_plus_?_fast_8xb8-80e_coco.py", "rtmdet/rtmdet_*_syncbn_fast_8xb32-300e_coco.py"],
    "mmdet": ["rtmdet/rtmdet_?_8xb32-300e_coco.py", "rtmdet/rtmdet_tiny_8xb32-300e_coco.py", "rtmdet/rtmdet-ins_*.py"],
}


def shapes(model):
    state = model.state_dict()
    norms = {name[:-len("running_mean")] for name in state if name.endswith("running_mean")}
    rest = {norm + key for norm in norms for key in ("bias", "running_mean", "running_var", "num_batches_tracked")}
    return {name: list(tensor.shape) for name, tensor in state.items()
            if name not in rest and not name.startswith("data_preprocessor.")}


def settings(config):
    resize, scale, pad = [], None, None
    for step in config.test_pipeline:
        kind = step["type"].split(".")[-1]
        if kind in ("LoadImageFromFile", "LoadAnnotations", "PackDetInputs"):
            continue
        resize.append(kind)
        if "scale" in step or "width" in step:
            scale = list(step["scale"]) if "scale" in step else [step["width"], step["height"]]
        if "pad_val" in step:
            pad = step["pad_val"]["img"]
    preprocessor, test = config.model.data_preprocessor, config.model.test_cfg
    return {"resize": resize, "scale": scale, "pad_val": pad[0] if isinstance(pad, (list, tuple)) else pad,
            "mean": list(preprocessor.get("mean") or []), "std": list(preprocessor.get("std") or []),
            "bgr_to_rgb": preprocessor.get("bgr_to_rgb", False),
            "test_cfg": {**{k: v for k, v in test.items() if k != "nms"}, "iou_threshold": test.nms.iou_threshold}}


def main():
    warnings.filterwarnings("ignore")
    packages = {"mmdet": import_mmdet(), "mmyolo": import_mmyolo()}
    from mmdet.registry import MODELS as MMDET
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    from mmyolo.registry import MODELS as MMYOLO
    result = {}
    for package, patterns in CONFIGS.items():
        root = os.path.join(os.path.dirname(packages[package].__file__), ".mim", "configs")
        files = sorted(file for pattern in patterns for file in glob.glob(os.path.join(root, pattern)))
        for file in files:
            config = Config.fromfile(file)
            config.model.backbone.pop("init_cfg", None)
            with DefaultScope.overwrite_default_scope(package), torch.device("meta"):
                model = (MMDET if package == "mmdet" else MMYOLO).build(config.model)
            name = f"{package}/{re.split('-v61|_syncbn|_fast|_8xb', os.path.basename(file))[0]}"
            head = getattr(model.bbox_head, "head_module", model.bbox_head)
            result[name] = {**settings(config), "exp_on_reg": bool(getattr(head, "exp_on_reg", False)),
                            "state": shapes(model)}
    with open(sys.argv[1], "w") as out:
        out.write("{\n" + ",\n".join(f"{json.dumps(name)}:{json.dumps(value, separators=(',', ':'))}"
                                      for name, value in result.items()) + "\n}\n")
    print("\n".join(result))


if __name__ == "__main__":
    main()
