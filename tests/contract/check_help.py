"""Fails unless `BINARY [COMMAND] --help` exits with 0, prints what GOLDEN says, and has exit codes and an example with flags that exist.
DUET_UPDATE_GOLDENS=1 writes GOLDEN instead, and docs/reference/.

usage: check_help.py GOLDEN BINARY [COMMAND]
"""
import difflib
import os
import pathlib
import re
import subprocess
import sys

golden = pathlib.Path(sys.argv[1])
# Defaults must be the program's, not this machine's.
environment = {key: value for key, value in os.environ.items() if not key.startswith("DUET_")}
run = subprocess.run([*sys.argv[2:], "--help"], capture_output=True, text=True, env=environment)
if run.returncode != 0 or run.stderr:
    sys.exit(f"--help: exit code {run.returncode}, stderr: {run.stderr}")
if os.environ.get("DUET_UPDATE_GOLDENS"):
    golden.write_text(run.stdout)
    reference = pathlib.Path(__file__).resolve().parents[2] / "tools/make_reference.py"
    subprocess.run([sys.executable, reference], check=True)
expected = golden.read_text() if golden.exists() else ""
if run.stdout != expected:
    sys.stdout.writelines(difflib.unified_diff(
        expected.splitlines(True), run.stdout.splitlines(True), str(golden), "now"))
    sys.exit("flags changed; if that is meant: DUET_UPDATE_GOLDENS=1 ctest -R contract.help")
example = re.search(r"^Example: (.*)$", expected, re.MULTILINE)
flags = set(re.findall(r"^  --(\w+)", expected, re.MULTILINE))
if not example:
    sys.exit("--help has no example")
# What they mean and that they are meant: tests/e2e/test_help.py, for ./duet's commands too.
if not re.search(r"Exit code 0: .*; 1: .*; 2: ", expected):
    sys.exit("--help doesn't say what its exit codes are")
if unknown := set(re.findall(r"--(\w+)", example[1])) - flags:
    sys.exit(f"the example has flags that are none: {', '.join(sorted(unknown))}")
if missing := set(re.findall(r"^  --(\w+)=VALUE  \(required;", expected, re.MULTILINE)) - set(re.findall(r"--(\w+)", example[1])):
    sys.exit(f"the example lacks flags that are required: {', '.join(sorted(missing))}")
