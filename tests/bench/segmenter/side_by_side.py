#!/usr/bin/env python3
"""Duet's segmenter beside the official Python code, ONNX Runtime and OpenVINO: the same weights, image and threads,
taking turns.

usage: side_by_side.py DUET_WORKER [--models=vit_b,mobile_sam,hq_vit_tiny,sam2_hiera_tiny] [--encodes=3] [--runs=20]
                       [--threads=2] [--skip=NAME,...] [--json=FILE]

Models: vit_{b,l,h}, mobile_sam, hq_vit_{tiny,b,l,h}, sam2_hiera_{tiny,small,base_plus,large} (SAM 2.1).

DUET_WORKER is build/release's bench_segmenter_turns. Weights are random, at official widths. Measured, milliseconds, min
and median: the encoder alone; the prompt encoder and mask decoder for one point (three masks) and for 16 boxes; and a
click on a 1280x960 image whose embedding is there, Duet's from the gRPC call to RLEs, the official predict() to
arrays. Of HQ-SAM and SAM 2 no decoder alone; their encoders include what the mask decoder reads besides. Before that the embeddings of one image are compared. --skip leaves out
slow encoders, as the table names them, for more turns of the others.
"""
import argparse
import contextlib
import io
import os
import statistics
import sys
import warnings

import cv2
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..")]
from turns import (Duet, largest_error, measure, onnx_runtime, openvino, print_ratios, print_table, run_models,  # noqa: E402
                   read_safetensors, timed)

WIDTH, HEIGHT = 1280, 960



def official_model(name):
    """The model that its authors' code makes, and a function from it to their predictor."""
    if name.startswith("sam2_hiera_"):
        from sam2.build_sam import build_sam2
        from sam2.sam2_image_predictor import SAM2ImagePredictor
        size = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}[name.removeprefix("sam2_hiera_")]
        return build_sam2(f"configs/sam2.1/sam2.1_hiera_{size}.yaml", None, device="cpu"), SAM2ImagePredictor
    if name == "mobile_sam":
        import mobile_sam as package
        return package.sam_model_registry["vit_t"](), package.SamPredictor
    if name.startswith("hq_"):
        import segment_anything_hq as package
    else:
        import segment_anything as package
    return package.sam_model_registry[name.removeprefix("hq_")](), package.SamPredictor


def official_encoder(name, model):
    """A module from an image to the embedding, and to what the mask decoder reads of the encoder besides."""
    import torch

    class Sam2Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            levels = self.model.forward_image(x)["backbone_fpn"]
            return levels[-1] + self.model.no_mem_embed.view(1, -1, 1, 1), levels[0], levels[1]

    class HqEncoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = model.image_encoder

        def forward(self, x):
            embedding, early = self.encoder(x)
            return embedding, early[0]

    if name.startswith("sam2_"):
        return Sam2Encoder().eval()
    return HqEncoder().eval() if name.startswith("hq_") else model.image_encoder


def official(name, state):
    """The authors' own model and predictor."""
    import torch
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, predictor = official_model(name)
    found = model.load_state_dict({key: torch.from_numpy(array.copy()) for key, array in state.items()}, strict=False)
    # What nobody asks about an image: TinyViT's classifier, SAM 2's memory of a video's earlier ones.
    unused = ("norm_head", ".head.", "mem", "obj_ptr", "no_obj", "mask_downsample", "obj_score")
    left = [key for key in found.missing_keys if not any(part in key for part in unused)]
    if left or found.unexpected_keys:
        raise RuntimeError(f"{name}: {left} missing, {found.unexpected_keys} unexpected")
    model.train()  # TinyViT keeps its biases as they were when it last went from here to eval()
    model.eval()
    return model, predictor(model)


def export(module, example, path):
    import torch
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (example,), path, input_names=["x"], opset_version=17, dynamo=False)


def autocast(work):
    import torch

    def run():
        with torch.autocast("cpu", torch.bfloat16):
            return work()
    return run


def outputs(tensors):
    return [tensor.numpy() for tensor in (tensors if isinstance(tensors, tuple) else (tensors,))]


def encoders(duet, encoder, folder, args):
    import torch
    x = torch.randn(1, 3, 1024, 1024)
    array = x.numpy()
    path = os.path.join(folder, "encoder.onnx")
    export(encoder, x, path)
    skipped = args.skip.split(",")
    # Only those asked for are compiled: OpenVINO folds SAM 2's constants for minutes.
    peers = {name: compiled() for name, compiled in {
        "ONNX Runtime fp32": lambda: onnx_runtime(path, args.threads),
        "OpenVINO fp32": lambda: openvino(path, args.threads, "f32"),
        "OpenVINO bf16": lambda: openvino(path, args.threads, "bf16")}.items() if name not in skipped}
    reference = outputs(encoder(x))
    errors = {name: largest_error(run(array), reference) for name, run in peers.items()}
    contenders = {"Duet fp32": lambda: duet("encode fp32"), "Duet bf16": lambda: duet("encode bf16"),
                  **{name: lambda run=run: timed(lambda: run(array)) for name, run in peers.items()},
                  "official fp32": lambda: timed(lambda: encoder(x)),
                  "official bf16 (autocast)": lambda: timed(autocast(lambda: encoder(x)))}
    return measure({name: turn for name, turn in contenders.items() if name not in skipped},
                   args.encodes, warmup=1), errors


