"""What happens without anybody waiting: predictions stored through Label Studio's API, images embedded ahead."""

import os
import signal

import pytest
import requests

from label_configs import config, keypoint_prompt
from recorder import Recorder
from service import Service, wait_until
from test_interactive import inside


class Gateway:
    """One of its own before the models of `duet`, as an operator would add it, behind a recording proxy."""

    def __init__(self, duet, studio, token, *flags):
        ports = dict(option.lstrip("-").split("=") for option in duet.options if "port" in option)
        self.service = Service(
            "duet-gateway", "--port=0", f"--detector=127.0.0.1:{ports['detector-port']}",
            f"--segmenter=127.0.0.1:{ports['segmenter-port']}", f"--label_studio_url={studio.url}",
            f"--label_studio_api_key={token}", *flags)
        self.direct = f"http://127.0.0.1:{self.service.ready()}"
        wait_until(lambda: requests.get(f"{self.direct}/readyz", timeout=5).ok)
        self.recorder = Recorder(self.direct)

    @property
    def url(self):
        return self.recorder.url

    def get(self, path):
        return requests.get(self.direct + path, timeout=30)

    def jobs(self):
        return self.get("/jobs").json()["jobs"]

    def prefetched(self):
        return sum(float(line.split()[-1]) for line in self.get("/metrics").text.splitlines()
                   if line.startswith('duet_gateway_prefetched_total{code="OK"}'))

    def close(self):
        self.recorder.close()
        self.service.kill()


@pytest.fixture
def start_gateway(duet, studio):
    started = []

    def start(token, *flags):
        started.append(Gateway(duet, studio, token, *flags))
        return started[-1]

    yield start
    for gateway in started:
        gateway.close()


@pytest.fixture
def project_for(studio, request):
    """Makes projects whose backend is the given gateway; deletes them afterwards."""
    projects = []

    def make(gateway, label_config, **extra):
        project = studio.create_project(request.node.name[:50], label_config)
        projects.append(project)
        project.add_backend(gateway.url, **extra)
        return project

    yield make
    for project in projects:
        project.delete()


@pytest.fixture
def detector(duet):
    """Away from `stop` to `release`: then a batch can't be done by its deadline."""

    class Detector:
        pid = duet.pid("duet-detector")

        def stop(self):
            os.kill(self.pid, signal.SIGSTOP)

        def release(self):
            os.kill(self.pid, signal.SIGCONT)

    yield Detector()
    Detector().release()


@pytest.mark.parametrize("kind", ["legacy", "personal"])
def test_what_a_batch_leaves_undone_is_stored_through_the_api(
        studio, start_gateway, project_for, detector, scenes, labels, kind, request):
    token = studio.token if kind == "legacy" else request.getfixturevalue("personal_token")
    gateway = start_gateway(token, "--predict_deadline_s=1")
    project = project_for(gateway, config(labels, "RectangleLabels"), extra_params={"background": "push"})
    tasks = project.upload([scene.file for scene in scenes])

    detector.stop()

    project.retrieve_predictions()

    (call,) = gateway.recorder.of("/predict")
    assert call.response["results"] == [{}] * len(tasks)
    project.retrieve_predictions()  # an impatient second click
    assert len(gateway.jobs()) == 1
    detector.release()
    wait_until(lambda: gateway.jobs()[0]["state"] == "done")
    assert gateway.jobs()[0]["stored"] == len(tasks)
    version = project.backend()["model_version"]
    for stored in project.predictions().values():
        assert [prediction["model_version"] for prediction in stored] == [version]
        assert stored[0]["result"] and 0 < stored[0]["score"] <= 1
    listed = studio.call("GET", f"/api/tasks?project={project.id}&fields=all")["tasks"]
    assert [task["total_predictions"] for task in listed] == [1] * len(tasks), "as the data manager counts"
    gateway.recorder.clear()
    project.retrieve_predictions()
    assert not gateway.recorder.of("/predict"), "nothing is left to ask for"


def test_a_cancelled_job_stores_nothing(start_gateway, project_for, detector, studio, scenes, labels):
    gateway = start_gateway(studio.token, "--predict_deadline_s=1", "--background=push")
    project = project_for(gateway, config(labels, "RectangleLabels"))
    project.upload([scene.file for scene in scenes])
    detector.stop()
    project.retrieve_predictions()
    (job,) = gateway.jobs()

    answer = requests.delete(f"{gateway.direct}/jobs/{job['id']}", timeout=30)
    detector.release()
    wait_until(lambda: gateway.jobs()[0]["in_work"] == 0)

    assert answer.ok and gateway.jobs()[0]["state"] == "cancelled"
    assert not any(project.predictions().values())


def test_sigterm_ends_a_job_cleanly(start_gateway, project_for, detector, studio, scenes, labels):
    gateway = start_gateway(studio.token, "--predict_deadline_s=1", "--background=push")
    project = project_for(gateway, config(labels, "RectangleLabels"))
    project.upload([scene.file for scene in scenes])
    detector.stop()
    project.retrieve_predictions()
    wait_until(lambda: gateway.jobs()[0]["in_work"] > 0)

    gateway.service.process.send_signal(signal.SIGTERM)
    gateway.service.wait_for_event("draining")
    detector.release()

    code, lines = gateway.service.last_words()
    assert code == 0
    (ended,) = [line for line in lines if "push.ended" in line]
    assert '"state":"dropped"' in ended
    stored = [len(each) for each in project.predictions().values()]
    assert sorted(stored) == [0, 0, 1, 1], "what was in work is stored, the rest is left for the next click"


def test_the_next_tasks_are_embedded_ahead_and_their_first_click_is_a_hit(
        start_gateway, project_for, studio, scenes, labels):
    gateway = start_gateway(studio.token, "--prefetch_tasks=1")
    project = project_for(gateway, config(labels, "RectangleLabels", "BrushLabels", smart=("KeyPointLabels",)))
    tasks = project.upload([scene.file for scene in scenes[:3]])

    opened = project.open_task(tasks[0])
    wait_until(lambda: gateway.prefetched() == 1)
    project.annotate(tasks[1], opened["predictions"][0]["result"])  # the webhook: task 3 comes next
    wait_until(lambda: gateway.prefetched() == 2)

    for task, scene in zip(tasks[1:], scenes[1:]):
        thing = scene.largest()
        x, y = inside(thing.mask)
        assert project.interact(task, [keypoint_prompt(scene, x, y, thing.label)])
        line = gateway.service.wait_for_event("http.done")
        while line.get("kind") != "interactive":
            line = gateway.service.wait_for_event("http.done")
        assert line["embedding"] == "hit"
