"""The cluster's programs as processes, each with a log of its own."""

import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Nothing here waits for longer than it has to; the machine may be busy with much else.
PATIENCE_S = 300


def tool(name):
    """A program that ./duet test --only=cluster has put there."""
    path = ROOT / ".duet/tools/bin" / name
    assert path.exists(), f"{path} is missing: run ./duet test --only=cluster"
    return path


def wait_until(condition, patience_s=PATIENCE_S, what="still not so"):
    """The condition's first value that is true. `what` may be a function, which says what there is instead."""
    deadline = time.monotonic() + patience_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.2)


class Program:
    """Runs until it is killed; `start` starts it anew, with what it had left on the disk."""

    def __init__(self, logs, *command, environment=None):
        self.command = [str(part) for part in command]
        self.log = pathlib.Path(logs) / f"{pathlib.Path(self.command[0]).name}.log"
        self.environment = environment
        self.start()

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)

    def wait_until(self, condition):
        wait_until(lambda: self._alive() and condition(), what=self.last_words)

    def _alive(self):
        assert self.process.poll() is None, f"has ended: {self.last_words()}"
        return True

    def last_words(self):
        return f"{self.log.name}:\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def kill(self):
        self.process.kill()
        self.process.wait()
