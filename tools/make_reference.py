#!/usr/bin/env python3
"""Writes docs/reference/ from what the programs themselves say: their --help (the goldens of tests/contract, which a test compares
with the programs), the declarations of metrics and settings, the comments of the .proto files, and the gateway's OpenAPI document.

usage: make_reference.py [--check]

--check writes nothing and fails if a page is stale.
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs/reference"
GOLDENS = ROOT / "tests/contract/goldens"
MADE = "<!-- Made by tools/make_reference.py. -->"


def cell(text):
    """Text in a table: one line, nothing of it Markdown."""
    return re.sub(r"([|<>*])", r"\\\1", " ".join(text.split()))


def table(heads, rows):
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows]) + "\n"


# Flags.

def program_of(golden):
    """What is typed to get this help."""
    special = {"duet-train": "duet-train", "duet-train-command": "duet-train COMMAND", "duet-train-segmenter": "duet-train segmenter",
               "duet_train": "duet train"}
    services = ("duet-gateway", "duet-detector", "duet-segmenter", "duet-trainer")
    name = golden.name.removesuffix(".help.txt")
    return special.get(name, name if name in services else name.replace("-", " ", 1))


def flags_of(text):
    """Rows of the flags' table of one --help."""
    rows = []
    for match in re.finditer(r"^  --(\w+)(=VALUE)?(?:  \((.*)\))?\n((?:      .*\n)+)", text, re.MULTILINE):
        name, value, notes, meaning = match.groups()
        notes = dict(re.findall(r"(default|env): ([^;)]+)", notes or ""), required="required" in (notes or ""))
        if name in ("help", "version"):
            continue
        default = "required" if notes["required"] else f"`{notes.get('default', '')}`"
        rows.append([f"`--{name}{'=…' if value else ''}`", default, f"`{notes['env']}`" if "env" in notes else "", cell(meaning)])
    return rows


def flags_page():
    goldens = sorted(GOLDENS.glob("*.help.txt"), key=program_of)
    parts = []
    for golden in goldens:
        text = golden.read_text()
        usage = text.split("\nFlags:\n")[0].split(": ", 1)[1]
        summary, _, more = usage.partition("\n")
        more = more.strip("\n")
        parts.append(f"## {program_of(golden)}\n\n{cell(summary)}\n\n" + (f"```\n{more}\n```\n\n" if more else "") +
                     table(["flag", "default", "variable", "what for"], flags_of(text)))
    return ("# Flags of all programs\n\nEvery program prints these with `--help`, and as JSON with `--help=json`. A flag on the command line counts "
            "before its\nvariable. `./duet up` passes the flags of the gateway, the detector, the segmenter and the trainer on "
            "([setup.md](../setup.md#options)).\n\n" + "\n".join(parts))


# Metrics.

def metrics_page():
    """Of each process those that it exports, by the declarations in the headers."""
    declared = {}
    for header in sorted([*ROOT.glob("lib/**/*.h"), *ROOT.glob("*_service/**/*.h"), *ROOT.glob("gateway/**/*.h")]):
        for body in re.findall(r"(?:Counter|Gauge|Histogram)Spec \w+\{(.*?)\};", header.read_text(), re.DOTALL):
            texts = [re.sub(r'"\s*"', "", text)[1:-1] for text in re.findall(r'"[^"]*"(?:\s*"[^"]*")*', body)]
            declared[texts[0]] = texts[1]
    declared |= {"process_cpu_seconds_total": "Processor time of the process, seconds.",
                 "process_resident_memory_bytes": "Memory of the process, bytes.", "process_threads": "Threads of the process.",
                 "process_virtual_memory_bytes": "Address space of the process, bytes.",
                 "process_open_fds": "Open files and connections.", "process_max_fds": "How many of them there may be.",
                 "process_start_time_seconds": "When the process began, seconds since 1970."}
    parts = []
    for golden in sorted(GOLDENS.glob("*.metrics.txt")):
        rows = []
        for line in golden.read_text().splitlines():
            name, kind, *labels = line.split()
            rows.append([f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels[0].split(",")) if labels else "",
                         cell(declared.get(name, ""))])
        parts.append(f"## {golden.name.removesuffix('.metrics.txt')}\n\n" + table(["metric", "kind", "labels", "what it says"], rows))
    return ("# Metrics\n\nFor Prometheus: `/metrics` of the gateway, and of the other processes on `--metrics_port`. A metric appears when it was first "
            "counted.\nRules and a dashboard are in [deploy/](../../deploy/README.md).\n\n" + "\n".join(parts))


# Settings.

def settings_page():
    """From the comment and the struct of lib/prelabel/settings.h."""
    header = (ROOT / "lib/prelabel/settings.h").read_text()
    keys = re.findall(r"^//   (\w+): (.*(?:\n//     .*)*)", header, re.MULTILINE)
    struct = re.search(r"struct Settings \{(.*?)\n\};", header, re.DOTALL).group(1)
    defaults = {name: re.sub(r"\w+::k", "", value).strip('"').lower() for name, value in re.findall(r" (\w+) = ([^;]+);", struct)}
    rows = [[f"`{key}`", f"`{defaults[key]}`" if key in defaults else "", cell(re.sub(r"//| \([A-Z]\w+\)", "", meaning))]
            for key, meaning in keys]
    assert rows
    return ("# Settings of a project\n\nAs the backend's extra parameters in Label Studio, as a profile, or with `duet prelabel --settings`. What each of them "
            "is for\nsays [label_studio.md](../label_studio.md#settings).\n\n" + table(["key", "default", "value"], rows))


