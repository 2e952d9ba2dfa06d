"""`duet embed` and POST /embed: after a restart of everything the first click into an image that was embedded needs no encoder,
and what is damaged is encoded again."""

import os
import subprocess

import pytest
import requests

from conftest import SEGMENTER
from duet_command import ROOT
from label_configs import config, keypoint_prompt
from label_studio import data_uri
from service import Service, predict, wait_until
from test_interactive import inside

SMART = ("KeyPointLabels",)


class Stack:
    """A segmenter that keeps embeddings in a folder, and a gateway before it; started again at will."""

    def __init__(self, folder, detector, studio):
        self.folder, self.detector, self.studio, self.services = folder, detector, studio, []
        self.start()

    def start(self):
        self.segmenter = Service("duet-segmenter", f"--checkpoint={SEGMENTER}", "--port=0", "--metrics_port=0",
                                 f"--embedding_store=file://{self.folder}")
        port = self.segmenter.ready()
        self.address = f"127.0.0.1:{port}"
        self.gateway = Service("duet-gateway", "--port=0", f"--detector={self.detector}", f"--segmenter={self.address}",
                               f"--label_studio_url={self.studio.url}", f"--label_studio_api_key={self.studio.token}")
        self.url = f"http://127.0.0.1:{self.gateway.ready()}"
        wait_until(lambda: requests.get(f"{self.url}/readyz", timeout=5).ok)

    def end(self):
        for service in (self.gateway, self.segmenter):
            service.process.terminate()
            service.process.wait()

    def encoded(self):
        return self.segmenter.metrics().get('duet_segmenter_embeddings_total{result="miss"}', 0)

    def files(self):
        return sorted(self.folder.rglob("*.embedding"))


@pytest.fixture
def stack(tmp_path, detector_address, studio):
    started = Stack(tmp_path / "kept", detector_address, studio)
    yield started
    started.end()


@pytest.fixture
def project(studio, scenes, labels):
    project = studio.create_project("embed", config(labels, "BrushLabels", smart=SMART))
    project.upload([scenes[0].file])
    project.import_urls([data_uri(scene.file) for scene in scenes[1:]])
    yield project
    project.delete()


def click(stack, scenes, labels, number):
    thing = scenes[number].largest()
    prompt = keypoint_prompt(scenes[number], *inside(thing.mask), thing.label)
    answer = predict(stack.gateway.port, [data_uri(scenes[number].file)], config(labels, "BrushLabels", smart=SMART),
                     prompts=[prompt])
    assert answer.ok, answer.text
    return answer.json()["results"][0]["result"]


def embed(folder, *arguments):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DUET_")}
    ran = subprocess.run([ROOT / "build/release/bin/duet", "embed", *map(str, arguments)], capture_output=True, text=True,
                         cwd=folder, env=environment, timeout=300)
    return ran.returncode, ran.stdout, ran.stderr


def test_after_a_restart_of_everything_a_click_needs_no_encoder(stack, project, studio, scenes, labels, tmp_path):
    before = [click(stack, scenes, labels, number) for number in range(len(scenes))]
    stack.end()
    for file in stack.files():  # what the clicks have left there
        file.unlink()
    stack.start()
    (tmp_path / "token").write_text(studio.token)

    def run(*flags):
        return embed(tmp_path, f"label-studio:{project.id}", f"--segmenter={stack.address}", f"--label_studio_url={studio.url}",
                     "--label_studio_api_key_file=token", *flags)

    code, out, err = run("--plan")
    assert code == 0 and f"{len(scenes)} images to embed: " in out and "in a store of 21.0 GB" in out, out + err

    code, out, err = run()

    assert code == 0, err
    assert f"embeddings-of-label-studio-{project.id}: {len(scenes)} images embedded" in out
    assert len(stack.files()) == len(scenes)
    stack.end()
    stack.start()
    after = [click(stack, scenes, labels, number) for number in range(len(scenes))]
    assert stack.encoded() == 0
    masks = [[region["value"] for region in regions] for regions in before]
    assert masks == [[region["value"] for region in regions] for regions in after]
    # Once more: all is there.
    code, out, err = run()
    assert code == 0 and stack.encoded() == 0, err


