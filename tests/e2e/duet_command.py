"""Where the checkout and its command are."""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
DUET = str(ROOT / "duet")
