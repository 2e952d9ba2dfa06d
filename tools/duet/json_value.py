"""Prints one text or number of the JSON on standard input.

usage: json_value.py KEY...
The keys lead from object to object. Prints nothing and exits with 1 if the input is no JSON or has no such value.
"""

import json
import sys


def value_at(text, keys):
    """The text or number below `keys`, as text, or None."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, str):
        return value
    return None if value is None or isinstance(value, (dict, list)) else json.dumps(value)


if __name__ == "__main__":
    found = value_at(sys.stdin.read(), sys.argv[1:])
    if found is None:
        sys.exit(1)
    print(found)
