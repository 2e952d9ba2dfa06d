"""The pictures of the documentation: where they are, what they show, and which models drew what is in them.

DUET_UPDATE_PICTURES=1 ./duet test --only=e2e makes them anew. tests/deploy/test_docs.py fails if the demo models have changed
since."""

import hashlib
import json
import os

from duet_command import ROOT

PICTURES = ROOT / "docs/pictures"
# Picture → what `models` said when it was made.
RECORD = PICTURES / "models.json"
# Of `duet-train scenes`: the image that they show.
SEED, NUMBER = 101, 5


def models():
    """The SHA-256 of both demo models' bytes, one after the other."""
    digest = hashlib.sha256()
    for name in ("rtmdet-demo", "sam-demo"):
        digest.update((ROOT / f"models/demo/{name}.pth").read_bytes())
    return digest.hexdigest()


def recorded():
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def updating():
    return bool(os.environ.get("DUET_UPDATE_PICTURES"))


def save(picture, name, colours):
    """As docs/pictures/NAME.png, with so many colours."""
    from PIL import Image  # which tests that only read the record need not have

    PICTURES.mkdir(exist_ok=True)
    picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)
    record = {**recorded(), f"{name}.png": models()}
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
