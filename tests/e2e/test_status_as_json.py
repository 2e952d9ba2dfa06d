"""./duet status and up with --json: what a script reads of a Duet that really runs, and of one of which something has ended."""

import json
import os
import pathlib
import signal

import requests

from conftest import DETECTOR
from service import wait_until


def object_in(result):
    (line,) = result.stdout.splitlines()
    return json.loads(line)


def process(status, name):
    (found,) = [each for each in status["processes"] if each["name"] == name]
    return found


def test_up_and_status_are_one_object_of_what_runs(own):
    up = own.up("--json", "--threads=1", DUET_BASIC_AUTH_PASSWORD="very secret", DUET_BASIC_AUTH_USER="duet")
    status = own.run("status", "--json")
    shown = object_in(status)

    # What the gateway says besides has figures that grow.
    assert {**object_in(up), "gateway": None} == {**shown, "gateway": None} and not status.stderr
    assert "Duet is up" in up.stderr and "very secret" not in up.stdout
    assert shown["running"] is True and shown["url"] == own.url and shown["label_studio"] is None
    assert [each["name"] for each in shown["processes"]] == ["duet-detector", "duet-segmenter", "duet-gateway"]
    for each in shown["processes"]:
        assert (each["state"], each["ready"], each["pid"]) == ("running", True, own.pid(each["name"]))
        assert pathlib.Path(each["log"]).exists() and each["last_error"] is None
    detector = process(shown, "duet-detector")
    answer = requests.get(own.url, timeout=5, auth=("duet", "very secret")).json()
    assert detector["model"]["version"] == answer["detector"]["version"] == shown["gateway"]["detector"]["version"]
    assert detector["model"]["checkpoint"] == DETECTOR and detector["options"]["threads"] == "1"
    assert "duet_ready 1" in requests.get(detector["metrics"], timeout=5).text
    assert process(shown, "duet-gateway")["options"]["basic_auth_password"] == "(kept)"


def test_what_has_ended_is_told_with_its_reason(own):
    own.up()
    own.run("down")
    assert [each["state"] for each in object_in(own.run("status", "--json", check=False))["processes"]] == ["stopped"] * 3

    own.up()
    os.kill(own.pid("duet-segmenter"), signal.SIGSEGV)
    wait_until(lambda: requests.get(own.url, timeout=5).json()["status"] == "DEGRADED")
    result = own.run("status", "--json", check=False)
    shown = object_in(result)

    assert result.returncode == 1 and shown["running"] is False
    segmenter = process(shown, "duet-segmenter")
    assert segmenter["state"] == "ended" and segmenter["ended"].startswith("was killed by signal SEGV")
    assert shown["gateway"]["status"] == "DEGRADED" and process(shown, "duet-detector")["state"] == "running"


def test_an_up_that_fails_prints_nothing_for_scripts(own, tmp_path):
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no checkpoint")

    result = own.run("up", *own.options, f"--detector-checkpoint={broken}", "--json", check=False)

    assert result.returncode == 1 and result.stdout == "" and str(broken) in result.stderr
