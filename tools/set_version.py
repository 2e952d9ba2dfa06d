#!/usr/bin/env python3
"""Writes the version of CMakeLists.txt wherever else it has to stand.

    python3 tools/set_version.py             # after changing it there; then tools/make_helm_chart.py
    python3 tools/set_version.py --check     # says where it is another one

Kubernetes' manifests, commands in pages and the OpenAPI document are read as they are, by programs that know no CMake. The binaries, the
chart, the packages and clients/python take it from CMakeLists.txt when they are made. tests/deploy/test_version.py asks them all.
"""

import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
VERSION = r"\d+\.\d+\.\d+"
# Files, and what stands before the version in them.
PLACES = [
    ("deploy/k8s/**/*.yaml", r"newTag: "),
    ("deploy/argo/*.yaml", r"image: duet-\w+:"),
    ("deploy/README.md", r"(?:duet-\w+:|newTag: )"),
    ("gateway/endpoints/openapi.json", r'"info": \{[^}]*"version": "'),
]


def version():
    return re.search(rf"project\(duet VERSION ({VERSION})", (ROOT / "CMakeLists.txt").read_text())[1]


def changes(wanted):
    """(file, its text, that with the wanted version) of files that name another one."""
    for pattern, before in PLACES:
        for file in sorted(ROOT.glob(pattern)):
            text = file.read_text()
            right = re.sub(rf"({before}){VERSION}", rf"\g<1>{wanted}", text)
            if right != text:
                yield file, text, right


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if something would be written")
    check = parser.parse_args().check
    wanted = version()
    stale = list(changes(wanted))
    for file, _, right in stale:
        if check:
            print(f"{file.relative_to(ROOT)} has another version than CMakeLists.txt, {wanted}: run tools/set_version.py")
        else:
            file.write_text(right)
    sys.exit(check and bool(stale))


if __name__ == "__main__":
    main()