# gRPC.

class Proto:
    """One .proto file, read line by line: blocks (service, message, enum) with their comments and rows."""

    def __init__(self, path):
        self.package, self.blocks, self.comment, self.column = "", [], [], None
        for line in path.read_text().splitlines():
            self.read(line)

    def read(self, line):
        code, slashes, comment = line.partition("//")
        code, column = code.strip(), line.find("//")
        if not code and slashes:
            if column == self.column:  # goes on behind the field before
                self.blocks[-1][3][-1][-1] += f" {comment.strip()}"
            else:
                self.comment.append(comment.strip())
            return
        said, self.comment, self.column = " ".join(self.comment), [], column if code and slashes else None
        said = f"{said} {comment.strip()}".strip()
        if match := re.fullmatch(r"package ([\w.]+);", code):
            self.package = match[1]
        elif match := re.match(r"(service|message|enum) (\w+) \{", code):
            self.blocks.append((match[1], match[2], said, []))
        elif match := re.match(r"rpc (\w+)\((.*?)\) returns \((.*?)\)", code):
            self.blocks[-1][3].append([f"`{match[1]}`", f"{self.short(match[2])} → {self.short(match[3])}", said])
        elif match := re.fullmatch(r"((?:repeated |optional )?[\w.<>, ]+?) (\w+) = (\d+).*;", code):
            self.blocks[-1][3].append([f"`{match[2]}`", self.short(match[1]), said])
        elif match := re.fullmatch(r"(\w+) = (\d+);", code):
            self.blocks[-1][3].append([f"`{match[1]}`", match[2], said])

    @staticmethod
    def short(kind):
        return f"`{re.sub(r'duet[.]vision[.]v1[.]', '', kind)}`"

    def page(self):
        heads = {"service": ["call", "request → answer", "what it does"], "message": ["field", "type", "meaning"],
                 "enum": ["value", "number", "meaning"]}
        parts = [f"## `{self.package}`\n"]
        for kind, name, comment, rows in self.blocks:
            rows = [[*row[:-1], cell(row[-1])] for row in rows]
            parts.append(f"### {name}\n\n" + (f"{cell(comment)}\n\n" if comment else "") +
                         (table(heads[kind], rows) if rows else "It has no fields.\n"))
        return "\n".join(parts)


def grpc_page():
    protos = [Proto(path) for path in sorted((ROOT / "proto").glob("**/*.proto"))]
    return ("# gRPC\n\nThe services' contract, from the comments of the files below [proto/](../../proto/duet). Commands to try it are in "
            "[grpc.md](../grpc.md).\nA field may be absent where its meaning says what that means.\n\n" +
            "\n".join(proto.page() for proto in protos))


# HTTP.

def type_of(schema):
    if "$ref" in schema:
        return schema["$ref"].rsplit("/", 1)[1]
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if choices:
        return " or ".join(f"`{json.dumps(choice)}`" for choice in choices)
    kind = schema.get("type", "anything")
    kind = " or ".join(kind) if isinstance(kind, list) else kind
    return f"list of {type_of(schema['items'])}" if "items" in schema else kind


def http_page():
    api = json.loads((ROOT / "gateway/endpoints/openapi.json").read_text())
    parts = []
    for tag in api["tags"]:
        rows = [[f"`{method.upper()} {path}`", cell(operation["summary"])]
                for path, methods in api["paths"].items() for method, operation in methods.items()
                if isinstance(operation, dict) and tag["name"] in operation.get("tags", [])]
        parts.append(f"## {tag['name'][0].upper()}{tag['name'][1:]}\n\nThese are {cell(tag['description'])}.\n\n" +
                     table(["request", "what it does"], rows))
    parts.append("## Objects\n")
    for name, schema in api["components"]["schemas"].items():
        rows = [[f"`{field}`", type_of(value), cell(value.get("description", ""))] for field, value in schema.get("properties", {}).items()]
        if rows:
            parts.append(f"### {name}\n\n" + (f"{cell(schema['description'])}\n\n" if "description" in schema else "") +
                         table(["field", "type", "meaning"], rows))
    return (f"# The gateway's HTTP\n\n{cell(api['info']['description'])} The whole document, with examples, is "
            "`GET /openapi.json`.\n\n" + "\n".join(parts))


def index_page():
    return """# Reference

For looking things up. All pages are made by `tools/make_reference.py` from what the programs say of themselves; a test fails if one
of them is stale.

* [Flags of all programs](flags.md)
* [Settings of a project](settings.md)
* [The gateway's HTTP](http.md), for Label Studio, operators and programs
* [gRPC](grpc.md) of the detector, the segmenter and the trainer
* [Metrics](metrics.md)
"""


def main():
    pages = {"README.md": index_page(), "flags.md": flags_page(), "settings.md": settings_page(), "http.md": http_page(),
             "grpc.md": grpc_page(), "metrics.md": metrics_page()}
    if sys.argv[1:] == ["--check"]:
        stale = [name for name, text in pages.items()
                 if not (FOLDER / name).exists() or (FOLDER / name).read_text() != f"{MADE}\n\n{text}"]
        sys.exit(f"docs/reference: stale: {', '.join(stale)}; python3 tools/make_reference.py writes them anew" if stale else 0)
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages.items():
        (FOLDER / name).write_text(f"{MADE}\n\n{text}")


if __name__ == "__main__":
    main()
