"""clients/python, as people install it: against real services, by a strict type checker, and with its example into Label Studio."""

import os
import shutil
import subprocess

import pytest

from duet_command import ROOT
from label_configs import config

CLIENT = ROOT / "clients/python"
PYTHON = ROOT / ".duet/venv/python-client/bin/python"


@pytest.fixture(scope="module")
def client(duet, tmp_path_factory):
    """Installs it; returns what runs Python with it. Its requirements are there already, so that nothing is fetched."""
    folder = tmp_path_factory.mktemp("client")
    shutil.rmtree(CLIENT / "build", ignore_errors=True)
    options = dict(option.lstrip("-").split("=", 1) for option in duet.options)
    environment = {**os.environ, "PYTHONPATH": str(folder), "MYPYPATH": str(folder),
                   "DETECTOR": f"127.0.0.1:{options['detector-port']}", "SEGMENTER": f"127.0.0.1:{options['segmenter-port']}"}

    def python(*arguments, **more):
        return subprocess.run([PYTHON, *map(str, arguments)], env={**environment, **more}, capture_output=True, text=True, timeout=300,
                              cwd=folder)
    installed = python("-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--target", folder, CLIENT)
    assert installed.returncode == 0, installed.stderr
    python.targets = [f"--{name}={environment[name.upper()]}" for name in ("detector", "segmenter")]
    return python


def test_it_has_the_projects_version(client):
    printed = client("-c", "import importlib.metadata; print(importlib.metadata.version('duet-client'))").stdout.strip()

    assert f"project(duet VERSION {printed} " in (ROOT / "CMakeLists.txt").read_text()


def test_its_types_are_complete(client):
    checked = client("-m", "mypy", "--strict", "--cache-dir=mypy", "-p", "duet_client")
    example = client("-m", "mypy", "--strict", "--cache-dir=mypy", CLIENT / "examples/prelabel.py")

    assert checked.returncode == example.returncode == 0, checked.stdout + example.stdout


def test_it_asks_the_services(client, scenes):
    tested = client("-m", "pytest", "-q", "-p", "no:cacheprovider", CLIENT / "tests", PICTURE=str(scenes[0].file))

    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_readmes_example_runs(client, scenes, tmp_path):
    text = (CLIENT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    for port, target in zip(("50051", "50052"), client.targets):
        text = text.replace(f"localhost:{port}", target.partition("=")[2])
    text = text.replace("picture.jpg", str(scenes[0].file))

    ran = client("-c", text)

    assert ran.returncode == 0 and "'counts'" in ran.stdout, ran.stdout + ran.stderr


class TestExample:
    def run(self, client, studio, *arguments, token=None):
        return client(CLIENT / "examples/prelabel.py", f"--label_studio={studio.url}", *client.targets, *arguments,
                      LABEL_STUDIO_TOKEN=studio.token if token is None else token)

    def test_pictures_arrive_with_rectangles_and_polygons(self, client, studio, make_project, scenes, labels):
        project = make_project(config(labels, "RectangleLabels", "PolygonLabels"))

        ran = self.run(client, studio, f"--project={project.id}", *(each.file for each in scenes))

        assert ran.returncode == 0, ran.stdout + ran.stderr
        stored = project.predictions()
        assert len(stored) == len(scenes) and all(len(each) == 1 for each in stored.values())
        regions = [region for (prediction,) in stored.values() for region in prediction["result"]]
        assert {region["type"] for region in regions} == {"rectanglelabels", "polygonlabels"}
        for region in regions:
            assert set(region["value"][region["type"]]) <= set(labels)

    def test_a_picture_that_is_none_is_said_and_the_others_come(self, client, studio, make_project, scenes, labels, tmp_path):
        project = make_project(config(labels, "RectangleLabels"))
        bad = tmp_path / "bad.jpg"
        bad.write_bytes(b"no picture")

        ran = self.run(client, studio, f"--project={project.id}", bad, scenes[0].file)

        assert ran.returncode == 0 and len(project.task_ids()) == 1
        (line,) = ran.stderr.splitlines()
        assert line.startswith(f"{bad}: INVALID_ARGUMENT: ")

    @pytest.mark.parametrize("token, said", [("", "LABEL_STUDIO_TOKEN is empty"), ("wrong", ": 401 ")])
    def test_a_token_that_is_none_is_one_line(self, client, studio, scenes, token, said):
        ran = self.run(client, studio, "--project=1", scenes[0].file, token=token)

        assert ran.returncode == 1 and said in ran.stderr and len(ran.stderr.splitlines()) == 1
