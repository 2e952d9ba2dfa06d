"""Writes the messages' modules from ../../proto while the package is built, and takes the version from the project's."""

import pathlib
import re

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WIRE = "duet_client/wire"


def version() -> str:
    found = re.search(r"project\(duet VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())
    if not found:
        raise SystemExit(f"{ROOT}/CMakeLists.txt names no version: build the client inside of Duet's repository")
    return found[1]


class BuildWithMessages(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            write_messages(pathlib.Path(self.build_lib))


def write_messages(folder: pathlib.Path) -> None:
    """duet/vision/v1/image.proto becomes duet_client/wire/vision/v1/image_pb2.py, and .pyi for type checkers."""
    import grpc_tools
    from grpc_tools import protoc

    protos = sorted(each for room in ("vision", "detector", "segmenter") for each in (ROOT / "proto/duet" / room).rglob("*.proto"))
    out = folder / "messages"
    out.mkdir(parents=True, exist_ok=True)
    known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    code = protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"-I{known}", f"--python_out={out}", f"--pyi_out={out}", *map(str, protos)])
    if code:
        raise SystemExit(f"protoc failed with {code}")
    for module in sorted(out.rglob("*.py*")):
        # Below a name of our own: `duet` alone is somebody else's package.
        text = re.sub(r"^from duet\.", "from duet_client.wire.", module.read_text(), flags=re.MULTILINE)
        text = re.sub(r"\b_Mapping\]", "_Mapping[str, object]]", text)  # as strict type checkers want it
        target = folder / WIRE / module.relative_to(out / "duet")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        module.unlink()
    for each in [folder / WIRE, *(path for path in (folder / WIRE).rglob("*") if path.is_dir())]:
        (each / "__init__.py").touch()
    for each in sorted((path for path in out.rglob("*") if path.is_dir()), reverse=True):
        each.rmdir()
    out.rmdir()


setup(version=version(), cmdclass={"build_py": BuildWithMessages})
