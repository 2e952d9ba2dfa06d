"""Fails for object files that include Asio without lib/async/'s definitions.

usage: check_asio_is_one.py NINJA BUILD_DIRECTORY

Asio that a file compiles for itself and Asio that lib/async/ compiled differ, under the same names; which one a program gets is then
the linker's choice. It is Debian's /usr/include that lets a file include what its target doesn't link, so ninja is asked what was included.
"""
import json
import subprocess
import sys

HEADER = "boost/asio/detail/config.hpp"  # all of Asio's, and Beast's, include it
DEFINITION = "-DBOOST_ASIO_SEPARATE_COMPILATION"


def ninja(*arguments):
    return subprocess.run([sys.argv[1], "-C", sys.argv[2], "--quiet", *arguments], check=True, capture_output=True, text=True).stdout


def including(header):
    """The object files that were compiled with it."""
    objects, current = set(), None
    for line in ninja("-t", "deps").splitlines():
        if line and not line[0].isspace():
            current = line.partition(":")[0]
        elif line.endswith(header):
            objects.add(current)
    return objects


found = including(HEADER)
if not found:
    sys.exit(f"{sys.argv[2]}: nothing was compiled that includes {HEADER}")
commands = {each["output"]: each["command"] for each in json.loads(ninja("-t", "compdb"))}
wrong = sorted(each for each in found if each in commands and DEFINITION not in commands[each])
print("\n".join(f"{each}: includes Asio, but its target doesn't link duet::async" for each in wrong) or f"{len(found)} files see one Asio")
sys.exit(bool(wrong))
