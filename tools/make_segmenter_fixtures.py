#!/usr/bin/env python3
"""Makes tests/data/segmenter/ from what the Python reference computed (its goldens folder).

Copies the reduced checkpoint and the pictures, and writes, for each picture,
  NAME.safetensors  the tensors of its .npz, plus `<prompt>.points|labels|boxes|mask_input|iou`
  NAME_masks.png    for each prompt the first answer's mask at the picture's size, stacked downwards,
                    in the order of `prompts` in goldens.json
goldens.json keeps what is left: sizes, hashes, the order of prompts, flags. amg_*.json are the
automatic mask generator's records, copied.

Usage: make_segmenter_fixtures.py GOLDENS_DIR   (needs numpy and Pillow)
"""
import json
import pathlib
import shutil
import struct
import sys

import numpy as np
from PIL import Image

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "segmenter"
DTYPES = {"float32": "F32", "float16": "F16", "float64": "F64", "int64": "I64"}


def save_safetensors(path, tensors):
    header, blobs, offset = {}, [], 0
    for name, array in sorted(tensors.items()):
        blob = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": DTYPES[str(array.dtype)], "shape": list(array.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def decode_coco_rle(rle):
    height, width = rle["size"]
    runs, value, shift = [], 0, 0
    for char in rle["counts"].encode():
        char -= 48
        value |= (char & 31) << shift
        shift += 5
        if char & 32:
            continue
        if char & 16:
            value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        runs.append(value)
        value, shift = 0, 0
    flat = np.repeat(np.arange(len(runs)) % 2, runs).astype(bool)
    return flat.reshape(width, height).T


def prompt_tensors(prompt):
    name, tensors = prompt["name"], {}
    for key in ("points", "boxes", "iou"):
        if prompt.get(key) is not None:
            tensors[f"{name}.{key}"] = np.array(prompt[key], dtype=np.float64)
    if prompt.get("labels") is not None:
        tensors[f"{name}.labels"] = np.array(prompt["labels"], dtype=np.int64)
    return tensors


def main(goldens_dir):
    source = pathlib.Path(goldens_dir)
    goldens = json.loads((source / "goldens.json").read_text())
    OUT.mkdir(parents=True, exist_ok=True)
    model = goldens["models"]["sam"]
    shutil.copyfile(source / model["checkpoint"], OUT / model["checkpoint"])
    summary = {}
    for name, results in model["images"].items():
        image = goldens["images"][name]
        shutil.copyfile(source / image["file"], OUT / image["file"])
        tensors = dict(np.load(source / results["npz"]))
        masks = []
        prompts = results["prompts"]
        for prompt in prompts.values():
            tensors |= prompt_tensors(prompt)
            masks.append(decode_coco_rle(prompt["masks"][0][0]))
        save_safetensors(OUT / f"{name}.safetensors", tensors)
        Image.fromarray(np.vstack(masks)).save(OUT / f"{name}_masks.png", optimize=True)
        summary[name] = {
            "width": image["width"], "height": image["height"], "resized_hw": image["resized_hw"],
            "sha256_preprocessed_chw_f32le": image["sha256_preprocessed_chw_f32le"],
            "prompts": [{"name": p["name"], "multimask": p["multimask"],
                         "mask": p.get("mask") is not None,
                         "area": p["masks"][0][0]["area"], "bbox_xywh": p["masks"][0][0]["bbox_xywh"]}
                        for p in prompts.values()],
        }
    for path in sorted(source.glob("amg_*.json")):
        shutil.copyfile(path, OUT / path.name)
    (OUT / "goldens.json").write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
