#!/usr/bin/env python3
"""Makes tests/data/detector/ from a directory of goldens that the Python reference (mmdet) computed.

usage: make_detector_fixtures.py GOLDENS/rtmdet tests/data/detector      (needs numpy)

Per model: NAME.pth as it is; NAME.json with, per picture, the input's SHA-256 and the final detections;
NAME.safetensors with the maps of the first picture (backbone, neck, head), float32.
"""
import json
import os
import shutil
import struct
import sys

import numpy as np

# Which maps each model keeps; one full set is enough to find a wrong module, the heads cover the other variants.
MODELS = {"tiny": ("backbone", "neck", "head"), "exp": ("head",)}


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


def main(goldens, out):
    os.makedirs(os.path.join(out, "images"), exist_ok=True)
    for model, kept in MODELS.items():
        with open(os.path.join(goldens, model, "golden.json")) as file:
            golden = json.load(file)
        shutil.copyfile(os.path.join(goldens, model, golden["checkpoint"]), os.path.join(out, model + ".pth"))
        images = []
        for image in golden["images"]:
            shutil.copyfile(os.path.join(goldens, image["file"]), os.path.join(out, image["file"]))
            images.append({
                "file": image["file"],
                "scale_factor": image["scale_factor"],
                "input_sha256": image["input"]["sha256_f32_nchw"],
                "bboxes": [[number(v) for v in box] for box in image["result"]["bboxes"]],
                "scores": [number(v) for v in image["result"]["scores"]],
                "labels": image["result"]["labels"],
            })
        with open(os.path.join(out, model + ".json"), "w") as file:
            json.dump({"classes": golden["classes"], "exp_on_reg": golden["exp_on_reg"], "images": images}, file,
                      separators=(",", ":"))
        stem = os.path.splitext(os.path.basename(golden["images"][0]["file"]))[0]
        maps = np.load(os.path.join(goldens, model, stem + ".npz"))
        write_safetensors(os.path.join(out, model + ".safetensors"),
                          {name: maps[name] for name in maps.files if name.split("_")[0] in kept})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
