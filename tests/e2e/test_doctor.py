"""./duet doctor finds what docs/troubleshooting.md is about: each of its rows about Label Studio and Duet, set up for real."""

import json
import os
import shutil
import signal
import socket
import subprocess

import pytest
import requests

from conftest import Duet, free_ports
from duet_command import ROOT
from label_configs import config
from label_studio import LabelStudio, data_uri
from service import PATIENCE_S, wait_until

SCENE = ROOT / "tests/data/scenes/scene_3.jpg"
LABELS = ["hexagon", "cross"]


def rows(duet, expect=None):
    """What it says, as [(check, state, found, mend)]."""
    ran = duet.run("doctor", "--json", check=False)
    assert ran.stderr == "" and ran.returncode in (0, 1), ran.stderr
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    assert ran.returncode == any(row["state"] == "mend" for row in found)
    assert expect is None or ran.returncode == expect, ran.stdout
    return [(row["check"], row["state"], row["found"], row["mend"]) for row in found]


def row_with(duet, words, expect=None):
    """The row that has the words in what it found."""
    all_rows = rows(duet, expect)
    matching = [row for row in all_rows if words in row[2]]
    assert len(matching) == 1, all_rows
    return matching[0]


@pytest.fixture(scope="module")
def patient(duet, studio, tmp_path_factory):
    """A Duet beside the session's Label Studio that has its token: what is set up here concerns nobody else."""
    patient = Duet(tmp_path_factory.mktemp("patient") / "state")
    patient.state.mkdir()
    patient.token = patient.state / "token"
    patient.token.write_text(studio.token)
    patient.studio_options = [f"--label_studio_url={studio.url}", f"--label_studio_api_key_file={patient.token}"]
    try:
        patient.up(*patient.studio_options)
        yield patient
    finally:
        patient.run("down")


@pytest.fixture
def project_of(studio, patient, request):
    """Makes projects with a label config that have the patient as their model; deletes them afterwards."""
    made = []

    def make(label_config, **extra):
        project = studio.create_project(request.node.name[:50], label_config)
        made.append(project)
        project.add_backend(patient.url, **extra)
        return project
    yield make
    for project in made:
        project.delete()


GOOD = config(LABELS, "RectangleLabels", "BrushLabels", smart=["KeyPointLabels"])


def test_a_duet_that_is_well_has_nothing_to_mend(patient, project_of):
    project = project_of(GOOD)
    project.upload([SCENE])

    found = rows(patient)

    assert not [row for row in found if row[1] == "mend"], found
    said = {check: text for check, state, text, _ in found if state == "ok"}
    assert {"cpu", "blas", "threads", "memory", "disk", "ports", "gateway", "detector", "segmenter", "label studio",
            "switches", "projects", "a task"} <= said.keys(), found
    assert "accepts the token" in said["label studio"] and "regions" in said["a task"]


