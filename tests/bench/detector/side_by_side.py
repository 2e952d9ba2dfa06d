#!/usr/bin/env python3
"""Duet's detector beside ONNX Runtime, OpenVINO and PyTorch: the same weights, image and threads, taking turns.

usage: side_by_side.py DUET_WORKER [--models=tiny,s,m] [--runs=20] [--threads=2] [--json=FILE]

DUET_WORKER is build/release's bench_detector_turns. Weights are random, with scores spread so that some 30 boxes pass 0.5.
Two things are measured, milliseconds, min and median: the network alone at 640x640; and the whole request, from the bytes
of a 640x480 JPEG to boxes (Duet's over gRPC, the peers' as a Python program would). Besides: Duet's resident memory after
two requests. PyTorch and mmdet itself take part if they are installed (requirements-torch.txt). Every peer's maps are compared with ONNX Runtime's first.
"""
import argparse
import os
import statistics
import subprocess
import sys

import cv2
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, ".."), os.path.join(HERE, "../../../tools")]
import network  # noqa: E402
from turns import (Duet, largest_error, measure, onnx_runtime, openvino, print_ratios, run_models,  # noqa: E402
                   read_safetensors, timed, write_safetensors)

SIDE = 640
MEAN = np.array([103.53, 116.28, 123.675], np.float32)
STD = np.array([57.375, 57.12, 58.395], np.float32)
SCORE_THRESHOLD = 0.5
IOU_THRESHOLD = 0.65


# ---- Weights

def randomize(state):
    """Numbers that keep the values' size from layer to layer; the head's convolutions stay shared."""
    rng = np.random.default_rng(0)
    result = {}
    for name, array in state.items():
        first = name.replace("_convs.1.", "_convs.0.").replace("_convs.2.", "_convs.0.")
        if name.startswith("bbox_head.") and name.endswith(".conv.weight") and first in result:
            result[name] = result[first]
        elif array.ndim == 4:
            result[name] = rng.normal(0, 1.4 / np.sqrt(array[0].size), array.shape).astype(np.float32)
        elif name.endswith("running_mean"):
            result[name] = rng.normal(0, 0.1, array.shape).astype(np.float32)
        elif name.endswith("running_var"):
            result[name] = rng.uniform(0.5, 1.5, array.shape).astype(np.float32)
        else:
            result[name] = np.array(array)
    return result


def spread_scores(state, run):
    """Sets the class branch's last layer so that 30 of all logits are positive, with a deviation of 1.5."""
    maps = run()
    for level in range(3):
        name = f"bbox_head.rtm_cls.{level}"
        centred = maps[level] - state[f"{name}.bias"].reshape(1, -1, 1, 1)
        factor = np.float32(1.5 / centred.std())
        state[f"{name}.weight"] = state[f"{name}.weight"] * factor
        share = 10 / centred.size
        state[f"{name}.bias"] = np.full_like(state[f"{name}.bias"], -np.quantile(centred * factor, 1 - share))


# ---- What a Python program does around the network

def preprocess(jpeg):
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = (int(width * scale + 0.5), int(height * scale + 0.5))
    padded = np.full((SIDE, SIDE, 3), 114, np.uint8)
    padded[:size[1], :size[0]] = cv2.resize(pixels, size)
    return np.ascontiguousarray(((padded - MEAN) / STD).transpose(2, 0, 1)[None]), scale


def postprocess(maps, scale, exp_on_reg):
    boxes, scores, labels = [], [], []
    for level, stride in enumerate(network.STRIDES):
        logits, regressed = maps[level][0], maps[level + 3][0]
        label, y, x = np.nonzero(logits > np.log(SCORE_THRESHOLD / (1 - SCORE_THRESHOLD)))
        distances = regressed[:, y, x]
        distances = (np.exp(distances) if exp_on_reg else distances) * stride
        points = np.stack([x, y]) * stride
        boxes.append(np.concatenate([points - distances[:2], points + distances[2:]]).T.clip(0, SIDE) / scale)
        scores.append(1 / (1 + np.exp(-logits[label, y, x])))
        labels.append(label)
    boxes, scores, labels = np.concatenate(boxes), np.concatenate(scores), np.concatenate(labels)
    kept = []
    shifted = boxes + (labels * (boxes.max(initial=0) + 1))[:, None]
    area = (shifted[:, 2] - shifted[:, 0]) * (shifted[:, 3] - shifted[:, 1])
    order = np.argsort(-scores)
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        low = np.maximum(shifted[best, :2], shifted[order, :2])
        high = np.minimum(shifted[best, 2:], shifted[order, 2:])
        both = np.prod((high - low).clip(0), axis=1)
        order = order[both <= IOU_THRESHOLD * (area[best] + area[order] - both)]
    return boxes[kept], scores[kept], labels[kept]


# ---- The peers: each a function from an input to six maps

def pytorch(state, threads, dtype):
    import torch
    torch.set_num_threads(threads)
    model = network.Rtmdet(state, network.TorchBackend(state))

    def run(image):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            return [output.float().numpy() for output in model.forward(torch.from_numpy(image))]
    return run


def mmdet_request(name, state, jpeg_path, threads):
    """The reference itself: a file to detections."""
    import make_full_size_goldens as reference
    import torch
    torch.set_num_threads(threads)
    mmdet = reference.import_mmdet()
    model, _ = reference.build(mmdet, name)
    model.load_state_dict({key: torch.from_numpy(array.copy()) for key, array in state.items()})
    model.eval()
    model.test_cfg.score_thr = SCORE_THRESHOLD
    return lambda: mmdet.apis.inference_detector(model, jpeg_path)


