"""Lists the models that can be fetched.

usage: models.py [--json] TABLE DIRECTORY
TABLE: models/models.tsv. DIRECTORY: where those that were fetched are.
"""

import json
import os
import sys


def models_of(table, directory):
    with open(table, encoding="utf-8") as file:
        header, *rows = [line.rstrip("\n").split("\t") for line in file if line.strip()]
    for row in rows:
        model = dict(zip(header, row))
        here = os.path.join(directory, model["url"].rsplit("/", 1)[-1])
        yield {"name": model["name"], "kind": model.get("kind", ""), "megabytes": int(model.get("megabytes") or 0),
               "family": model["family"], "recommended_for": model.get("recommended_for", ""),
               "file": here if os.path.exists(here) else ""}


def table_of(models):
    rows = [("NAME", "KIND", "SIZE", "FAMILY", "RECOMMENDED FOR")]
    for model in models:
        size = f"{model['megabytes']} MB" if model["megabytes"] else ""
        notes = ", ".join(filter(None, [model["recommended_for"], "fetched" if model["file"] else ""]))
        rows.append((model["name"], model["kind"], f"{size:>7}", model["family"], notes))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)) + "  " + row[4]).rstrip() for row in rows]


if __name__ == "__main__":
    *option, path, folder = sys.argv[1:]
    found = list(models_of(path, folder))
    print(*([json.dumps(model) for model in found] if option else table_of(found)), sep="\n")
