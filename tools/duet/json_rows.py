"""Prints a line for each object of a list in the JSON on standard input: some of its fields, with tabs between.

usage: json_rows.py LIST FIELD...
LIST is the key of the list, with dots where it is in other objects: detector.names. Prints nothing if the input is no JSON or has no such list; a field that an object lacks
is empty.
"""

import json
import sys


def rows_of(text, key, fields):
    """A list of lists of texts."""
    try:
        found = json.loads(text)
    except ValueError:
        return []
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    objects = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return [[_line(str(each.get(field, ""))) for field in fields] for each in objects]


def _line(text):
    """`text` in one line, without what would steer a terminal: anybody may have given a project its name."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in " ".join(text.split()))


if __name__ == "__main__":
    for row in rows_of(sys.stdin.read(), sys.argv[1], sys.argv[2:]):
        print("\t".join(row))
