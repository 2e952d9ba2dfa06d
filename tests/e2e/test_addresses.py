"""Label Studio under another name than Duet was told, as real installations have it, and what stays secret."""

import contextlib
import os
import subprocess

import pytest
import requests

from conftest import free_ports
from label_configs import config
from label_studio import LabelStudio
from service import PATIENCE_S, Service, wait_until
from test_storages import NAME, assert_all_found, local_files, predict, project, sync  # noqa: F401 (fixtures)


@contextlib.contextmanager
def once_more(duet, public=None):
    """The session's Label Studio once more, with the same data. It calls itself `public`, else by its own address."""
    with open(f"/proc/{duet.pid('label-studio')}/environ", "rb") as file:
        environment = dict(entry.split(b"=", 1) for entry in file.read().split(b"\0") if b"=" in entry)
    (port,) = free_ports(1)
    inner = LabelStudio(f"http://127.0.0.1:{port}", (duet.state / "label-studio" / "token").read_text())
    environment[b"LABEL_STUDIO_HOST"] = (public or inner.url).encode()
    log = open(duet.state / "logs" / "label-studio-once-more.log", "wb")
    process = subprocess.Popen(
        ["label-studio", "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)],
        env={os.fsdecode(key): os.fsdecode(value) for key, value in environment.items()}, stdin=subprocess.DEVNULL,
        stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def is_up():
        assert process.poll() is None, "Label Studio has stopped"
        try:
            return requests.get(f"{inner.url}/health", timeout=5).ok
        except requests.ConnectionError:
            return False

    try:
        wait_until(is_up)
        yield inner
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        log.close()


@pytest.fixture(scope="module")
def studio(duet):
    """One that calls itself by an address, as installations with a LABEL_STUDIO_HOST do; Duet's own has none."""
    with once_more(duet) as inner:
        yield inner


@pytest.fixture
def token_file(studio, tmp_path):
    file = tmp_path / "token"
    file.write_text(studio.token + "\n")
    return file


# Label Studio calls itself 127.0.0.1, Duet was told localhost: the pair of compose.yaml, the other way round.
def other_name(studio):
    return studio.url.replace("127.0.0.1", "localhost")


def test_synced_local_files_come_although_label_studio_has_another_name(
        start_gateway, studio, project, local_files, token_file):
    (task,) = [studio.call("GET", f"/api/tasks/{task}") for task in project.task_ids()]
    assert task["data"]["image"].startswith(studio.url + "/data/local-files/"), "the test is about an absolute URL"

    assert_all_found(predict(project, start_gateway(f"--label_studio_url={other_name(studio)}",
                                                    f"--label_studio_api_key_file={token_file}")))


@pytest.mark.parametrize("named", [True, False])
def test_before_any_setup_the_other_name_has_to_be_given(
        start_gateway, studio, project, local_files, labels, token_file, named):
    url = start_gateway(f"--label_studio_url={other_name(studio)}", f"--label_studio_api_key_file={token_file}",
                        *([f"--label_studio_alias={studio.url}"] if named else []))
    (task,) = [studio.call("GET", f"/api/tasks/{task}") for task in project.task_ids()]

    answer = requests.post(f"{url}/predict", timeout=PATIENCE_S, json={
        "tasks": [{"id": task["id"], "data": task["data"]}], "project": f"{project.id}.1",
        "label_config": config(labels, "RectangleLabels"), "params": {"context": None}})

    if named:
        assert answer.ok and answer.json()["results"][0]["result"], answer.text
    else:
        assert not answer.ok and "private address" in answer.text


def test_a_private_label_studio_that_only_setup_names_is_refused(start_gateway, project, local_files):
    assert list(predict(project, start_gateway()).values()) == [[]]


PUBLIC = "http://labels.invalid/label-studio"


@pytest.fixture
def below_a_path(duet):
    """As behind a proxy that serves it below a path."""
    with once_more(duet, PUBLIC) as inner:
        yield inner


def test_label_studio_below_a_path_is_asked_at_its_inner_address(
        start_gateway, below_a_path, duet, labels, scenes, token_file):
    project = below_a_path.create_project("below a path", config(labels, "RectangleLabels"))
    try:
        folder = duet.state / "label-studio" / "files" / "below"
        folder.mkdir()
        (folder / NAME).write_bytes(scenes[0].file.read_bytes())
        sync(below_a_path, "localfiles", project=project.id, path=str(folder), regex_filter=".*jpg")
        project.upload([scenes[1].file])
        images = [below_a_path.call("GET", f"/api/tasks/{task}")["data"]["image"] for task in project.task_ids()]

        stored = predict(project, start_gateway(f"--label_studio_url={below_a_path.url}",
                                                f"--label_studio_api_key_file={token_file}"))
    finally:
        project.delete()

    assert any(image.startswith(PUBLIC + "/data/local-files/") for image in images), images
    assert any(image.startswith("/label-studio/data/upload/") for image in images), images
    assert_all_found(stored)


def test_no_secret_is_in_the_log_the_metrics_or_an_answer(tmp_path):
    secrets = {name: f"{name}-0123456789abcdef" for name in ("token", "password", "redis", "taught")}
    for name in ("token", "password"):
        (tmp_path / name).write_text(secrets[name])
    service = Service("duet-gateway", "--port=0", "--log_level=debug", "--label_studio_url=http://127.0.0.1:1",
                      f"--label_studio_api_key_file={tmp_path}/token", "--basic_auth_user=ann",
                      f"--basic_auth_password_file={tmp_path}/password",
                      f"--settings_store=redis://:{secrets['redis']}@127.0.0.1:1")
    try:
        url = f"http://127.0.0.1:{service.ready()}"
        ann = ("ann", secrets["password"])
        answers = [
            requests.post(f"{url}/setup", timeout=PATIENCE_S, auth=ann, json={
                "project": "1.1", "hostname": f"http://ann:{secrets['taught']}@studio", "access_token": secrets["taught"]}),
            requests.post(f"{url}/predict", timeout=PATIENCE_S, auth=ann, json={
                "tasks": [{"id": 1, "data": {"image": f"/data/upload/1/a.jpg?sig={secrets['taught']}"}}]}),
            requests.get(f"{url}/versions", timeout=PATIENCE_S, auth=("ann", "wrong")),
            requests.get(f"{url}/", timeout=PATIENCE_S, auth=ann),
            requests.get(f"{url}/metrics", timeout=PATIENCE_S)]
        with open(f"/proc/{service.process.pid}/cmdline", "rb") as file:
            command_line = file.read().decode()
        (tmp_path / "token").write_text(secrets["token"] + "-rotated")
        service.process.terminate()
        _, lines = service.last_words()
    finally:
        service.kill()

    said = "".join(lines) + "".join(answer.text for answer in answers)
    for name, secret in secrets.items():
        assert secret not in said, name
        assert secret not in command_line or name == "redis"


@pytest.mark.parametrize("flags, said", [
    (["--label_studio_api_key=hunter2"], "--label_studio_url"),
    (["--label_studio_url=http://ann:hunter2@studio"], "--label_studio_url"),
    (["--label_studio_url=http://studio", "--label_studio_api_key=hunter2", "--label_studio_api_key_file=/x"], "one of them"),
    (["--label_studio_url=http://studio", "--label_studio_api_key_file=/nonexistent/hunter"], "/nonexistent/hunter"),
    (["--basic_auth_password=hunter2"], "go together"),
], ids=["token alone", "credentials in the URL", "token twice", "no file", "password alone"])
def test_what_cannot_be_used_is_one_line_at_the_start_without_the_secret(flags, said):
    code, lines = Service("duet-gateway", "--port=0", *flags).last_words()

    assert code == 1
    assert len(lines) == 1 and said in lines[0], lines
    assert "hunter2" not in lines[0]
