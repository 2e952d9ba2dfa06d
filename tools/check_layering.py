"""Fails where code reaches across an edge that the architecture doesn't have. The two tables are the architecture.

usage: check_layering.py SOURCE_DIRECTORY [TARGET_EDGES]

Reads every #include of the layers, and TARGET_EDGES, which cmake/target_edges.cmake writes at configure time: one link a
line, "DIRECTORY TARGET DIRECTORY TARGET". Both are needed: a header compiles without a link (Debian's <ATen/...> is in
/usr/include), and a target can be linked without a header.
"""
import pathlib
import re
import sys

# What a layer may use besides itself. `proto` is the generated code, included as "duet/...". Layers in lib/ are included
# without it: "text/utf8.h".
GROUND = {"text", "hash"}
MAY_USE = {
    "proto": set(),
    "text": set(),
    "hash": set(),
    "vision": GROUND,
    "checkpoint": GROUND,
    "serving": GROUND,
    "nn": GROUND | {"checkpoint", "vision"},
    "detector_service": GROUND | {"nn", "checkpoint", "vision", "serving", "proto"},
    "segmenter_service": GROUND | {"nn", "checkpoint", "vision", "serving", "proto"},
    "gateway": GROUND | {"vision", "serving", "proto"},
    "trainer": GROUND | {"detector_service", "segmenter_service", "nn", "checkpoint", "vision", "serving"},
    "tools": GROUND | {"checkpoint", "vision", "serving"},
}
# Inside the gateway: HTTP knows no Label Studio, the protocol is pure functions.
MAY_NOT_USE = {
    "gateway/http": {"gateway/label_studio", "gateway/label_studio_api", "gateway/backends", "gateway/media",
                     "gateway/handlers"},
    "gateway/label_studio": {"gateway/http", "gateway/label_studio_api", "gateway/backends", "gateway/media",
                             "gateway/handlers"},
    "gateway/backends": {"gateway/http", "gateway/label_studio", "gateway/label_studio_api", "gateway/media",
                         "gateway/handlers"},
    "gateway/media": {"gateway/label_studio", "gateway/label_studio_api", "gateway/backends", "gateway/handlers"},
    "gateway/label_studio_api": {"gateway/http", "gateway/backends", "gateway/handlers"},
}
MAY_SEE_TORCH = {"nn", "detector_service", "segmenter_service", "trainer"}
# In the gateway, only the clients of the two services.
MAY_SEE_GRPC = {"serving", "detector_service", "segmenter_service", "gateway/backends"}
# Pull in all of Torch: half a minute of compiling a file.
FORBIDDEN = {"torch/torch.h", "torch/all.h", "torch/extension.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


def room(path):
    """'gateway/http/session.h' → ('gateway', 'gateway/http'); 'lib/text/utf8.h' → ('text', 'text/utf8.h')."""
    parts = path.removeprefix("lib/").split("/")
    return parts[0], "/".join(parts[:2])


def complaint(user, used):
    """Why a file or target in directory `user` may not use one in `used`, or ''."""
    layer, part = room(user)
    used_layer, used_part = room(used)
    if used_layer != layer and used_layer in MAY_USE.keys() - MAY_USE[layer]:
        return f"{layer} may not depend on {used_layer}"
    if used_part in MAY_NOT_USE.get(part, set()):
        return f"{part} may not depend on {used_part}"
    return ""


def include_complaint(user, header):
    layer, part = room(user)
    top = header.split("/")[0]
    if header in FORBIDDEN:
        return "use narrow Torch headers (ATen/..., torch/nn/modules/...)"
    if top in {"torch", "ATen", "c10", "caffe2"} and layer not in MAY_SEE_TORCH:
        return "Torch stops at nn/"
    if top in {"grpc", "grpcpp"} and not MAY_SEE_GRPC & {layer, part}:
        return f"{part} may not see gRPC"
    return complaint(user, "proto" if top == "duet" else header)


def violations(root, edges):
    for layer in MAY_USE:
        for path in sorted([*(root / layer).rglob("*"), *(root / "lib" / layer).rglob("*")]):
            if path.suffix not in {".h", ".cc"}:
                continue
            name = path.relative_to(root).as_posix()
            for header in INCLUDE.findall(path.read_text()):
                if why := include_complaint(name, header):
                    yield f"{name}: includes {header}, but {why}"
    for line in edges.splitlines():
        user_directory, user, used_directory, used = line.split()
        if room(user_directory)[0] in MAY_USE:
            if why := complaint(user_directory, used_directory):
                yield f"{user_directory}/CMakeLists.txt: {user} links {used}, but {why}"


if __name__ == "__main__":
    source_directory = pathlib.Path(sys.argv[1])
    target_edges = pathlib.Path(sys.argv[2]).read_text() if len(sys.argv) > 2 else ""
    found = list(violations(source_directory, target_edges))
    print("\n".join(found) or "layering: ok")
    sys.exit(bool(found))
