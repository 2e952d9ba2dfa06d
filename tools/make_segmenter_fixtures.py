#!/usr/bin/env python3
"""Makes tests/data/segmenter/ from what the Python references computed (their goldens folders).

For each model the reduced checkpoint (of SAM 2 without most of the video memory, whose weights no
image needs), the images, and for each model and image
  MODEL_IMAGE.safetensors  the tensors of its .npz, plus `<prompt>.points|labels|boxes|iou`
  MODEL_IMAGE_masks.png    for each prompt the first answer's mask at the image's size, stacked
                           downwards, in the order of `prompts` in goldens.json
goldens.json keeps what is left: sizes, hashes, the order of prompts, flags; and SAM 2's sidecar
files. amg_*.json are the automatic mask generator's records, copied.

To keep the repository small, only SAM is recorded whole; of the others one image, and of large
tensors every fourth row and column. --whole records everything (for a look, not to be committed).

Usage: make_segmenter_fixtures.py GOLDENS_DIR SAM2_GOLDENS_DIR [--whole]   (needs numpy and Pillow)
"""
import json
import pathlib
import shutil
import struct
import sys

import numpy as np
from PIL import Image

import shrink_runner_checkpoint as pth

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "segmenter"
DTYPES = {"float32": "F32", "float16": "F16", "float64": "F64", "int64": "I64"}
WHOLE = {"sam"}  # models of which all images and values are kept
IMAGES = {"s2a1"}  # kept besides each model's first: shrinks in x, grows in y
# Read by no image; one key of each stays.
VIDEO = ("memory_attention.", "memory_encoder.", "obj_ptr_proj.")
SIDECAR = ("num_heads", "global_att_blocks", "window_spec", "stages", "embed_dim",
           "window_pos_embed_bkg_spatial_size")


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


def thin(tensors, prompts):
    """Of what is whole, every fourth row and column, as the references thinned out the rest."""
    kept = {}
    for name, array in tensors.items():
        if name in ("embedding", "image_embed"):
            start = 1 if name == "image_embed" else 0
            kept[name + "_s4"] = array[:, start::4, start::4]
        elif name in prompts:
            kept[name + "_s4"] = array[:, :, 1::4, 1::4]
        elif name.removesuffix("_s4") in prompts or name.startswith(
                ("embedding_s4", "image_embed_s4", "mask_input_f16", "interm0", "high_res_s1_s4")):
            kept[name] = array
        elif name.startswith("high_res_s0"):  # every 16th of the original
            kept["high_res_s0_s16"] = array[:, ::2, ::2]
    return kept


def shrink_video(source, target):
    pth.define_classes()
    value, storages = pth.read(source)
    weights = value["model"]
    for prefix in VIDEO:
        for name in [n for n in weights if n.startswith(prefix)][1:]:
            del weights[name]
    pth.write_zip(target, value, storages)


def record(model, source, images, results, whole):
    """The images' entries for goldens.json; writes their files."""
    entries = {}
    for i, (name, result) in enumerate(results.items()):
        if not whole and model not in WHOLE and i > 0 and name not in IMAGES:
            continue
        image = images[name]
        shutil.copyfile(source / image["file"], OUT / image["file"])
        # Without the answer's run lengths, there is nothing to compare with.
        prompts = {k: p for k, p in result["prompts"].items() if "counts" in p["masks"][0][0]}
        tensors = dict(np.load(source / result["npz"]))
        if not whole and model not in WHOLE:
            tensors = thin(tensors, prompts)
        masks = []
        for prompt in prompts.values():
            tensors |= prompt_tensors(prompt)
            masks.append(decode_coco_rle(prompt["masks"][0][0]))
        save_safetensors(OUT / f"{model}_{name}.safetensors", tensors)
        Image.fromarray(np.vstack(masks)).save(OUT / f"{model}_{name}_masks.png", optimize=True)
        entries[name] = {
            "width": image["width"], "height": image["height"],
            "resized_hw": image.get("resized_hw", [1024, 1024]),
            "sha256_preprocessed_chw_f32le": image["sha256_preprocessed_chw_f32le"],
            "preprocessed_samples": image["preprocessed_samples"],
            "prompts": [{"name": p["name"], "multimask": p["multimask"],
                         "mask": p.get("mask") is not None,
                         "hq_token_only": p.get("hq_token_only", False),
                         "no_dynamic": bool(p.get("no_dynamic", False)),
                         "area": p["masks"][0][0]["area"],
                         "bbox_xywh": p["masks"][0][0]["bbox_xywh"]} for p in prompts.values()],
        }
    return entries


def main(goldens_dir, sam2_dir, whole=False):
    OUT.mkdir(parents=True, exist_ok=True)
    summary = {}
    source = pathlib.Path(goldens_dir)
    goldens = json.loads((source / "goldens.json").read_text())
    for model, golden in goldens["models"].items():
        shutil.copyfile(source / golden["checkpoint"], OUT / golden["checkpoint"])
        summary[model] = {"checkpoint": golden["checkpoint"],
                          "images": record(model, source, goldens["images"], golden["images"],
                                           whole)}
    source2 = pathlib.Path(sam2_dir)
    goldens2 = json.loads((source2 / "goldens.json").read_text())
    for model, golden in goldens2["models"].items():
        target = OUT / golden["checkpoint"]
        shrink_video(source2 / golden["checkpoint"], target)
        config = goldens2["config"]["models"][model]
        sidecar = {key: config[key] for key in SIDECAR}
        (OUT / (golden["checkpoint"] + ".json")).write_text(json.dumps(sidecar) + "\n")
        summary[model] = {"checkpoint": golden["checkpoint"],
                          "images": record(model, source2, goldens2["images"], golden["images"],
                                           whole)}
    for path in sorted(source.glob("amg_*.json")):
        shutil.copyfile(path, OUT / path.name)
    (OUT / "goldens.json").write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if a != "--whole"]
    if len(arguments) != 2:
        sys.exit(__doc__)
    main(*arguments, whole="--whole" in sys.argv)
