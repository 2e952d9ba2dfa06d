"""What the side_by_side.py of each layer share: weights in files, runtimes that are peers, and taking turns."""
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

# Threads of a peer may go on spinning for a while after its turn.
PAUSE_S = 0.03


def read_safetensors(path):
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        data = file.read()
    types = {"F32": "<f4", "I64": "<i8"}
    return {name: np.frombuffer(data[slice(*entry["data_offsets"])], types[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in header.items() if name != "__metadata__"}


def write_safetensors(path, state):
    header, offset = {}, 0
    for name, array in state.items():
        kind = "F32" if array.dtype == np.float32 else "I64"
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in state.values():
            file.write(np.ascontiguousarray(array).tobytes())


def onnx_runtime(model, threads):
    """`model`: an ONNX file or its bytes, with one input. Returns a function from it to all outputs."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})


def openvino(model, threads, precision):
    import openvino
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model), "CPU",
        {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision})
    request = compiled.create_infer_request()

    def run(image):
        request.infer({0: image}, share_inputs=True)
        return [np.array(request.get_output_tensor(i).data) for i in range(len(compiled.outputs))]
    return run


class Duet:
    """The worker's process (turns.h); a turn is a line to it and its answer."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        while True:
            answer = self.process.stdout.readline()
            if not answer or answer.startswith("-"):
                raise RuntimeError(answer[2:].strip() or "the worker ended")
            if not answer.startswith("{"):  # a log line
                return float(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def timed(work):
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def measure(contenders, runs, warmup=3):
    """{name: function that returns milliseconds} → {name: [milliseconds]}; all take turns, each time in another order:
    one that always follows the one that heats the processor most would pay for it."""
    times = {name: [] for name in contenders}
    order = random.Random(1)
    for run in range(-warmup, runs):
        for name, turn in order.sample(sorted(contenders.items()), len(contenders)):
            time.sleep(PAUSE_S)
            try:
                elapsed = turn()
            except Exception as error:  # one that is not to be had here, e.g. bf16
                if run == -warmup:
                    print(f"  {name}: {error}", file=sys.stderr)
                continue
            if run >= 0:
                times[name].append(elapsed)
    return {name: values for name, values in times.items() if values}


def largest_error(maps, reference):
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(maps, reference))


def print_table(title, times):
    print(f"\n{title + ', ms':34}{'min':>10}{'median':>10}")
    for name, values in times.items():
        print(f"{name:34}{min(values):10.1f}{statistics.median(values):10.1f}")


def print_ratios(times):
    """Of Duet's time to the fastest peer's, in each precision: the least of the turns, and the median."""
    for kind in ("fp32", "bf16"):
        rivals = {name: values for name, values in times.items() if kind in name and not name.startswith("Duet")}
        if not rivals or f"Duet {kind}" not in times:
            continue
        ratios = []
        for of in (min, statistics.median):
            rival = min(rivals, key=lambda name: of(rivals[name]))
            ratios.append(f"{of(times[f'Duet {kind}']) / of(rivals[rival]):.3f} of {rival}'s")
        print(f"Duet {kind}, least: {ratios[0]}, median: {ratios[1]}")


def cpu_features():
    """Of those that decide how fast networks are, what this CPU has."""
    with open("/proc/cpuinfo") as file:
        flags = next((line.split() for line in file if line.startswith("flags")), [])
    return [name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
            if name in flags]


def run_models(parser, models, compare, report):
    """A script's main: `compare(name, args, folder)` gives a model's result, which `report` prints and --json keeps."""
    parser.add_argument("worker")
    parser.add_argument("--models", default=models)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", dest="json_path")
    args = parser.parse_args()
    machine = subprocess.run([args.worker, "--machine"], check=True, capture_output=True, text=True).stdout.strip()
    print(f"{machine}; this CPU has {', '.join(cpu_features())}; {args.threads} threads", flush=True)
    results = {}
    for name in args.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            results[name] = compare(name, args, folder)
            report(name, results[name])
    if args.json_path:
        with open(args.json_path, "w") as file:
            json.dump({"machine": machine, "cpu_features": cpu_features(), "threads": args.threads, "models": results}, file, indent=1)