def compare(model_name, args, folder):
    cv2.setNumThreads(args.threads)
    checkpoint = os.path.join(folder, f"{model_name}.safetensors")
    subprocess.run([args.worker, f"--save={model_name}:{checkpoint}"], check=True)
    state = randomize(read_safetensors(checkpoint))
    pixels = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8), (0, 0), 5)
    jpeg_path = os.path.join(folder, "picture.jpg")
    cv2.imwrite(jpeg_path, pixels)
    with open(jpeg_path, "rb") as file:
        jpeg = file.read()
    image, _ = preprocess(jpeg)

    spread_scores(state, lambda: onnx_runtime(network.onnx_model(state, SIDE), args.threads)(image))
    write_safetensors(checkpoint, state)
    model = network.onnx_model(state, SIDE)
    exp_on_reg = state["bbox_head.rtm_cls.0.weight"].shape[1] >= 192  # m and larger, as the official configs

    peers = {"ONNX Runtime fp32": onnx_runtime(model, args.threads)}
    for name, make in (("OpenVINO fp32", lambda: openvino(model, args.threads, "f32")),
                       ("OpenVINO bf16", lambda: openvino(model, args.threads, "bf16")),
                       ("PyTorch fp32", lambda: pytorch(state, args.threads, "fp32")),
                       ("PyTorch bf16 (autocast)", lambda: pytorch(state, args.threads, "bf16"))):
        try:
            peers[name] = make()
        except ImportError as error:
            print(f"  {name}: {error}", file=sys.stderr)
    reference = peers["ONNX Runtime fp32"](image)
    errors = {name: largest_error(run(image), reference) for name, run in peers.items()}

    duet = Duet(args.worker, checkpoint, jpeg_path, f"--threads={args.threads}", f"--input_size={SIDE}")

    def whole(run):
        def work():
            array, scale = preprocess(jpeg)
            return postprocess(run(array), scale, exp_on_reg)
        return lambda: timed(work)

    result = {"gmacs": macs(state, SIDE) / 1e9, "max_error": errors,
              "file_mb": os.path.getsize(checkpoint) / 1e6, "memory_mb": {}}
    for kind in ("fp32", "bf16"):
        alone = Duet(args.worker, checkpoint, jpeg_path, f"--threads={args.threads}", f"--input_size={SIDE}")
        try:
            for _ in range(2):
                alone.ask(f"request {kind}")
            result["memory_mb"][kind] = alone.ask("memory")
        except RuntimeError as error:
            print(f"  Duet {kind}: {error}", file=sys.stderr)
        alone.close()
    result["gemm_gflops"] = {kind: duet.ask(f"gemm {kind}") for kind in result["memory_mb"]}
    result["network"] = measure({
        "Duet fp32": lambda: duet.ask("network fp32"), "Duet bf16": lambda: duet.ask("network bf16"),
        **{name: lambda run=run: timed(lambda: run(image)) for name, run in peers.items()}}, args.runs)
    requests = {"Duet fp32": lambda: duet.ask("request fp32"), "Duet bf16": lambda: duet.ask("request bf16"),
                **{name: whole(run) for name, run in peers.items()}}
    try:
        with_mmdet = mmdet_request(model_name, state, jpeg_path, args.threads)
        requests["mmdet"] = lambda: timed(with_mmdet)
    except ImportError as error:
        print(f"  mmdet: {error}", file=sys.stderr)
    result["request"] = measure(requests, args.runs)
    duet.close()
    return result


def macs(state, side):
    """Multiplications of the convolutions, from an ONNX graph's point of view."""
    import onnx
    inferred = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(network.onnx_model(state, side)))
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
              for value in list(inferred.graph.value_info) + list(inferred.graph.output)}
    weights = {w.name: list(w.dims) for w in inferred.graph.initializer}
    return sum(int(np.prod(shapes[node.output[0]])) * int(np.prod(weights[node.input[1]][1:]))
               for node in inferred.graph.node if node.op_type == "Conv")


def report(name, result):
    print(f"\nrtmdet-{name}: {result['gmacs']:.2f} GMAC; prepacked GEMM "
          + ", ".join(f"{kind} {value:.0f} GFLOP/s" for kind, value in result["gemm_gflops"].items()))
    print(f"weights file {result['file_mb']:.0f} MB; Duet's memory after two requests "
          + ", ".join(f"{kind} {value:.0f} MB" for kind, value in result["memory_mb"].items()))
    print(f"{'':26}{'network min':>12}{'median':>9}{'GFLOP/s':>9}{'of GEMM':>9}{'request min':>13}{'median':>9}")
    for contender, request in result["request"].items():
        if contender not in result["network"]:
            print(f"{contender:26}{'':39}{min(request):13.1f}{statistics.median(request):9.1f}")
    for contender, times in result["network"].items():
        low = min(times)
        speed = 2 * result["gmacs"] / low * 1e3
        request = result["request"].get(contender)
        gemm = result["gemm_gflops"].get("bf16" if "bf16" in contender else "fp32", float("nan"))
        print(f"{contender:26}{low:12.1f}{statistics.median(times):9.1f}{speed:9.0f}{speed / gemm:9.2f}"
              + (f"{min(request):13.1f}{statistics.median(request):9.1f}" if request else ""))
    print_ratios(result["network"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    run_models(parser, "tiny,s,m", compare, report)


if __name__ == "__main__":
    main()
