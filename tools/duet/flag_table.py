"""Turns what a process prints for --help=json into lines that a shell can read.

usage: duet-gateway --help=json | flag_table.py
Prints one line a flag, in the same order: the name, a tab, the default. A former name of a renamed flag has a line of its
own before the new name's: of two arguments for one flag a process takes the later, which should be the new name's.
"""

import json
import sys


def lines(text):
    return [f"{name}\t{flag['default']}" for flag in json.loads(text)["flags"]
            for name in (*flag.get("former_names", []), flag["name"])]


if __name__ == "__main__":
    print(*lines(sys.stdin.read()), sep="\n")
