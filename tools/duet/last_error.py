"""Prints the last error in a log of JSON lines (serving/log.h): what a process that ended has said of it.

usage: last_error.py LOG
Prints nothing if the log has no error or doesn't exist.
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


if __name__ == "__main__":
    found = last_error(sys.argv[1])
    if found:
        print(found.get("error", ""))