def clicks(duet, predictor, args):
    def predict():
        return predictor.predict(point_coords=np.array([[WIDTH // 2, HEIGHT // 2]]), point_labels=np.array([1]),
                                 multimask_output=True)
    return {
        "click to masks": measure({"Duet fp32": lambda: duet("answer fp32"),
                                   "official fp32": lambda: timed(predict)}, args.runs),
        "click during an encode": measure({"Duet fp32": lambda: duet("answer_busy fp32"),
                                           "Duet bf16": lambda: duet("answer_busy bf16")}, 1, warmup=1),
    }


def decoders(duet, model, args):
    import torch
    embedding = torch.randn(1, 256, 64, 64)

    def decode(points, boxes, multimask):
        sparse, dense = model.prompt_encoder(points=points, boxes=boxes, masks=None)
        return model.mask_decoder(image_embeddings=embedding, image_pe=model.prompt_encoder.get_dense_pe(),
                                  sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense,
                                  multimask_output=multimask)
    point = (torch.tensor([[[500.0, 375.0]]]), torch.ones(1, 1, dtype=torch.int))
    boxes = torch.tensor([[20.0 * i, 20.0 * i, 20.0 * i + 400, 20.0 * i + 300] for i in range(16)])
    return {
        "one point": measure({"Duet fp32": lambda: duet("click fp32"),
                              "official fp32": lambda: timed(lambda: decode(point, None, True))}, args.runs),
        "16 boxes": measure({"Duet fp32": lambda: duet("boxes fp32"),
                             "official fp32": lambda: timed(lambda: decode(None, boxes, False))},
                            max(3, args.runs // 4), warmup=1),
    }


def compare(name, args, folder):
    import torch
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    checkpoint, image = os.path.join(folder, f"{name}.safetensors"), os.path.join(folder, "picture.png")
    Duet(args.worker, f"--save={name}:{checkpoint}").close()
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    cv2.imwrite(image, cv2.GaussianBlur(noise, (0, 0), 5))
    model, predictor = official(name, read_safetensors(checkpoint))
    predictor.set_image(cv2.cvtColor(cv2.imread(image), cv2.COLOR_BGR2RGB))
    workers = {kind: Duet(args.worker, checkpoint, image, f"--threads={args.threads}") for kind in ("fp32", "bf16")}

    def duet(line):
        return workers[line.rpartition(" ")[2]].ask(line)

    result = {"embedding_error": {}}
    reference = (predictor.features if hasattr(predictor, "features") else predictor._features["image_embed"]).numpy()
    for kind in ("fp32", "bf16"):
        try:
            duet(f"embed:{folder}/embedding {kind}")
            mine = np.fromfile(f"{folder}/embedding", np.float32).reshape(reference.shape)
            result["embedding_error"][kind] = largest_error([mine], [reference])
        except RuntimeError as error:
            print(f"  Duet {kind}: {error}", file=sys.stderr)
    result.update(clicks(duet, predictor, args))
    if not name.startswith(("hq_", "sam2_")):  # whose decoders want more than these
        result.update(decoders(duet, model, args))
    result["encoder"], result["peers_error"] = encoders(duet, official_encoder(name, model), folder, args)
    result["gemm_gflops"] = {kind: duet(f"gemm {kind}") for kind in ("fp32", "bf16")}
    for worker in workers.values():
        worker.close()
    return result


def report(name, result):
    print(f"\n{name}: largest error of an embedding, of its largest value: "
          + ", ".join(f"{kind} {error:.1e}" for kind, error in result["embedding_error"].items())
          + "; prepacked GEMM " + ", ".join(f"{kind} {value:.0f} GFLOP/s"
                                            for kind, value in result["gemm_gflops"].items()))
    for what in ("encoder", "one point", "16 boxes", "click to masks", "click during an encode"):
        if what not in result:
            continue
        print_table(f"{name}, {what}", result[what])
        print_ratios(result[what])
    busy, idle = result["click during an encode"], result["click to masks"]["Duet fp32"]
    for kind, values in busy.items():
        print(f"{kind}: {min(values) / statistics.median(idle):.2f} times an idle click")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encodes", type=int, default=3)
    parser.add_argument("--skip", default="")
    run_models(parser, "vit_b,mobile_sam,hq_vit_tiny,sam2_hiera_tiny", compare, report)


if __name__ == "__main__":
    main()
