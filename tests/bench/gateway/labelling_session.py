"""What an annotator waits for in a labelling session on a real Label Studio, with and without prefetching.

usage: labelling_session.py [--segmenter=FILE] [--tasks=8] [--look_s=2] [--correct_s=8] [--rounds=1]
       [--outputs=rectangle]

Starts Label Studio and Duet on free ports, and a gateway a session. An annotator opens a task, looks at it, clicks once
with the smart keypoint, corrects, submits, and opens the next one. Timed are the opening and the click, from the
browser's request to Label Studio until its answer, and what of the click is Duet's. The sessions take turns:
--prefetch_tasks=0, then 2. Without --segmenter a SAM ViT-B with random weights is made: what it answers is noise, how
long it takes is not.

Needs the Python environment of the end-to-end tests (./duet test --only=e2e makes it).
"""

import argparse
import json
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import numpy
import requests

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from conftest import Duet  # noqa: E402
from label_configs import config, keypoint_prompt  # noqa: E402
from label_studio import LabelStudio  # noqa: E402
from service import Service, wait_until  # noqa: E402
import scenes as scene_files  # noqa: E402

LABELS = ["circle", "square", "triangle", "star", "ring", "cross", "hexagon", "heart", "crescent", "arrow"]


def vit_b_shapes():
    """Names and shapes of sam_vit_b_01ec64.pth."""
    shapes = {"image_encoder.pos_embed": (1, 64, 64, 768), "image_encoder.patch_embed.proj.weight": (768, 3, 16, 16),
              "image_encoder.patch_embed.proj.bias": (768,)}

    def linear(name, outputs, inputs):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)

    def norm(name, channels):
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (channels,)

    for block in range(12):
        name = f"image_encoder.blocks.{block}"
        norm(f"{name}.norm1", 768)
        norm(f"{name}.norm2", 768)
        linear(f"{name}.attn.qkv", 2304, 768)
        linear(f"{name}.attn.proj", 768, 768)
        for axis in "hw":
            shapes[f"{name}.attn.rel_pos_{axis}"] = (127 if block in (2, 5, 8, 11) else 27, 64)
        linear(f"{name}.mlp.lin1", 3072, 768)
        linear(f"{name}.mlp.lin2", 768, 3072)
    shapes["image_encoder.neck.0.weight"] = (256, 768, 1, 1)
    shapes["image_encoder.neck.2.weight"] = (256, 256, 3, 3)
    norm("image_encoder.neck.1", 256)
    norm("image_encoder.neck.3", 256)

    prompts = "prompt_encoder"
    shapes[f"{prompts}.pe_layer.positional_encoding_gaussian_matrix"] = (2, 128)
    for point in range(4):
        shapes[f"{prompts}.point_embeddings.{point}.weight"] = (1, 256)
    shapes[f"{prompts}.not_a_point_embed.weight"] = shapes[f"{prompts}.no_mask_embed.weight"] = (1, 256)
    for layer, weight in ((0, (4, 1, 2, 2)), (3, (16, 4, 2, 2)), (6, (256, 16, 1, 1))):
        shapes[f"{prompts}.mask_downscaling.{layer}.weight"] = weight
        shapes[f"{prompts}.mask_downscaling.{layer}.bias"] = weight[:1]
    norm(f"{prompts}.mask_downscaling.1", 4)
    norm(f"{prompts}.mask_downscaling.4", 16)

    def attention(name, inner):
        for projection in ("q_proj", "k_proj", "v_proj"):
            linear(f"{name}.{projection}", inner, 256)
        linear(f"{name}.out_proj", 256, inner)

    decoder = "mask_decoder"
    for layer in range(2):
        name = f"{decoder}.transformer.layers.{layer}"
        attention(f"{name}.self_attn", 256)
        attention(f"{name}.cross_attn_token_to_image", 128)
        attention(f"{name}.cross_attn_image_to_token", 128)
        linear(f"{name}.mlp.lin1", 2048, 256)
        linear(f"{name}.mlp.lin2", 256, 2048)
        for number in range(1, 5):
            norm(f"{name}.norm{number}", 256)
    attention(f"{decoder}.transformer.final_attn_token_to_image", 128)
    norm(f"{decoder}.transformer.norm_final_attn", 256)
    shapes[f"{decoder}.iou_token.weight"], shapes[f"{decoder}.mask_tokens.weight"] = (1, 256), (4, 256)
    for layer, weight in ((0, (256, 64, 2, 2)), (3, (64, 32, 2, 2))):
        shapes[f"{decoder}.output_upscaling.{layer}.weight"] = weight
        shapes[f"{decoder}.output_upscaling.{layer}.bias"] = weight[1:2]
    norm(f"{decoder}.output_upscaling.1", 64)
    for mask in range(4):
        for layer, outputs in ((0, 256), (1, 256), (2, 32)):
            linear(f"{decoder}.output_hypernetworks_mlps.{mask}.layers.{layer}", outputs, 256)
    for layer, outputs in ((0, 256), (1, 256), (2, 4)):
        linear(f"{decoder}.iou_prediction_head.layers.{layer}", outputs, 256)
    return shapes


