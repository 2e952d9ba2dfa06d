#!/usr/bin/env python3
"""Makes a small .pth of a large one that mmengine's Runner wrote, with the same structure, format and classes.

usage: shrink_runner_checkpoint.py IN.pth OUT.pth      (needs numpy >= 2; neither torch nor mmengine)

Keeps every key of the top level, but of the weights, their EMA copies and the optimizer's state only a few. The
classes that the file names (torch's, mmengine's) are stood in for by empty ones under the same names, so the pickler
writes what Python's pickler wrote for the Runner; the container is written byte for byte as torch.save 2.x does.
"""
import collections
import io
import pickle
import struct
import sys
import types
import zipfile
import zlib

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
KEPT_PREFIXES = ("backbone.stem.0.", "bbox_head.cls_convs.", "bbox_head.rtm_cls.")
ELEMENT_SIZES = {"FloatStorage": 4, "LongStorage": 8}


def define(module, **members):
    parts = module.split(".")
    for i in range(1, len(parts) + 1):
        name = ".".join(parts[:i])
        sys.modules.setdefault(name, types.ModuleType(name))
    for name, member in members.items():
        member.__module__ = module
        setattr(sys.modules[module], name, member)


class HistoryBuffer:
    def min(self): ...
    def max(self): ...
    def current(self): ...
    def mean(self): ...


class FloatStorage: ...
class LongStorage: ...


class Tensor:
    def __init__(self, arguments):
        self.arguments = arguments  # storage reference, offset, shape, strides, requires_grad, hooks

    def __reduce__(self):
        return _rebuild_tensor_v2, self.arguments


def _rebuild_tensor_v2(*arguments):
    return Tensor(arguments)


class StorageReference:
    def __init__(self, persistent_id):
        self.id = persistent_id


def define_classes():
    define("mmengine.logging.history_buffer", HistoryBuffer=HistoryBuffer)
    define("torch", FloatStorage=FloatStorage, LongStorage=LongStorage)
    define("torch._utils", _rebuild_tensor_v2=_rebuild_tensor_v2)


class Unpickler(pickle.Unpickler):
    def persistent_load(self, persistent_id):
        return StorageReference(persistent_id)


class Pickler(pickle._Pickler):  # the Python one, as torch.save uses for its own classes' sake
    def __init__(self, file, rename):
        super().__init__(file, protocol=2)
        self.rename = rename

    def persistent_id(self, value):
        return self.rename(value.id) if isinstance(value, StorageReference) else None


def read(path):
    """The object, and the bytes of every storage by its key."""
    with open(path, "rb") as file:
        if file.read(2) == b"PK":
            archive = zipfile.ZipFile(path)
            prefix = archive.namelist()[0].split("/")[0]
            names = [n for n in archive.namelist() if n.startswith(prefix + "/data/")]
            storages = {n.rsplit("/", 1)[1]: archive.read(n) for n in names}
            return Unpickler(io.BytesIO(archive.read(prefix + "/data.pkl"))).load(), storages
        file.seek(0)
        head = [Unpickler(file).load() for _ in range(3)]
        assert head[:2] == [MAGIC, PROTOCOL], head
        sizes = {}

        class Collector(Unpickler):
            def persistent_load(self, persistent_id):
                sizes[persistent_id[2]] = ELEMENT_SIZES[persistent_id[1].__name__]
                return StorageReference(persistent_id)

        value = Collector(file).load()
        storages = {}
        for key in Unpickler(file).load():
            (numel,) = struct.unpack("<q", file.read(8))
            storages[key] = file.read(numel * sizes[key])
        return value, storages


def few_of(weights):
    kept = type(weights)()
    for key, value in weights.items():
        if key == "steps" or key.removeprefix("module.").startswith(KEPT_PREFIXES):
            kept[key] = value
    if hasattr(weights, "_metadata"):
        kept._metadata = collections.OrderedDict(
            (k, v) for k, v in weights._metadata.items() if (k + ".").startswith(KEPT_PREFIXES) or not k)
    return kept


def shrink(checkpoint):
    for key in ("state_dict", "ema_state_dict"):
        if key in checkpoint:
            checkpoint[key] = few_of(checkpoint[key])
    if "optimizer" in checkpoint:
        optimizer = checkpoint["optimizer"]
        optimizer["state"] = dict(list(optimizer["state"].items())[:2])
        optimizer["param_groups"] = optimizer["param_groups"][:2]
    for scheduler in checkpoint.get("param_schedulers", []):
        for key in ("base_values", "_last_value"):
            scheduler[key] = scheduler[key][:2]
    text = "model = dict(type='RTMDet')\n"
    checkpoint["meta"]["cfg"] = text
    if "message_hub" in checkpoint:
        checkpoint["message_hub"]["runtime_info"]["cfg"] = text
    return checkpoint


def dump(value, rename=None):
    file = io.BytesIO()
    Pickler(file, rename).dump(value)
    return file.getvalue()


def write_zip(path, value, storages):
    keys = {}

    def rename(persistent_id):
        kind, cls, key, location, numel = persistent_id[:5]
        return kind, cls, keys.setdefault(key, str(len(keys))), location, numel

    entries = [("data.pkl", dump(value, rename)), (".format_version", b"1"), (".storage_alignment", b"64"),
               ("byteorder", b"little")]
    entries += [("data/" + new, storages[old]) for old, new in keys.items()]
    entries += [("version", b"3\n"), (".data/serialization_id", b"0" * 40)]
    out, directory = bytearray(), bytearray()
    for name, payload in entries:
        name = ("archive/" + name).encode()
        offset = len(out)
        unpadded = offset + 30 + len(name) + 4
        padding = -unpadded % 64
        extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
        crc = zlib.crc32(payload)
        # Bit 3: crc and sizes follow the payload; bit 11: UTF-8.
        out += struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 0, 0x808, 0, 0, 0, 0, 0, 0, len(name), len(extra))
        out += name + extra + payload + struct.pack("<4sIII", b"PK\7\x08", crc, len(payload), len(payload))
        directory += struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 0, 0, 0x808, 0, 0, 0, crc, len(payload),
                                 len(payload), len(name), 0, 0, 0, 0, 0, offset) + name
    # torch.save always writes the zip64 records too.
    end64 = len(out) + len(directory)
    count = len(entries)
    end = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 0x31E, 0x2D, 0, 0, count, count, len(directory), len(out))
    end += struct.pack("<4sIQI", b"PK\6\7", 0, end64, 1)
    end += struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(directory), 0xFFFFFFFF, 0)
    with open(path, "wb") as file:
        file.write(out + directory + end)


def write_legacy(path, value, storages):
    used = {}

    def rename(persistent_id):
        used.setdefault(persistent_id[2], persistent_id)
        return persistent_id

    body = dump(value, rename)
    system = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    with open(path, "wb") as file:
        for part in (dump(MAGIC), dump(PROTOCOL), dump(system), body, dump(sorted(used))):
            file.write(part)
        for key in sorted(used):
            file.write(struct.pack("<q", used[key][4]) + storages[key])


def main():
    source, target = sys.argv[1:]
    define_classes()
    value, storages = read(source)
    with open(source, "rb") as file:
        write = write_zip if file.read(2) == b"PK" else write_legacy
    write(target, shrink(value), storages)


if __name__ == "__main__":
    main()
