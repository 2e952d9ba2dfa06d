"""`duet models inspect` on the demo's weights, on files that lack or have too much, and on one that would do something."""

import json
import math
import os
import pickle
import struct
import subprocess
import zipfile

import pytest

from conftest import DETECTOR, SEGMENTER
from duet_command import ROOT


def inspect(*arguments):
    ran = subprocess.run([ROOT / "build/release/bin/duet", "models", "inspect", *map(str, arguments)], capture_output=True, text=True,
                         timeout=120)
    return ran.returncode, ran.stdout, ran.stderr


def about(file, expect=0):
    code, out, err = inspect(file, "--json", "--tensors")
    assert (code, err) == (expect, ""), err
    return json.loads(out)


@pytest.fixture(scope="module")
def tensors():
    """Of the demo's segmenter: (name, shape)."""
    return [(tensor["name"], tensor["shape"]) for tensor in about(SEGMENTER)["tensor_list"]]


def write_safetensors(path, tensors):
    """All zeros."""
    header, at = {}, 0
    for name, shape in tensors:
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))
    return path


def test_a_detector_and_a_segmenter_are_told_with_their_classes_and_hashes():
    detector, segmenter = about(DETECTOR), about(SEGMENTER)

    assert (detector["kind"], detector["model"]) == ("detector", "rtmdet") and "circle" in detector["classes"]
    assert detector["types"]["float32"] > 0 and detector["bytes"] == os.path.getsize(DETECTOR)
    summed = subprocess.run(["sha256sum", DETECTOR], capture_output=True, text=True, check=True).stdout.split()[0]
    assert detector["sha256"] == summed
    assert (segmenter["kind"], segmenter["problem"]) == ("segmenter", "") and segmenter["model"].startswith("sam-vit-")
    assert "sha256            " + summed in inspect(DETECTOR)[1]


def test_missing_and_extra_tensors_are_named(tensors, tmp_path):
    gone = next(tensor for tensor in tensors if tensor[0].startswith("mask_decoder.") and tensor[0].endswith("bias"))
    less = write_safetensors(tmp_path / "less.safetensors", [tensor for tensor in tensors if tensor != gone])
    more = write_safetensors(tmp_path / "more.safetensors", [*tensors, ("something.weight", [2, 3])])

    assert gone[0] in about(less, expect=1)["problem"]
    assert about(more)["extra_tensors"] == ["something.weight"]
    assert "not used          1: something.weight" in inspect(more)[1]


def test_what_is_no_network_of_ours_says_what_is_needed(tmp_path):
    other = write_safetensors(tmp_path / "other.safetensors", [("layer.weight", [4])])

    code, out, _ = inspect(other)

    assert code == 1 and "not served" in out and "backbone" in out and "image_encoder" in out


def test_what_cannot_be_read_is_a_sentence(tmp_path):
    text = tmp_path / "notes.pth"
    text.write_text("no weights\n")

    for arguments, words in (([text], "notes.pth"), ([tmp_path / "missing.pth"], "missing.pth"), ([], "no file; needed")):
        code, out, err = inspect(*arguments)
        assert (code, out) == (2, "") and words in err and len(err.splitlines()) == 1


def test_the_program_that_makes_networks_of_files_is_loaded_once(tmp_path):
    """LibTorch takes half a second to load, and is loaded anew by each execution (docs/adr/0204)."""
    told = {**{key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")},
            "LD_DEBUG": "statistics", "LD_DEBUG_OUTPUT": str(tmp_path / "loader")}

    subprocess.run([ROOT / "build/release/bin/duet", "models", "inspect", "no-such-file"], env=told, capture_output=True, timeout=120)

    # It is duet that becomes that program, in one process.
    loads = "".join(file.read_text() for file in tmp_path.glob("loader.*")).count("total startup time")
    assert loads == 2, "duet, and the program that it becomes"


def test_nothing_in_a_file_is_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/sprung",)

    with zipfile.ZipFile(tmp_path / "trap.pth", "w") as file:
        file.writestr("trap/data.pkl", pickle.dumps({"state_dict": Trap()}, protocol=2))
        file.writestr("trap/version", "3\n")

    code, _, err = inspect(tmp_path / "trap.pth")

    assert code == 2 and "trap.pth" in err and not (tmp_path / "sprung").exists()