def write_random_vit_b(file):
    """As safetensors: a length, a JSON header, the tensors."""
    random = numpy.random.default_rng(1)
    header, offset = {}, 0
    shapes = vit_b_shapes()
    for name, shape in shapes.items():
        size = 4 * int(numpy.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(file, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for shape in shapes.values():
            out.write((0.02 * random.standard_normal(shape, dtype=numpy.float32)).tobytes())


def session(duet, studio, files, arguments, prefetch):
    """One annotator's seconds for each task, with a gateway that is so many tasks ahead."""
    scenes = scene_files.load(files)
    ports = dict(option.lstrip("-").split("=") for option in duet.options if "port" in option)
    gateway = Service(
        "duet-gateway", "--port=0", f"--detector=127.0.0.1:{ports['detector-port']}",
        f"--segmenter=127.0.0.1:{ports['segmenter-port']}", f"--label_studio_url={studio.url}",
        f"--prefetch_tasks={prefetch}", environment={"DUET_LABEL_STUDIO_API_KEY": studio.token})
    url = f"http://127.0.0.1:{gateway.ready()}"
    wait_until(lambda: requests.get(url + "/readyz").ok)
    project = studio.create_project(f"prefetch {prefetch}", config(
        LABELS, "RectangleLabels", "BrushLabels", smart=("KeyPointLabels",)))
    try:
        project.add_backend(url, extra_params={"outputs": arguments.outputs})
        tasks = project.upload([scene.file for scene in scenes])
        waits = []
        for task, scene in zip(tasks, scenes):
            begin = time.monotonic()
            project.open_task(task)
            opened = time.monotonic() - begin
            time.sleep(arguments.look_s)
            prompt = keypoint_prompt(scene, scene.width // 2, scene.height // 2, LABELS[0])
            begin = time.monotonic()
            regions = project.interact(task, [prompt])
            clicked = time.monotonic() - begin
            while (done := gateway.wait_for_event("http.done")).get("kind") != "interactive":
                pass
            waits.append({"open_s": opened, "first_click_s": clicked, "of_that_duet_s": done["elapsed_ms"] / 1000})
            time.sleep(arguments.correct_s)
            project.annotate(task, regions)
        return waits
    finally:
        project.delete()
        gateway.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segmenter")
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--look_s", type=float, default=2)
    parser.add_argument("--correct_s", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    # Boxes alone: the page opens without waiting for masks, and the first click waits for the encoder.
    parser.add_argument("--outputs", default="rectangle")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        segmenter = arguments.segmenter
        if not segmenter:
            segmenter = directory / "sam_vit_b_random.safetensors"
            write_random_vit_b(segmenter)
        duet = Duet(directory / "duet")
        duet.options += [f"--segmenter-checkpoint={segmenter}"]
        waits = {0: [], 2: []}
        try:
            duet.up("--with-label-studio")
            studio = LabelStudio(f"http://127.0.0.1:{duet.label_studio_port}",
                                 (duet.state / "label-studio" / "token").read_text())
            for turn in range(arguments.rounds):
                for prefetch in waits:
                    files = directory / f"scenes_{turn}_{prefetch}"  # never seen, hence never embedded
                    subprocess.run([ROOT / "build/release/bin/duet-train", "scenes", f"--count={arguments.tasks}",
                                    f"--seed={100 + 10 * turn + prefetch}", f"--out={files}"], check=True)
                    waits[prefetch] += session(duet, studio, files, arguments, prefetch)
        finally:
            duet.run("down")
    for prefetch, tasks in waits.items():
        report = {"prefetch_tasks": prefetch, "tasks": len(tasks)}
        for kind in tasks[0]:
            each = [task[kind] for task in tasks]
            report[kind] = {"median": round(statistics.median(each), 3),
                            "p90": round(statistics.quantiles(each, n=10, method="inclusive")[-1], 3),
                            "all": [round(one, 3) for one in each]}
        print(json.dumps(report))


if __name__ == "__main__":
    main()