def test_a_damaged_file_is_encoded_again_and_never_used(stack, scenes, labels, tmp_path):
    for number, scene in enumerate(scenes):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / f"images/{number}.jpg").write_bytes(scene.file.read_bytes())
    assert embed(tmp_path, "images", f"--segmenter={stack.address}")[0] == 0
    whole = [click(stack, scenes, labels, number) for number in range(len(scenes))]
    stack.end()
    for file in stack.files():
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 64
        file.write_bytes(content)
    stack.start()

    assert embed(tmp_path, "images", f"--segmenter={stack.address}")[0] == 0

    assert stack.encoded() == len(scenes)
    assert stack.segmenter.metrics()['duet_segmenter_embedding_files_total{outcome="damaged"}'] == len(scenes)
    stack.end()
    stack.start()
    again = [click(stack, scenes, labels, number) for number in range(len(scenes))]
    assert stack.encoded() == 0
    for old, new in zip(whole, again, strict=True):
        assert [region["value"] for region in old] == [region["value"] for region in new]


def test_a_project_is_embedded_by_the_gateway(stack, project, scenes, labels):
    run = requests.post(f"{stack.url}/embed/{project.id}", json={}, timeout=30)
    assert run.status_code == 202, run.text
    assert f"{len(scenes)} images to embed: " in run.json()["message"]

    wait_until(lambda: requests.get(f"{stack.url}/embed/{project.id}", timeout=10).json()["state"] == "done")

    run = requests.get(f"{stack.url}/embed/{project.id}", timeout=10).json()
    assert (run["tasks"], run["tasks_done"], run["encoded"], run["failed"]) == (len(scenes), len(scenes), len(scenes), 0), run
    assert run["kept_bytes"] == sum(file.stat().st_size for file in stack.files())
    stack.end()
    stack.start()
    assert requests.get(f"{stack.url}/embed/{project.id}", timeout=10).status_code == 404  # nothing is remembered
    for number in range(len(scenes)):
        click(stack, scenes, labels, number)
    assert stack.encoded() == 0
    # The same again costs no encoding.
    assert requests.post(f"{stack.url}/embed/{project.id}", json={}, timeout=30).status_code == 202
    wait_until(lambda: requests.get(f"{stack.url}/embed/{project.id}", timeout=10).json()["state"] == "done")
    run = requests.get(f"{stack.url}/embed/{project.id}", timeout=10).json()
    assert (run["encoded"], run["already_there"]) == (0, len(scenes))
    assert stack.encoded() == 0


def test_a_segmenter_that_keeps_nothing_is_refused(duet, project, studio, tmp_path, start_gateway):
    ports = dict(option.lstrip("-").split("=") for option in duet.options if "port" in option)
    code, _, err = embed(tmp_path, ROOT / "tests/data/scenes", f"--segmenter=127.0.0.1:{ports['segmenter-port']}")
    assert code == 2 and "end with it; needed: one that was started with --embedding_store=" in err
    assert not list(tmp_path.iterdir())
    url = start_gateway(f"--label_studio_url={studio.url}", f"--label_studio_api_key={studio.token}")
    answer = requests.post(f"{url}/embed/{project.id}", json={}, timeout=30)
    assert answer.status_code == 400 and "--embedding_store" in answer.text


def test_without_a_segmenter_it_starts_its_own(tmp_path):
    code, out, err = embed(tmp_path, ROOT / "tests/data/scenes/*.jpg", f"--segmenter_checkpoint={SEGMENTER}",
                           f"--embedding_store=file://{tmp_path}/kept")
    assert code == 0, err
    images = len(list((ROOT / "tests/data/scenes").glob("*.jpg")))
    assert len(list((tmp_path / "kept").rglob("*.embedding"))) == images
    assert f"{images} images embedded" in out
