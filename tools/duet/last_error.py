"""Prints the last error in a log of JSON lines (serving/log.h).

usage: last_error.py [--when] LOG
Prints its message, with --when after its time and event. Prints nothing if the log has no error or doesn't exist.
"""

import json
import sys


def last_error(log):
    """The fields of the last line with level "error" in this file, or None."""
    last = None
    try:
        with open(log, "rb") as file:
            for line in file:
                if b'"level":"error"' in line:  # spares parsing every line
                    last = line
        return json.loads(last) if last else None
    except (OSError, ValueError):
        return None


def sentence(fields, when):
    return " ".join(str(fields.get(key, "")) for key in (("ts", "event", "error") if when else ("error",)))


if __name__ == "__main__":
    found = last_error(sys.argv[-1])
    if found:
        print(sentence(found, when="--when" in sys.argv[1:-1]))
