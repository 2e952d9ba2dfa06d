"""`duet models` on a model root as docs/formats.md says it, and `duet train` with a server that answers as a gateway."""

import base64
import hashlib
import http.server
import json
import os
import subprocess
import threading

import pytest

from duet_command import ROOT


def duet(*arguments, environment=None):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("DUET_")}
    return subprocess.run([ROOT / "build/release/bin/duet", *map(str, arguments)], capture_output=True, text=True,
                          env=clean | (environment or {}), timeout=120)


def publish(root, version, parent, outcome, kind="detector", name="project-7"):
    folder = root / kind / name / str(version)
    folder.mkdir(parents=True)
    weights = f"weights {version}".encode()
    (folder / "model.pth").write_bytes(weights)
    (folder / "manifest.json").write_text(json.dumps({
        "format": 1, "kind": kind, "name": name, "version": version, "parent": parent,
        "created": f"2026-11-30T08:1{version}:00Z", "label_studio_url": "http://localhost:8080", "project_id": 7,
        "revision": "0123456789abcdef", "images": 20 * version, "annotations": 31, "classes": ["star"],
        "verdict": {"outcome": outcome, "reason": "…", "old_score": 0.4, "new_score": 0.75, "images_needed": 0}, "seed": 0,
        "files": [{"name": "model.pth", "bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}]}))


def serving(root):
    return json.loads((root / "detector/project-7/serving.json").read_text())


@pytest.fixture
def root(tmp_path):
    publish(tmp_path, 1, 0, "better")
    publish(tmp_path, 2, 1, "better")
    publish(tmp_path, 3, 2, "not_better")
    (tmp_path / "detector/project-7/serving.json").write_text(json.dumps(
        {"version": 2, "previous": 1, "decided": 3, "changed": "2026-11-30T08:15:00Z", "by": "job 5 of ann", "reason": "…"}))
    return tmp_path


def test_a_list_of_nothing_says_so(tmp_path):
    listed = duet("models", "list", f"--model_root={tmp_path}")
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", "there are no trained models\n")
    assert duet("models", "list", f"--model_root={tmp_path}", "--json").stderr == ""


def test_the_list_says_what_serves_and_what_was_found(root):
    (root / "detector/project-7/3/manifest.json").write_text("{")
    listed = duet("models", "list", f"--model_root={root}")

    assert listed.returncode == 0, listed.stderr
    lines = listed.stdout.splitlines()
    assert lines[0] == "detector project-7: version 2 serves, by job 5 of ann"
    assert "manifest.json" in lines[1] and lines[1].startswith("    3 ")
    assert lines[2].startswith("  * 2") and "from version 1, 40 images, better: 0.400 -> 0.750" in lines[2]
    assert lines[3].startswith("    1 ") and "from the default model" in lines[3]


def test_what_scripts_read_is_json(root):
    (root / "detector/project-7/3/manifest.json").write_text("{")
    listed, back = (duet("models", *words, f"--model_root={root}", "--json") for words in (["list"], ["rollback", "project-7"]))
    deleted = duet("models", "delete", "project-7", "2", f"--model_root={root}", "--json")

    (name,) = map(json.loads, listed.stdout.splitlines())
    assert (name["kind"], name["name"], name["serves"], name["by"]) == ("detector", "project-7", 2, "job 5 of ann")
    broken, second, first = name["versions"]
    assert broken["version"] == 3 and "manifest.json" in broken["error"]
    assert second == {"version": 2, "created": "2026-11-30T08:12:00Z", "parent": 1, "images": 40, "outcome": "better", "old_score": 0.4,
                      "new_score": 0.75} and first["parent"] == 0
    assert json.loads(back.stdout) == {"kind": "detector", "name": "project-7", "serves": 1, "served_before": 2}
    assert json.loads(deleted.stdout) == {"kind": "detector", "name": "project-7", "deleted": 2}


def test_a_rollback_goes_to_what_served_before_or_to_what_is_named(root):
    back = duet("models", "rollback", "project-7", f"--model_root={root}", "--reason=stars are missing")
    assert back.returncode == 0, back.stderr
    assert back.stdout == "project-7 is served by version 1 from now on; it was version 2\n"
    assert serving(root)["version"] == 1 and serving(root)["previous"] == 2 and serving(root)["decided"] == 3
    assert serving(root)["reason"] == "stars are missing" and serving(root)["by"].endswith("(duet models rollback)")

    assert duet("models", "rollback", "project-7", "3", environment={"DUET_MODEL_ROOT": str(root)}).returncode == 0
    assert serving(root)["version"] == 3
    assert duet("models", "rollback", "project-7", 0, f"--model_root={root}").returncode == 0
    assert serving(root)["version"] == 0


@pytest.mark.parametrize("code, arguments, sentence", [
    (1, ["rollback", "project-7", "2"], "is served by version 2 already"),
    (1, ["rollback", "project-7", "9"], "9"),
    (2, ["rollback", "project-7", "two"], "'two' is no version"),
    (2, ["rollback", "project-7", "-1"], "-1"),
    (2, ["rollback", "project-7", "18446744073709551616"], "18446744073709551616"),
    (1, ["rollback", "project-8"], "project-8"),
    (2, ["rollback", "../project-7"], "../project-7"),
    (2, ["rollback"], "needed: duet models rollback NAME"),
    (2, ["rollback", "project-7", "1", "2"], "unexpected argument '2'"),
    (1, ["delete", "project-7", "2"], "2"),
    (2, ["delete", "project-7"], "needed: duet models delete NAME VERSION"),
    (2, ["fetch"], "unknown command 'models fetch'"), (2, ["rolback"], "did you mean 'rollback'?"),
    (2, ["list", "--kind=cat"], "cat")])
def test_what_is_asked_wrongly_changes_nothing(root, code, arguments, sentence):
    before = serving(root)
    ran = duet("models", *arguments, f"--model_root={root}")
    assert ran.returncode == code and sentence in ran.stderr and len(ran.stderr.splitlines()) == 1, ran.stderr
    assert serving(root) == before
    assert sorted(each.name for each in (root / "detector/project-7").iterdir() if each.is_dir()) == ["1", "2", "3"]


def test_a_damaged_version_does_not_serve(root):
    (root / "detector/project-7/1/model.pth").write_text("changed")
    ran = duet("models", "rollback", "project-7", f"--model_root={root}")
    assert ran.returncode == 1 and "model.pth" in ran.stderr
    assert serving(root)["version"] == 2


def test_a_version_that_does_not_serve_is_deleted(root):
    deleted = duet("models", "delete", "project-7", 3, f"--model_root={root}")
    assert deleted.returncode == 0 and deleted.stdout == "version 3 of project-7 is deleted\n"
    assert not (root / "detector/project-7/3").exists()


class Gateway:
    """Answers POST /train once, then GET /train/7?kind=… with the next of `jobs`, or of the `segmenter`'s, the last one again
    and again."""

    def __init__(self, jobs, status=201, password=None, segmenter=()):
        owner = self
        self.asked = []
        self.jobs = {"/train/7?kind=detector": list(jobs), "/train/7?kind=segmenter": list(segmenter or jobs)}

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                owner.asked.append((self.command, self.path, self.rfile.read(length).decode()))
                code, body = 200, {}
                if password and self.headers.get("Authorization") != password:
                    code, body = 401, {"error": "User name and password are missing or wrong."}
                elif self.command == "POST" and self.path.partition("?")[0] == "/train":
                    code, body = status, {"job": "a1", "state": "queued", "error": "project 7 was trained 3 s ago"}
                elif self.path == "/train/7/forget":
                    body = {"project": "7", "jobs": 2, "bytes": 1234}
                elif self.path in owner.jobs:
                    jobs = owner.jobs[self.path]
                    body = jobs.pop(0) if len(jobs) > 1 else jobs[0]
                    code = body.pop("status", 200) if "status" in body else 200
                data = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.flag = f"--gateway=http://127.0.0.1:{self.server.server_port}"


def job(state, **more):
    return {"job": "a1", "state": state, "message": f"it is {state}"} | more


def test_a_training_is_followed_to_its_end():
    gateway = Gateway([
        job("queued"),
        job("training", progress={"step": 30, "steps": 120, "loss": 1.25, "score": 0.5, "remaining_s": 61.7}),
        {"status": 503, "error": "the trainer is away"},
        job("done", verdict={"outcome": "better"}, decided=False),
        job("done", verdict={"outcome": "better"}, decided=True, decision="project-7 is served by version 3 now")])

    ran = duet("train", "--label_studio_project=7", gateway.flag)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "job a1", "queued: it is queued",
        "training: it is training; step 30 of 120, loss 1.250, score 0.500, about 62 s left",
        "done: it is done", "project-7 is served by version 3 now"]
    assert gateway.asked[0] == ("POST", "/train", '{"project":"7"}')


def test_the_segmenter_that_is_queued_behind_it_is_followed_too():
    better = {"verdict": {"outcome": "better"}, "decided": True}
    gateway = Gateway([job("training"), job("done", next="b2", decision="version 3 serves", **better)],
                      segmenter=[job("queued") | {"job": "b2"}, job("done", decision="version 1 serves", **better) | {"job": "b2"}])
    both = duet("train", "--label_studio_project=7", gateway.flag)
    assert both.returncode == 0, both.stderr
    assert both.stdout.splitlines() == ["job a1", "training: it is training", "done: it is done", "version 3 serves",
                                        "job b2, of the segmenter", "queued: it is queued", "done: it is done", "version 1 serves"]

    failed = Gateway([job("failed", next="b2")], segmenter=[job("done", **better) | {"job": "b2"}])
    one = duet("train", "--label_studio_project=7", failed.flag)
    assert one.returncode == 1 and "failed: it is failed" in one.stderr and "job b2" in one.stdout
    alone = duet("train", "--label_studio_project=7", "--kind=detector", gateway.flag)
    assert alone.returncode == 0 and "b2" not in alone.stdout and gateway.asked[-2][1] == "/train?kind=detector"


def test_how_a_training_goes_is_json_for_scripts():
    better = {"verdict": {"outcome": "better"}, "decided": True}
    gateway = Gateway([job("training"), job("done", **better)])
    ran = duet("train", "--label_studio_project=7", "--json", gateway.flag)

    begun, *steps = map(json.loads, ran.stdout.splitlines())
    assert ran.returncode == 0 and begun["job"] == "a1"
    assert [step["state"] for step in steps] == ["training", "done"] and steps[-1]["verdict"]["outcome"] == "better"


def test_what_is_not_better_is_no_failure():
    gateway = Gateway([job("done", verdict={"outcome": "not_better"}, decided=True)])
    ran = duet("train", "--label_studio_project=7", "--kind=segmenter", gateway.flag)
    assert ran.returncode == 0 and ran.stdout.endswith("the model that served before serves on\n")
    assert gateway.asked[0][1] == "/train?kind=segmenter"


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_what_was_not_trained_is_a_failure(state):
    gateway = Gateway([job(state)])
    ran = duet("train", "--label_studio_project=7", gateway.flag)
    assert ran.returncode == 1 and f"{state}: it is {state}" in ran.stderr


def test_a_refusal_is_said(tmp_path):
    early = duet("train", "--label_studio_project=7", Gateway([job("done")], status=429).flag)
    assert early.returncode == 1 and "project 7 was trained 3 s ago" in early.stderr
    away = duet("train", "--label_studio_project=7", "--gateway=http://127.0.0.1:1")
    assert away.returncode == 1 and "no answer from the gateway at http://127.0.0.1:1" in away.stderr
    for arguments in [[], ["--label_studio_project=7", "--forget=7"]]:
        assert "one of them" in duet("train", *arguments).stderr


def test_the_password_is_sent(tmp_path):
    (tmp_path / "password").write_text("secret\n")
    gateway = Gateway([job("queued")], password="Basic " + base64.b64encode(b"ann:secret").decode())
    assert duet("train", "--label_studio_project=7", "--nowait", gateway.flag).returncode == 1
    ran = duet("train", "--label_studio_project=7", "--nowait", gateway.flag, "--basic_auth_user=ann",
               f"--basic_auth_password_file={tmp_path}/password")
    assert ran.returncode == 0 and ran.stdout == "job a1\n", ran.stderr


def test_copies_are_forgotten():
    gateway = Gateway([job("done")])
    ran = duet("train", "--forget=7", gateway.flag)
    assert ran.returncode == 0 and ran.stdout == "project 7: 2 jobs and 1234 bytes of copies are deleted\n"
    assert gateway.asked == [("POST", "/train/7/forget", "{}")]


def test_the_shell_command_passes_it_on(root):
    ran = subprocess.run([ROOT / "duet", "models", "list", "--model_root=detector/.."], capture_output=True, text=True, cwd=root)
    assert ran.returncode == 0 and "detector project-7: version 2 serves" in ran.stdout, ran.stderr
    ran = subprocess.run([ROOT / "duet", "models", "rollback", "project-7", f"--model_root={root}"], capture_output=True, text=True)
    assert ran.returncode == 0 and serving(root)["version"] == 1, ran.stderr
    official = subprocess.run([ROOT / "duet", "models", "list"], capture_output=True, text=True)
    assert official.returncode == 0 and "rtmdet-tiny" in official.stdout
