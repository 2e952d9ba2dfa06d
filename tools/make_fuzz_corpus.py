#!/usr/bin/env python3
"""Writes the small seeds below tests/fuzz/corpus/ that the checkpoint and mask fuzz targets start from.

usage: make_fuzz_corpus.py CORPUS_FOLDER      (standard library only)
"""
import collections
import pathlib
import pickle
import struct
import sys

# Shared with the shrinking of real files: the same containers, the same classes.
import shrink_runner_checkpoint as runner


def tensor(key, numel, shape, strides, storage=runner.FloatStorage, view=()):
    reference = runner.StorageReference(("storage", storage, key, "cpu", numel, *view))
    return runner.Tensor((reference, 0, shape, strides, False, collections.OrderedDict()))


def checkpoint(view):
    weights = collections.OrderedDict()
    weights["module.a"] = tensor("0", 6, (2, 3), (3, 1), view=view)
    weights["b"] = tensor("0", 6, (3, 2), (1, 3), view=view)
    weights["n"] = tensor("1", 1, (), (), runner.LongStorage, view=view)
    weights._metadata = collections.OrderedDict([("", {"version": 1})])
    return {"meta": {"CLASSES": ("cat", "dog"), "cfg": "x = 1"}, "state_dict": weights}


STORAGES = {"0": struct.pack("<6f", *range(6)), "1": struct.pack("<q", 7)}


def main():
    corpus = pathlib.Path(sys.argv[1])
    runner.define_classes()

    cyclic = []
    cyclic.append(cyclic)
    doubled = []
    for _ in range(20):
        doubled = [doubled, doubled]
    values = {"plain": [None, True, 1, -2, 2**40, 2**70, 1.5, "zażółć", b"x", (1,), {"a": {"b": [1, 2]}}, {3}],
              "cyclic": cyclic, "doubled": doubled, "history": runner.HistoryBuffer.min}
    for name, value in values.items():
        for protocol in (2, 4, 5):
            (corpus / "pickle" / f"{name}_{protocol}").write_bytes(pickle.dumps(value, protocol))

    runner.write_zip(corpus / "zip" / "small.pth", checkpoint(()), STORAGES)
    runner.write_legacy(corpus / "legacy_pth" / "small.pth", checkpoint((None,)), STORAGES)
    runner.write_legacy(corpus / "legacy_pth" / "views.pth",
                        {"a": tensor("0", 6, (2,), (1,), view=(("9", 2, 3),))}, STORAGES)

    header = (b'{"__metadata__":{"classes":"[\\"cat\\"]"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},'
              b'"n":{"dtype":"I64","shape":[],"data_offsets":[24,32]}}')
    (corpus / "safetensors" / "small.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header + STORAGES["0"] + STORAGES["1"])

    # Width, height, COCO's string: a rectangle, everything, nothing, single pixels.
    for name, width, height, counts in (("rectangle", 10, 8, b"j04400000f0"), ("full", 3, 5, b"0?"), ("empty", 3, 5, b"?"),
                                        ("pixels", 4, 4, b"011040L04")):
        (corpus / "mask_rle" / name).write_bytes(struct.pack("<HH", width, height) + counts)


if __name__ == "__main__":
    main()
