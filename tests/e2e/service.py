"""The three binaries, started directly on free ports, and what is asked of them."""

import json
import os
import queue
import subprocess
import threading
import time

import requests

from duet_command import ROOT

BINARIES = ROOT / "build/release/bin"
# Loading and warming the models on a busy machine; nothing here waits for longer than it has to.
PATIENCE_S = 120


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "still not so"
        time.sleep(0.02)


def predict(port, images, label_config, timeout=PATIENCE_S, prompts=None, path="/predict"):
    """Asks as Label Studio does. `prompts`: regions drawn with a smart tool, for a click on one image."""
    tasks = [{"id": number, "data": {"image": image}} for number, image in enumerate(images, 1)]
    context = {"result": prompts} if prompts else None
    return requests.post(f"http://127.0.0.1:{port}{path}", timeout=timeout, json={
        "tasks": tasks, "project": "1.1", "label_config": label_config,
        "params": {"login": None, "password": None, "context": context}})


class Service:
    """A running process. `ready()` returns its port once it logs that it serves."""

    def __init__(self, name, *flags, environment=None):
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("DUET_", "AWS_"))}
        # Replicas that choose kernels for themselves may differ in the last bits.
        same_kernels = {"DUET_KERNEL_PLAN": str(BINARIES.parent / "kernel_plan")}
        environment = {**inherited, **same_kernels, **(environment or {})}
        self.host = next((flag.split("=")[1] for flag in flags if flag.startswith("--bind=")), "127.0.0.1")
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
        serving = self.wait_for_event("serving")
        self.port, self.metrics_port = serving["port"], serving.get("metrics_port", serving["port"])
        return self.port

    def metrics(self):
        """Its /metrics as {'name{labels}': value}."""
        text = requests.get(f"http://{self.host}:{self.metrics_port}/metrics", timeout=PATIENCE_S).text
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {series: float(value) for series, value in lines}

    def last_words(self):
        """Exit code and everything it wrote on stderr."""
        code = self.process.wait(timeout=PATIENCE_S)
        lines = list(iter(lambda: self.lines.get(timeout=PATIENCE_S), None))
        return code, lines

    def kill(self):
        self.process.kill()
        self.process.wait()
