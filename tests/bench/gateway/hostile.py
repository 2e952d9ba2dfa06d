"""What strangers can make the gateway do: how long /health takes beside large bodies, and what events cost.

usage: hostile.py [--gateway=FILE]... [--mb=62] [--events=20000]

For each binary: four bodies at once, of nested JSON lists, to /webhook and to /predict, while /health is asked all the
time (Label Studio gives it 1 s), and the most memory that the process ever had; then events about ever new projects,
over one connection, at the beginning and at the end. The gateway has no services behind it and listens on loopback.

Needs the Python environment of the end-to-end tests (./duet test --only=e2e makes it).
"""
import argparse
import http.client
import json
import pathlib
import re
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/e2e"))

import service  # noqa: E402

JSON = {"Content-Type": "application/json"}


def start(binary):
    service.BINARIES = binary.parent
    # Port 9 answers nobody. With a token of Label Studio there could be something to fetch ahead.
    gateway = service.Service(binary.name, "--port=0", "--detector=127.0.0.1:9", "--segmenter=127.0.0.1:9",
                              "--label_studio_url=http://127.0.0.1:9", environment={"DUET_LABEL_STUDIO_API_KEY": "none"})
    return gateway, gateway.ready()


def peak_mb(gateway):
    status = pathlib.Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def post(port, path, body, statuses):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("POST", path, body, JSON)
        statuses.append(connection.getresponse().status)
    except (ConnectionError, http.client.HTTPException):
        statuses.append("cut off")  # refused before all of it was sent


def beside_bodies(binary, path, mb):
    gateway, port = start(binary)
    body = b"[" + b",".join([b"[]"] * ((mb << 20) // 3)) + b"]"
    statuses = []
    threads = [threading.Thread(target=post, args=(port, path, body, statuses)) for _ in range(4)]
    for thread in threads:
        thread.start()
    worst = 0
    while True:
        alive = any(thread.is_alive() for thread in threads)
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        connection.request("GET", "/health")
        connection.getresponse().read()
        worst = max(worst, time.monotonic() - began)
        if not alive:
            break
        time.sleep(0.005)
    print(f"{binary}: 4 x {mb} MB to {path}: answers {sorted(map(str, statuses))}, "
          f"/health at worst {worst * 1000:.0f} ms, at most {peak_mb(gateway):.0f} MB")
    gateway.process.kill()


def events(binary, count):
    gateway, port = start(binary)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    rates, tenth = [], count // 10
    for tenths in range(10):
        began = time.monotonic()
        for number in range(tenth):
            body = json.dumps({"action": "ANNOTATION_CREATED", "project": {"id": tenths * tenth + number + 1},
                               "task": {"id": 1}, "annotation": {"id": 1}})
            connection.request("POST", "/webhook", body, JSON)
            connection.getresponse().read()
        rates.append(tenth / (time.monotonic() - began))
    print(f"{binary}: {count} events about new projects: {rates[0]:.0f} a second at first, {rates[-1]:.0f} at last, "
          f"at most {peak_mb(gateway):.0f} MB")
    gateway.process.kill()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gateway", action="append", type=pathlib.Path)
    parser.add_argument("--mb", type=int, default=62)
    parser.add_argument("--events", type=int, default=20000)
    arguments = parser.parse_args()
    for binary in arguments.gateway or [ROOT / "build/release/bin/duet-gateway"]:
        for path in ("/webhook", "/predict"):
            beside_bodies(binary.resolve(), path, arguments.mb)
        events(binary.resolve(), arguments.events)


if __name__ == "__main__":
    main()