class TestRows:
    """Of docs/troubleshooting.md."""

    def test_a_missing_image_and_the_sentence_that_label_studio_hides(self, patient, project_of):
        project = project_of(GOOD)
        project.import_urls(["/data/upload/0/missing.jpg"])
        project.retrieve_predictions()

        check, state, found, mend = next(row for row in rows(patient, expect=1) if row[0] == "a task")

        assert state == "mend" and "task " in found and "missing.jpg" not in mend and mend
        assert any(row[0] == "failures" and row[1] == "warning" for row in rows(patient))

    def test_no_label_has_the_name_of_a_class(self, patient, project_of):
        project_of(config(["person", "car"], "RectangleLabels"))

        found = [row for row in rows(patient) if row[0] == "label config" and row[1] == "warning"]

        assert any("./duet label-config" in mend for *_, mend in found), found

    def test_boxes_but_no_masks_and_no_smart_tool(self, patient, project_of):
        project = project_of(config(LABELS, "RectangleLabels").replace("<RectangleLabels", "<RectangleLabels smart=\"false\""))

        row_with(patient, f"project {project.id}: boxes, but no masks")
        row_with(patient, f"project {project.id}: its label config has no smart tool")

    def test_interactive_preannotations_are_off(self, patient, project_of):
        project = project_of(GOOD, is_interactive=False)

        check, state, _, mend = row_with(patient, f"project {project.id}: Interactive preannotations is off")

        assert (check, state) == ("projects", "warning") and "switch it on" in mend

    def test_extra_parameters_that_cannot_be_served(self, patient, studio, project_of):
        project = project_of(GOOD)
        refused = requests.post(f"{studio.url}/api/ml", timeout=60, headers={"Authorization": f"Token {studio.token}"}, json={
            "url": patient.url, "project": project.id, "title": "bad", "extra_params": {"score_threshold": "high"}})

        assert refused.status_code == 400 and "look like a valid ML backend" in refused.text
        # Before doctor, which has Label Studio ask about the project's other backend: that one's parameters are good.
        assert f"project {project.id} in Label Studio: refused: extra_params" in patient.run("status").stdout
        found = rows(patient)
        assert any("score_threshold" in row[2] for row in found if row[0] == "failures")
        assert any(f"project {project.id}: refused: extra_params: score_threshold" in row[2] for row in found if row[0] == "extra parameters")

    def test_extra_parameters_that_are_misspelt(self, patient, project_of):
        project = project_of(GOOD, extra_params={"score_treshold": 0.3, "our own": 1})

        check, state, found, mend = row_with(patient, f"project {project.id}: extra_params")

        assert (check, state) == ("extra parameters", "warning") and mend
        assert found.endswith('"score_treshold" is ignored; did you mean "score_threshold"?')

    def test_a_large_selection_that_was_not_done_in_time(self, patient):
        patient.up(*patient.studio_options, "--predict_deadline_s=1")
        try:
            requests.post(f"{patient.url}/predict", timeout=PATIENCE_S, json={
                "project": "1.1", "label_config": GOOD, "params": {},
                "tasks": [{"id": number, "data": {"image": data_uri(SCENE, str(number).encode())}} for number in range(1, 400)]})

            check, state, found, mend = row_with(patient, "not done in the time that Label Studio waits for")
        finally:
            patient.up(*patient.studio_options, "--predict_deadline_s=")
        assert state == "warning" and "--background=push" in mend

    def test_label_studio_cannot_reach_this_machine(self, patient, studio):
        patient.up(*patient.studio_options, "--bind=0.0.0.0")
        project = studio.create_project("elsewhere", GOOD)
        try:
            project.add_backend(f"http://127.0.0.2:{patient.port}")
            patient.up(*patient.studio_options, "--bind=")  # as it is by default: on 127.0.0.1 alone

            check, state, found, mend = row_with(patient, f"project {project.id}: http://127.0.0.2:{patient.port} is not connected")
        finally:
            project.delete()
        assert (check, state) == ("projects", "mend") and "--bind=0.0.0.0" in mend

    def test_a_refused_token(self, own, studio, tmp_path):
        token = tmp_path / "token"
        token.write_text("0123456789abcdef")
        own.up(f"--label_studio_url={studio.url}", f"--label_studio_api_key_file={token}")

        check, state, _, mend = row_with(own, "refuses the token", expect=1)

        assert (check, state) == ("label studio", "mend") and "Personal Access Token" in mend

    def test_no_label_studio_and_no_token(self, own, studio):
        own.up()
        assert row_with(own, "none was named")[:2] == ("label studio", "warning")

        own.up(f"--label_studio_url={studio.url}")
        assert row_with(own, "no token was given")[:2] == ("label studio", "mend")

        own.up(f"--label_studio_url=http://127.0.0.1:{free_ports(1)[0]}")
        assert row_with(own, "nothing answers at http://127.0.0.1")[:2] == ("label studio", "mend")

    def test_a_dead_segmenter_and_a_port_that_is_in_use(self, own):
        own.up()
        os.kill(own.pid("duet-segmenter"), signal.SIGKILL)
        wait_until(lambda: requests.get(own.url, timeout=5).json()["status"] == "DEGRADED")

        check, state, found, mend = row_with(own, "was killed by signal KILL", expect=1)
        assert (check, state, mend.split(";")[0]) == ("duet-segmenter", "mend", "./duet up")
        assert any(row[0] == "segmenter" and row[1] == "mend" and "away" in row[2] for row in rows(own))
        assert requests.get(f"{own.url}/health", timeout=5).json()["status"] == "UP", "Label Studio needs it so"

        own.run("down")
        with socket.create_server(("127.0.0.1", own.port)):
            found = [row for row in rows(own, expect=1) if row[0] == "ports"]
        assert found[0][1] == "mend" and f"port {own.port} is in use" in found[0][2] and "--port=" in found[0][3]


def test_a_label_studio_that_blocks_local_addresses(duet, studio, own, tmp_path):
    """The session's data, by another Label Studio that was started without the two switches."""
    data = tmp_path / "data"
    shutil.copytree(duet.state / "label-studio/data", data)
    port = free_ports(1)[0]
    environment = {**os.environ, "HOME": str(tmp_path), "DJANGO_DB": "sqlite", "LABEL_STUDIO_BASE_DATA_DIR": str(data),
                   "LABEL_STUDIO_HOST": f"http://127.0.0.1:{port}", "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
                   "LABEL_STUDIO_COLLECT_ANALYTICS": "false", "LABEL_STUDIO_LATEST_VERSION_CHECK": "false"}
    venv = ROOT / ".duet/venv/label-studio/bin"
    strict = subprocess.Popen([venv / "label-studio", "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)],
                              env={**environment, "PATH": f"{venv}:{os.environ['PATH']}"}, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        def answers():
            try:
                return requests.get(f"http://127.0.0.1:{port}/health", timeout=2).ok
            except requests.RequestException:
                assert strict.poll() is None, "Label Studio has ended"
                return False
        wait_until(answers)
        token = tmp_path / "token"
        token.write_text(studio.token)
        own.up(f"--label_studio_url=http://127.0.0.1:{port}", f"--label_studio_api_key_file={token}")
        before = LabelStudio(f"http://127.0.0.1:{port}", studio.token).call("GET", "/api/projects?page_size=100")["count"]

        check, state, found, mend = next(row for row in rows(own, expect=1) if row[0] == "switches")

        assert state == "mend" and own.url in found
        assert "LABEL_STUDIO_ML_BLOCK_LOCAL_IP=false LABEL_STUDIO_SSRF_PROTECTION_ENABLED=false" in mend
        after = LabelStudio(f"http://127.0.0.1:{port}", studio.token).call("GET", "/api/projects?page_size=100")["count"]
        assert after == before, "nothing comes of asking"
    finally:
        os.killpg(strict.pid, signal.SIGKILL)
        strict.wait()
