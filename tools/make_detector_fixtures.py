#!/usr/bin/env python3
"""Makes tests/data/detector/ from a directory of goldens that the Python reference (mmdet, mmrotate, mmyolo) computed.

usage: make_detector_fixtures.py GOLDENS tests/data/detector      (needs numpy)

Per model: NAME.pth as it is; NAME.json with, per image, the input's SHA-256 and the final detections (masks as COCO
run-length codes: all of small images, every fifth of large ones); NAME.safetensors with maps of the first image
(backbone, neck, head), float32, for RTMDet; "layers" in NAME.json for the others: what each block of the network gave for
the first image, as a sum of absolute values and some of its values by index.
"""
import glob
import json
import os
import shutil
import struct
import sys

import numpy as np

# Which maps each model keeps, by how their names begin; one full set is enough to find a wrong module, the heads cover
# the other variants.
MODELS = {
    "tiny": ("backbone", "neck", "head"),
    "exp": ("head",),
    "mmyolo_rtmdet": ("head",),
    "ins": ("head_cls_2", "head_reg_2", "head_kernel", "mask_feat"),
    "rtmr": ("head",),
    "mmyolo_rtmr": ("head",),
    **dict.fromkeys(("yolov5", "yolov6", "yolov6_v3_m", "yolov7", "yolov7_tiny", "yolov8", "yolox", "ppyoloe_plus"), ()),
}
# Where each is below GOLDENS, if not under rtmdet/NAME.
FOLDERS = {"mmyolo_rtmdet": "rtmdet/yolo", "rtmr": "yolo/rtmr", "mmyolo_rtmr": "yolo/rtmr_y",
           "yolov5": "yolo/v5", "yolov6": "yolo/v6", "yolov6_v3_m": "yolo/v6v3m", "yolov7": "yolo/v7",
           "yolov7_tiny": "yolo/v7tiny", "yolov8": "yolo/v8", "yolox": "yolo/yolox", "ppyoloe_plus": "yolo/ppyoloe"}
# The two sets have images of the same names.
IMAGE_FOLDERS = {"rtmdet": "images", "yolo": "images_yolo"}
LARGE_PIXELS = 100000
MASKS_OF_LARGE = 5


def write_safetensors(path, arrays):
    header, offset = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array, "<f4").tobytes())


def number(value):
    return float(f"{value:.8g}")  # float32 needs nine digits; tolerances are far above the eighth


def layers(trace):
    return {name: {"abs_sum": number(entry["abs_sum"]),
                   "sample": [[index, number(value)] for index, value in entry["sample"]]}
            for name, entry in trace.items() if "#" not in name}


def masks(image):
    height, width = image["ori_shape"]
    step = MASKS_OF_LARGE if height * width > LARGE_PIXELS else 1
    return [mask["counts"] if i % step == 0 else None for i, mask in enumerate(image["result"]["masks"])]


def main(goldens, out):
    for model, kept in MODELS.items():
        place = FOLDERS.get(model, "rtmdet/" + model)
        folder = os.path.join(goldens, place)
        with open(os.path.join(folder, "golden.json")) as file:
            golden = json.load(file)
        shutil.copyfile(os.path.join(folder, golden["checkpoint"]), os.path.join(out, model + ".pth"))
        image_folder = IMAGE_FOLDERS[place.split("/")[0]]
        os.makedirs(os.path.join(out, image_folder), exist_ok=True)
        images = []
        for image in golden["images"]:
            name = f"{image_folder}/{os.path.basename(image['file'])}"
            shutil.copyfile(os.path.join(folder, "..", image["file"]), os.path.join(out, name))
            result = image["result"]
            images.append({
                "file": name,
                "scale_factor": image["scale_factor"],
                "input_sha256": image["input"]["sha256_f32_nchw"],
                "bboxes": [[number(v) for v in box] for box in result["bboxes"]],
                "scores": [number(v) for v in result["scores"]],
                "labels": result["labels"],
                **({"masks": masks(image)} if "masks" in result else {}),
            })
        stem = os.path.splitext(os.path.basename(golden["images"][0]["file"]))[0]
        fixture = {"classes": golden["classes"], "images": images}
        if kept:
            maps = np.load(os.path.join(folder, stem + ".npz"))
            write_safetensors(os.path.join(out, model + ".safetensors"),
                              {name: maps[name] for name in maps.files if name.startswith(kept)})
        else:
            with open(os.path.join(folder, stem + "_trace.json")) as file:
                fixture["layers"] = layers(json.load(file))
        with open(os.path.join(out, model + ".json"), "w") as file:
            json.dump(fixture, file, separators=(",", ":"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
