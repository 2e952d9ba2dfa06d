"""duet-train, as the experiments here run it."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
DUET_TRAIN = ROOT / "build/release/bin/duet-train"


def duet_train(*arguments):
    """What it prints. Ends the program if it fails."""
    ran = subprocess.run([DUET_TRAIN, *map(str, arguments)], capture_output=True, text=True,
                         env=os.environ | {"OMP_NUM_THREADS": "1"})
    if ran.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}: {ran.stderr}")
    return ran.stdout
