#!/usr/bin/env python3
"""Loads what duet-train wrote as MMDetection does, and makes goldens of what MMDetection finds (needs mmdet, torch).

usage: make_fine_tuned_goldens.py RUN_FOLDER OUT

RUN_FOLDER is duet-train's --out. best.pth and last.pth must load by init_detector without a name that is missing or too
much, with the classes and colours of the training, from config.py and from the config in the checkpoint alike; anything
else is an error. Then tests/parity compares what it finds in the validation images with what the detector's service does:

    DUET_REAL_GOLDENS=OUT ctest --test-dir build/release -R parity.detector_service.real_weights --output-on-failure
"""
import json
import pathlib
import shutil
import sys

import torch
from openmmlab import import_mmdet

IMAGES = 8
LEAST_SCORE = 0.01


def load(folder, name):
    """The model as init_detector makes it, after all checks."""
    from mmdet.apis import init_detector
    from mmengine.config import Config
    checkpoint = torch.load(folder / name, map_location="cpu", weights_only=True)
    meta = checkpoint["meta"]
    config = Config.fromfile(folder / "config.py")
    assert Config.fromstring(meta["cfg"], ".py").to_dict() == config.to_dict(), "config.py is not the checkpoint's"
    model = init_detector(config, str(folder / name), device="cpu")
    model.load_state_dict(checkpoint["state_dict"], strict=True)
    classes = tuple(meta["dataset_meta"]["classes"])
    assert model.dataset_meta["classes"] == classes, model.dataset_meta
    assert model.bbox_head.num_classes == len(classes) == len(model.dataset_meta["palette"])
    assert meta["iter"] >= meta["epoch"] > 0, meta
    # The data sets that the config names are the training's own, with its classes.
    from mmdet.registry import DATASETS
    dataset = config.test_dataloader.dataset.copy()
    dataset.data_root = str(folder / dataset.data_root)
    made = DATASETS.build(dataset)
    assert made.metainfo["classes"] == classes and len(made) > 0
    return model, config, [made.get_data_info(i)["img_path"] for i in range(min(IMAGES, len(made)))]


def main():
    folder, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    (out / "photos").mkdir(parents=True, exist_ok=True)
    import_mmdet()
    from mmdet.apis import inference_detector
    for name in ("best", "last"):
        model, _, images = load(folder, name + ".pth")
        found = {}
        for image in images:
            shutil.copy(image, out / "photos")
            instances = inference_detector(model, image).pred_instances
            kept = instances.scores >= LEAST_SCORE
            found[pathlib.Path(image).name] = {"boxes": instances.bboxes[kept].tolist(),
                                               "scores": instances.scores[kept].tolist(),
                                               "labels": instances.labels[kept].tolist()}
        shutil.copy(folder / (name + ".pth"), out)
        (out / (name + ".json")).write_text(json.dumps(found))
        print(f"{name}.pth: MMDetection loads it and finds {sum(len(f['scores']) for f in found.values())} objects "
              f"in {len(images)} images")


if __name__ == "__main__":
    main()
