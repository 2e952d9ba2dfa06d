"""Fails where code reaches across an edge that the architecture doesn't have. The tables are the architecture.

usage: check_layering.py SOURCE_DIRECTORY [TARGET_EDGES]

Reads every #include of the rooms, and TARGET_EDGES, which cmake/target_edges.cmake writes at configure time: one link a
line, "DIRECTORY TARGET DIRECTORY TARGET". Both are needed: a header compiles without a link (Debian's <ATen/...> is in
/usr/include), and a target can be linked without a header.
"""
import pathlib
import re
import sys

# What a room may use besides itself. A room is named as #include lines name it (without "lib/"); a file belongs to the
# deepest room that has a row. A room in a row stands for all rooms below it, too. `proto` is the generated code,
# included as "duet/...".
GROUND = ["text", "hash", "containers", "files"]  # all others may use these
MAY_USE = {
    "proto": [], "text": [], "hash": [], "containers": [], "files": ["text"],
    "model_store": [],
    "vision": [],
    "curation": ["vision"],
    "checkpoint": [],
    "tracing": [],
    "serving": ["tracing", "async"],
    "async": [],
    # Between Label Studio and the two services.
    "label_studio": ["vision"],
    "dataset": ["vision", "serving", "label_studio"],
    "http_client": ["serving", "async"],
    "otlp": ["tracing", "serving", "async", "http_client"],
    "label_studio_api": ["serving", "async", "http_client", "label_studio"],
    "image_fetch": ["vision", "serving", "async", "http_client", "label_studio_api"],
    "backends": ["tracing", "proto", "serving", "async"],
    "prelabel": ["tracing", "proto", "vision", "curation", "serving", "async", "label_studio", "dataset", "label_studio_api", "image_fetch", "backends"],
    "bulk": ["proto", "vision", "serving", "async", "label_studio", "dataset", "http_client", "label_studio_api", "image_fetch", "backends", "prelabel"],
    "gateway/http": ["tracing", "serving", "async"],
    "gateway/jobs": ["tracing", "proto", "serving", "async", "model_store", "label_studio", "label_studio_api", "backends", "prelabel"],
    "gateway/ui": [],
    "gateway/endpoints": ["proto", "vision", "serving", "async", "model_store", "label_studio", "dataset", "http_client", "label_studio_api",
                          "image_fetch", "backends", "prelabel", "gateway/http", "gateway/jobs", "gateway/ui"],
    "gateway": ["otlp", "serving", "async", "model_store", "http_client", "label_studio_api", "image_fetch", "backends", "prelabel",
                "gateway/http", "gateway/jobs", "gateway/endpoints"],
    # The process that trains: what runs in it has no Torch, since a child does the arithmetic.
    "trainer_service/jobs": ["serving", "model_store"],
    "trainer_service/child": [],
    "trainer_service/work": ["vision", "serving", "async", "http_client", "label_studio", "label_studio_api",
                             "image_fetch", "dataset", "model_store", "trainer_service/jobs", "trainer_service/child"],
    "trainer_service/rpc": ["serving", "proto", "trainer_service/jobs"],
    "trainer_service": ["otlp", "serving", "http_client", "label_studio_api", "image_fetch", "model_store",
                        "trainer_service/jobs", "trainer_service/child", "trainer_service/work", "trainer_service/rpc"],
    "cli": ["vision", "serving", "model_store", "label_studio", "dataset", "http_client", "label_studio_api", "image_fetch", "backends",
            "prelabel", "bulk"],
    # The models.
    "nn": ["checkpoint"],
    "model_service": ["otlp", "nn", "checkpoint", "vision", "serving", "proto", "model_store"],
    "detector_service/config": ["vision", "serving"],
    "detector_service/blueprint": ["checkpoint", "nn", "vision"],
    "detector_service/rtmdet": ["checkpoint", "nn", "detector_service/config", "detector_service/blueprint"],
    "detector_service/families": ["checkpoint", "nn", "vision", "detector_service/config", "detector_service/blueprint",
                                  "detector_service/rtmdet"],
    "detector_service/packed": ["nn", "vision", "detector_service/blueprint", "detector_service/rtmdet"],
    "detector_service/inference": ["checkpoint", "nn", "vision", "model_service", "detector_service/config",
                                   "detector_service/blueprint", "detector_service/rtmdet", "detector_service/families",
                                   "detector_service/packed"],
    "detector_service/rpc": ["tracing", "nn", "serving", "vision", "proto", "model_service", "detector_service/inference"],
    "detector_service": ["otlp", "nn", "serving", "vision", "model_store", "model_service", "detector_service/rpc"],
    "segmenter_service/modeling": ["nn", "checkpoint"],
    "segmenter_service/packed": ["nn", "segmenter_service/modeling"],
    "segmenter_service/inference": ["tracing", "model_service", "nn", "checkpoint", "vision", "serving", "segmenter_service/modeling",
                                    "segmenter_service/packed"],
    "segmenter_service/rpc": ["model_service", "vision", "serving", "proto", "segmenter_service/inference"],
    "segmenter_service": ["otlp", "model_store", "model_service", "serving", "segmenter_service/inference", "segmenter_service/rpc"],
    "trainer/scenes": ["vision", "dataset"],
    "trainer/samples": ["vision", "label_studio", "dataset", "trainer/scenes"],
    "trainer/augment": ["vision", "trainer/samples", "trainer/scenes"],
    "trainer/losses": [],
    "trainer/optimization": ["checkpoint", "nn"],
    "trainer/detector": ["checkpoint", "nn", "vision", "detector_service/config", "detector_service/rtmdet",
                         "detector_service/packed", "trainer/samples", "trainer/losses", "trainer/optimization"],
    "trainer/evaluate": ["checkpoint", "vision", "dataset", "model_service", "detector_service/inference",
                         "segmenter_service/inference", "trainer/scenes", "trainer/samples"],
    "trainer/gate": ["vision", "dataset", "trainer/scenes", "trainer/samples", "trainer/evaluate"],
    "trainer/run": ["checkpoint", "nn", "serving", "vision", "dataset", "detector_service/config",
                    "detector_service/rtmdet", "detector_service/inference", "trainer/samples", "trainer/augment",
                    "trainer/detector", "trainer/optimization", "trainer/evaluate"],
    "trainer/segmenter": ["checkpoint", "nn", "serving", "vision", "dataset", "model_service",
                          "segmenter_service/modeling", "segmenter_service/inference", "trainer/scenes",
                          "trainer/samples", "trainer/losses", "trainer/optimization", "trainer/gate",
                          "trainer/run"],
    "trainer": ["checkpoint", "nn", "serving", "vision", "label_studio", "dataset", "detector_service/blueprint",
                "detector_service/config", "detector_service/rtmdet", "detector_service/packed",
                "detector_service/inference", "segmenter_service/modeling", "segmenter_service/inference",
                "trainer/scenes", "trainer/samples", "trainer/augment", "trainer/losses", "trainer/optimization", "trainer/detector", "trainer/evaluate",
                "trainer/gate", "trainer/run", "trainer/segmenter"],
    "tools": ["checkpoint", "vision", "serving", "detector_service/inference", "segmenter_service/inference", "model_service"],
}
MAY_SEE_TORCH = ["nn", "detector_service/blueprint", "detector_service/rtmdet",
                 "detector_service/families", "detector_service/packed", "detector_service/inference",
                 "segmenter_service/modeling", "segmenter_service/packed", "segmenter_service/inference", "trainer"]
