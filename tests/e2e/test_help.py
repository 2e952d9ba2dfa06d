"""Every program and command says what its exit codes mean and how it is called, and means it."""

import os
import re
import subprocess

import pytest

from conftest import Duet
from duet_command import DUET, ROOT

BINARIES = ROOT / "build/release/bin"


def run(command, state=None):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DUET_")}
    if state:
        environment["DUET_STATE"] = str(state)
    return subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, timeout=300)


def commands_in(help_text):
    """The first words of a list of commands; "models list|fetch" is two."""
    rows = re.findall(r"^  ([a-z-]+)((?: [a-z|]+)?)  +\S", help_text, re.MULTILINE)
    return [[name, *([word] if word else [])] for name, more in rows for word in more.strip().split("|")]


OF_DUET = commands_in(run([DUET, "help"]).stdout)
OF_BINARY = commands_in(run([BINARIES / "duet", "--help"]).stdout) if (BINARIES / "duet").exists() else []
PROGRAMS = sorted(path for path in BINARIES.glob("duet*") if path.name != "duet-inspect-checkpoint") if BINARIES.exists() else []
ALL = ([[DUET], *([DUET, *words] for words in OF_DUET)]
       + [[BINARIES / "duet", *words] for words in OF_BINARY] + [[BINARIES / "duet", "models", "inspect"]]
       + [[program] for program in PROGRAMS] + [[BINARIES / "duet-train", command] for command in ("segmenter", "compare")])


def test_all_commands_and_programs_are_looked_at():
    assert len(OF_DUET) >= 20 and ["models", "rollback"] in OF_DUET and ["completion", "zsh"] in OF_DUET
    assert len(OF_BINARY) >= 10 and {"duet", "duet-detector", "duet-train"} <= {program.name for program in PROGRAMS}


@pytest.mark.parametrize("command", ALL, ids=lambda command: " ".join([os.path.basename(command[0]), *command[1:]]))
def test_help_has_exit_codes_and_an_example_and_what_is_asked_wrongly_has_its_code(command, tmp_path):
    free = Duet(tmp_path).options if command[1:] == ["up"] else []  # what up looks at first
    shown, wrong = run([*command, "--help"], tmp_path), run([*command, *free, "--no_such_flag=1"], tmp_path)

    assert shown.returncode == 0 and not shown.stderr
    text = " ".join(shown.stdout.split())
    codes = re.search(r"Exit code (0\b.*?)(?:\.|$)", text)
    assert codes and {"0", "2"} <= set(re.findall(r"(?:^|[;,] )(\d+)", codes[1])), text
    assert re.search(r"Examples?: (?:source <\()?(?:\./)?duet", text)
    assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1 and "no_such_flag" in wrong.stderr
    assert not wrong.stdout or command[1:] == ["up"], "up builds first, since its flags are the programs'"
