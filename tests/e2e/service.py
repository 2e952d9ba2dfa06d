"""One of the three binaries, started directly on free ports."""

import json
import os
import queue
import subprocess
import threading

from duet_command import ROOT

BINARIES = ROOT / "build/release/bin"
# Loading and warming the models on a busy machine; nothing here waits for longer than it has to.
PATIENCE_S = 120


class Service:
    """A running process. `ready()` returns its port once it logs that it serves."""

    def __init__(self, name, *flags):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DUET_")}
        self.process = subprocess.Popen([BINARIES / name, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, text=True, env=environment)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.put(line)
        self.lines.put(None)

    def wait_for_event(self, event):
        """The next log line of this kind."""
        seen = []
        while True:
            line = self.lines.get(timeout=PATIENCE_S)
            assert line is not None, f"stopped before '{event}':\n{''.join(seen)}"
            seen.append(line)
            if line.startswith("{"):
                entry = json.loads(line)
                if entry["event"] == event:
                    return entry

    def ready(self):
        return self.wait_for_event("serving")["port"]

    def last_words(self):
        """Exit code and everything it wrote on stderr."""
        code = self.process.wait(timeout=PATIENCE_S)
        lines = list(iter(lambda: self.lines.get(timeout=PATIENCE_S), None))
        return code, lines

    def kill(self):
        self.process.kill()
        self.process.wait()