MAY_SEE_GRPC = ["serving", "detector_service/rpc", "segmenter_service/rpc", "trainer_service/rpc", "backends"]
# Pull in all of Torch: half a minute of compiling a file.
FORBIDDEN = {"torch/torch.h", "torch/all.h", "torch/extension.h"}

# Where rooms are; a folder in here without a row is a defect. The rest (tests, docs, …) is not looked at.
HOUSES = ["proto", "lib", "gateway", "cli", "detector_service", "segmenter_service", "trainer_service", "trainer", "tools"]
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


def room(path):
    """'lib/vision/mask.h' and 'vision/mask.h' → 'vision'; None if it is in no room."""
    parts = path.removeprefix("lib/").split("/")
    for length in range(len(parts), 0, -1):
        if (name := "/".join(parts[:length])) in MAY_USE:
            return name
    return None


def within(name, rooms):
    return any(name == one or name.startswith(one + "/") for one in rooms)


def complaint(user, used):
    """Why a file or target in directory `user` may not use one in `used`, or ''."""
    user, used = room(user), room(used)
    if used is None or used == user or within(used, MAY_USE[user]) or used in GROUND and user not in [*GROUND, "proto"]:
        return ""
    return f"{user} may not depend on {used}"


def include_complaint(user, header):
    top = header.split("/")[0]
    if header in FORBIDDEN:
        return "use narrow Torch headers (ATen/..., torch/nn/modules/...)"
    if top in {"torch", "ATen", "c10", "caffe2"} and not within(room(user), MAY_SEE_TORCH):
        return "Torch stops at nn/"
    if top in {"grpc", "grpcpp"} and not within(room(user), MAY_SEE_GRPC):
        return f"{room(user)} may not see gRPC"
    return complaint(user, "proto" if top == "duet" else header)


def violations(root, edges):
    for house in HOUSES:
        for path in sorted((root / house).rglob("*")):
            if path.suffix not in {".h", ".cc"}:
                continue
            name = path.relative_to(root).as_posix()
            if room(name) is None:
                yield f"{name}: is in no room of tools/check_layering.py"
                continue
            for header in INCLUDE.findall(path.read_text()):
                if why := include_complaint(name, header):
                    yield f"{name}: includes {header}, but {why}"
    for line in edges.splitlines():
        user_directory, user, used_directory, used = line.split()
        if room(user_directory):
            if why := complaint(user_directory, used_directory):
                yield f"{user_directory}/CMakeLists.txt: {user} links {used}, but {why}"


if __name__ == "__main__":
    source_directory = pathlib.Path(sys.argv[1])
    target_edges = pathlib.Path(sys.argv[2]).read_text() if len(sys.argv) > 2 else ""
    found = list(violations(source_directory, target_edges))
    print("\n".join(found) or "layering: ok")
    sys.exit(bool(found))
