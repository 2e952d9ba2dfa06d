"""Fails if a service has a flag of which docs/adr/0408 doesn't say whether it is part of the model's version.

usage: check_version_table.py PAGE HELP_TEXT...

A flag counts as decided about if a row of the page's table names it, as `--flag`, or as `--prefix…` with others.
"""
import pathlib
import re
import sys

rows = [line for line in pathlib.Path(sys.argv[1]).read_text().splitlines() if line.startswith("|")]
named = [name for row in rows for name in re.findall(r"`--([a-z_]+…?)`", row)]
exact = {name for name in named if not name.endswith("…")}
prefixes = tuple(name[:-1] for name in named if name.endswith("…"))
undecided = sorted({
    flag
    for file in sys.argv[2:]
    for flag in re.findall(r"^ *--([a-z_]+)", pathlib.Path(file).read_text(), re.M)
    if flag not in exact and not flag.startswith(prefixes)})
if not exact or undecided:
    sys.exit(f"{sys.argv[1]} must say whether these are part of a model's version: {undecided or 'its table is gone'}")
