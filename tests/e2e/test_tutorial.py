"""docs/tutorial.md: its commands one after the other in one shell, with a Duet and a Label Studio of their own. It takes some
minutes, so it belongs to ./duet test --only=scale."""

import os
import re
import subprocess

import pytest

from conftest import Duet
from duet_command import ROOT

PAGE = (ROOT / "docs/tutorial.md").read_text()
# (command, what it must print)
BLOCKS = re.findall(r"^```sh\n(.*?)^```\n(?:```text\n(.*?)^```)?", PAGE, re.MULTILINE | re.DOTALL)
# The two trainings, cut short.
SHORT = {"DUET_EPOCHS": "60", "DUET_TRAIN_FLAGS": "--epochs=2"}


@pytest.fixture
def installation(tmp_path):
    duet = Duet(tmp_path)
    yield duet
    duet.run("down")


def found(expected, printed):
    """Whether a line of the page is in the output; "…" there stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    return any(re.search(pattern, line) for line in printed.splitlines())


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(installation):
    script = "".join(f"echo '## block {number}'\n{command}" for number, (command, _) in enumerate(BLOCKS))
    script = script.replace(".duet/", f"{installation.state}/").replace("localhost:8080", f"localhost:{installation.label_studio_port}")
    script = script.replace("localhost:8003", f"localhost:{installation.port}")
    # Where things are instead of at the default ports.
    options = dict(option.lstrip("-").split("=") for option in installation.options + installation.trainer_options)
    variables = {f"DUET_{name.replace('-', '_').upper()}": value for name, value in options.items() if name.endswith("port")}
    variables |= {**SHORT, "DUET_STATE": str(installation.state), "DUET_GATEWAY": installation.url}

    ran = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env={**os.environ, **variables},
                         capture_output=True, text=True, timeout=1800, stdin=subprocess.DEVNULL)

    printed = re.split(r"^## block \d+\n", ran.stdout, flags=re.MULTILINE)[1:]
    assert ran.returncode == 0, f"{BLOCKS[len(printed) - 1][0]}\n{printed[-1]}\n{ran.stderr}"
    for (command, expected), text in zip(BLOCKS, printed, strict=True):
        for line in expected.splitlines():
            assert found(line, text), f"{command}\nprinted\n{text}\nwithout\n{line}"


def test_every_step_has_commands():
    """But those that only a person can do."""
    steps = re.split(r"^## (?=\d)", PAGE, flags=re.MULTILINE)[1:]
    without = [step.split(".")[0] for step in steps if "```sh" not in step]

    assert len(steps) == 12 and without == ["6"]
