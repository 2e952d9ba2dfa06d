"""`duet prelabel` on the demo's scenes: pycocotools and Label Studio's own SDK read what it writes, and the gateway gives
the same predictions."""

import contextlib
import http.server
import io
import json
import os
import shutil
import signal
import subprocess
import threading

import boto3
import numpy
import pytest
import requests
from label_studio_sdk.converter import brush
from label_studio_sdk.label_interface import LabelInterface
from moto.server import ThreadedMotoServer
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from conftest import DETECTOR, SEGMENTER, free_ports
from duet_command import ROOT
from label_studio import data_uri
from service import Service, predict, wait_until

SCENES = ROOT / "tests/data/scenes"
CONFIG = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image"><Label value="Circle"/><Label value="square"/><Label value="star"/></RectangleLabels>
<BrushLabels name="brush" toName="image"><Label value="circle"/><Label value="triangle"/><Label value="heart"/></BrushLabels></View>"""


@pytest.fixture(scope="module")
def services():
    started = [Service("duet-detector", f"--checkpoint={DETECTOR}", "--port=0", "--metrics_port=0"),
               Service("duet-segmenter", f"--checkpoint={SEGMENTER}", "--port=0", "--metrics_port=0")]
    yield [f"127.0.0.1:{service.ready()}" for service in started]
    for service in started:
        service.kill()


@pytest.fixture
def prelabel(services, tmp_path):
    """Runs the command on sources; returns its exit code, stdout and stderr."""
    def run(*arguments, **options):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DUET_")}
        ran = subprocess.run([ROOT / "build/release/bin/duet", "prelabel", *map(str, arguments), f"--detector={services[0]}",
                              f"--segmenter={services[1]}"], capture_output=True, cwd=tmp_path, env=environment, timeout=300,
                             **options)
        return ran.returncode, ran.stdout.decode(), ran.stderr.decode()
    return run


def read_coco(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_pycocotools_reads_boxes_and_masks_of_a_coco_source(prelabel, tmp_path):
    code, _, err = prelabel(SCENES / "coco.json", "--out=found.json", "--masks=rle")
    assert code == 0, err
    truth, found = read_coco(SCENES / "coco.json"), read_coco(tmp_path / "found.json")
    assert sorted(found.getImgIds()) == sorted(truth.getImgIds())
    with contextlib.redirect_stdout(io.StringIO()):
        for kind in ("bbox", "segm"):
            results = truth.loadRes([{key: one[key] for key in ("image_id", "category_id", "bbox", "score", "segmentation")}
                                     for one in found.anns.values()])
            evaluation = COCOeval(truth, results, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            # The demo's own scenes (models/demo/README.md); ids of images or classes that were mixed up give about 0.
            assert evaluation.stats[1] > 0.9, kind


def test_polygons_are_the_masks(prelabel, tmp_path):
    assert prelabel(SCENES / "coco.json", "--out=rle.json", "--masks=rle")[0] == 0
    assert prelabel(SCENES / "coco.json", "--out=polygons.json", "--masks=polygons")[0] == 0
    rle, polygons = read_coco(tmp_path / "rle.json"), read_coco(tmp_path / "polygons.json")
    assert rle.anns.keys() == polygons.anns.keys()
    for number, one in rle.anns.items():
        if "ring" in rle.cats[one["category_id"]]["name"]:
            continue  # its hole is filled
        assert coco_mask.iou([rle.annToRLE(one)], [polygons.annToRLE(polygons.anns[number])], [0])[0][0] > 0.97


def test_names_of_any_bytes_come_back(prelabel, tmp_path):
    names = [b"plain.jpg", b"with space.jpg", b"line\nend.jpg", b"latin\xe9.jpg", "\u00e9\u732b.jpg".encode(), b"50%25.jpg"]
    folder = os.fsencode(tmp_path / "images")
    os.mkdir(folder)
    for name in names:
        shutil.copy(os.fsencode(SCENES / "scene_0.jpg"), os.path.join(folder, name))
    assert prelabel("images", "--out=folder.json")[0] == 0
    listed = b"".join(os.path.join(folder, name) + b"\0" for name in names)
    assert prelabel("-", "--out=list.json", input=listed)[0] == 0
    for out, prefix in (("folder.json", b""), ("list.json", folder + b"/")):
        images = json.loads((tmp_path / out).read_text())["images"]
        assert sorted(os.fsencode(image["file_name"]) for image in images) == sorted(prefix + name for name in names)


def test_tasks_are_what_label_studio_imports_and_the_gateway_predicts(prelabel, services, tmp_path):
    (tmp_path / "config.xml").write_text(CONFIG)
    code, _, err = prelabel(SCENES / "*.jpg", "--out=tasks.json", "--format=label-studio", "--label_config=config.xml",
                            "--image_prefix=/data/local-files/?d=")
    assert code == 0, err
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    interface = LabelInterface(CONFIG)
    assert all(interface.validate_prediction(task["predictions"][0]) for task in tasks)
    gateway = Service("duet-gateway", "--port=0", f"--detector={services[0]}", f"--segmenter={services[1]}",
                      "--local_files_root=/", "--label_studio_url=http://127.0.0.1:9")
    try:
        port = gateway.ready()
        wait_until(lambda: requests.get(f"http://127.0.0.1:{port}/readyz", timeout=60).ok)
        answer = predict(port, [task["data"]["image"] for task in tasks], CONFIG)
    finally:
        gateway.kill()
    predictions = [task["predictions"][0] for task in tasks]
    assert answer.status_code == 200, answer.text

    for ours, gateways in zip(predictions, answer.json()["results"], strict=True):
        assert ours["model_version"] == gateways["model_version"]
        for mine, its in zip(ours["result"], gateways["result"], strict=True):
            # Products of two calls may be summed in another order.
            assert mine.pop("score") == pytest.approx(its.pop("score"), abs=1e-5)
            rle = mine["value"].pop("rle", None), its["value"].pop("rle", None)
            assert mine["id"] != its.pop("id")
            assert {**mine, "id": None} == {**its, "id": None}
            if rle[0] is not None:
                differing = numpy.count_nonzero(numpy.subtract(*map(brush.decode_rle, rle)))
                assert differing <= 4 * 4  # pixels, of four bytes each
    ids = [region["id"] for prediction in predictions for region in prediction["result"]]
    assert len(ids) == len(set(ids)) == 5


def test_without_services_it_starts_its_own_and_ends_them(tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DUET_")}
    command = [ROOT / "build/release/bin/duet", "prelabel", SCENES / "coco.json", "--out=found.json", "--masks=rle",
               f"--detector_checkpoint={DETECTOR}", f"--segmenter_checkpoint={SEGMENTER}"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert all(one["segmentation"]["counts"] for one in json.loads((tmp_path / "found.json").read_text())["annotations"])
    for name in ("detector", "segmenter"):
        log = [json.loads(line) for line in (tmp_path / f"found.json.journal/{name}.log").read_text().splitlines()]
        pid = next(line["pid"] for line in log if line["event"] == "serving")
        assert not os.path.exists(f"/proc/{pid}")
    command[3] = "--out=other.json"
    command[5] = f"--detector_checkpoint={SCENES}/coco.json"
    wrong = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)
    assert wrong.returncode == 2 and "coco.json" in wrong.stderr
    assert not (tmp_path / "other.json.journal").exists()


def test_a_service_of_its_own_that_dies_is_started_again(tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DUET_")}
    (tmp_path / "list.txt").write_text(f"{SCENES}/scene_1.jpg\n" * 2000)
    running = subprocess.Popen([ROOT / "build/release/bin/duet", "prelabel", "list.txt", "--out=found.json",
                                f"--detector_checkpoint={DETECTOR}"], stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment)

    def starts():
        log = tmp_path / "found.json.journal/detector.log"
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")] if log.exists() else []
        return [(line["pid"], line["port"]) for line in lines if line["event"] == "serving"]

    try:
        wait_until(starts)
        os.kill(starts()[0][0], signal.SIGKILL)
        _, err = running.communicate(timeout=300)
    finally:
        running.kill()
    assert running.returncode == 0, err
    assert "the detector of this run was ended by signal 9, and is started again" in err
    (first, port), (second, same_port) = starts()
    assert first != second and port == same_port
    assert len(json.loads((tmp_path / "found.json").read_text())["images"]) == 2000


class Proxy:
    """Before a server: `lose(path)` handles a request and gives no answer, while `gone` everything is 404."""

    def __init__(self, target, lose=lambda path: False):
        proxy, self.gone = self, False

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "accept-encoding")}
                if proxy.gone:
                    status, kind, content = 404, "application/xml", b"<Error><Code>NoSuchBucket</Code></Error>"
                else:
                    answer = requests.request(self.command, target + self.path, data=body, headers=headers, timeout=150)
                    status, kind, content = answer.status_code, answer.headers.get("Content-Type", ""), answer.content
                    if lose(self.path):
                        self.close_connection = True
                        return
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def project(studio, tmp_path):
    """With an upload and two data URIs; and what the command needs to use it."""
    project = studio.create_project("prelabel", CONFIG)
    scenes = sorted(SCENES.glob("scene_?.jpg"))
    project.upload(scenes[1:2])
    project.import_urls([data_uri(scene) for scene in scenes[2:]])
    (tmp_path / "token").write_text(studio.token)
    project.flags = [f"--label_studio_url={studio.url}", "--label_studio_api_key_file=token"]
    yield project
    project.delete()


def test_a_project_gets_each_prediction_once(prelabel, project, tmp_path):
    name = f"label-studio:{project.id}"
    code, out, err = prelabel(name, f"--out={name}", *project.flags)
    assert code == 0, err
    stored = project.predictions()
    assert len(stored) == 3 and all(len(predictions) == 1 for predictions in stored.values())
    assert [len(predictions[0]["result"]) for predictions in stored.values()][0] == 3
    assert len({predictions[0]["model_version"] for predictions in stored.values()}) == 1
    # By another machine, which has nothing of the first run, and a Label Studio that has.
    shutil.rmtree(tmp_path / f"{name}.journal")
    assert prelabel(name, f"--out={name}", *project.flags)[0] == 0
    assert project.predictions() == stored


def test_a_lost_answer_of_label_studio_stores_nothing_twice(prelabel, project, studio):
    lost = []

    def lose(path):
        if path.endswith("/import/predictions") and not lost:
            lost.append(path)
            return True
        return False

    proxy = Proxy(studio.url, lose)
    try:
        name = f"label-studio:{project.id}"
        code, _, err = prelabel(name, f"--out={name}", f"--label_studio_url={proxy.url}", project.flags[1])
    finally:
        proxy.close()
    assert code == 0, err
    assert all(len(predictions) == 1 for predictions in project.predictions().values())
    assert lost and "waiting: " in err


def test_a_task_that_was_deleted_costs_its_own_prediction_alone(prelabel, project, studio, tmp_path):
    name = f"label-studio:{project.id}"
    assert prelabel(name, f"--out={name}", *project.flags)[0] == 0
    gone, *rest = project.task_ids()
    studio.call("POST", f"/api/dm/actions?id=delete_tasks_predictions&project={project.id}", json={"selectedItems": {"all": True, "excluded": []}})
    studio.call("DELETE", f"/api/tasks/{gone}/")
    assert not any(project.predictions().values())
    code, _, err = prelabel(name, f"--out={name}", *project.flags)
    assert code == 1 and f"task {gone} was deleted meanwhile" in err
    assert {task: len(predictions) for task, predictions in project.predictions().items()} == dict.fromkeys(rest, 1)
    failure = json.loads((tmp_path / f"{name}.failures.jsonl").read_text())
    assert failure["kind"] == "refused"


def test_a_view_is_a_part_of_a_project(prelabel, project, studio, tmp_path):
    tasks = project.task_ids()
    view = studio.call("POST", "/api/dm/views/", json={"project": project.id, "data": {"filters": {
        "conjunction": "and", "items": [{"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": tasks[0]}]}}})
    code, _, err = prelabel(f"label-studio:{project.id}", "--out=found.json", f"--view={view['id']}", *project.flags)
    assert code == 0, err
    assert [image["id"] for image in json.loads((tmp_path / "found.json").read_text())["images"]] == tasks[1:]
    code, _, err = prelabel(f"label-studio:{project.id}", "--out=found.json", *project.flags)
    assert code == 2 and f"view {view['id']} and is now label-studio:{project.id}" in err


def test_what_a_project_refuses_is_one_sentence(prelabel, project, studio, tmp_path):
    name = f"label-studio:{project.id}"
    code, _, err = prelabel("label-studio:999999", "--out=found.json", *project.flags)
    assert code == 2 and "label-studio:999999" in err and "404" in err
    (tmp_path / "wrong").write_text("0123456789abcdef0123456789abcdef01234567")
    code, _, err = prelabel(name, "--out=found.json", project.flags[0], "--label_studio_api_key_file=wrong")
    assert code == 2 and "needed: a valid --label_studio_api_key" in err
    code, _, err = prelabel(name, f"--out={name}0", *project.flags)
    assert code == 2 and "the same project as the source" in err
    assert not list(tmp_path.glob("*.journal"))


@pytest.fixture
def bucket(monkeypatch):
    """An S3 of moto's with the bucket "pictures", and the command's keys for it."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    url = "http://127.0.0.1:%d" % server.get_host_and_port()[1]
    for name, value in (("AWS_ENDPOINT_URL", url), ("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any"),
                        ("AWS_DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(name, value)
    yield boto3.client("s3")
    requests.post(f"{url}/moto-api/reset", timeout=10)
    server.stop()


def fill(bucket, keys):
    bucket.create_bucket(Bucket="pictures")
    for key in keys:
        bucket.put_object(Bucket="pictures", Key=key, Body=(SCENES / "scene_1.jpg").read_bytes())


def test_a_bucket_is_listed_in_pages_below_its_prefix(prelabel, bucket, tmp_path):
    odd = ["in/a b+c&d=e.jpg", "in/\u00e9/50%25.png", "in/sub/x.JPG"]
    fill(bucket, [*odd, "out/no.jpg", "in/readme.md"])
    for number in range(1100):  # more than a page
        bucket.put_object(Bucket="pictures", Key=f"many/{number:04}.jpg", Body=b"x")
    code, _, err = prelabel("s3://pictures/in/", "--out=found.json")
    assert code == 0, err
    assert "1 files whose names aren't those of images, left out" in err
    images = json.loads((tmp_path / "found.json").read_text())["images"]
    assert sorted(image["file_name"] for image in images) == sorted(f"s3://pictures/{key}" for key in odd)
    code, out, _ = prelabel("s3://pictures/many", "--out=many.json", "--plan")
    assert (code, out) == (0, "many.json: 1100 images, 0 done, 1100 to do\n")


def test_what_a_bucket_refuses_is_one_sentence(prelabel, bucket, tmp_path, monkeypatch):
    code, _, err = prelabel("s3://nowhere/x/", "--out=found.json")
    assert code == 2 and "s3://nowhere/x/: there is no such bucket" in err
    fill(bucket, [])
    code, _, err = prelabel("s3://pictures/", "--out=found.json")
    assert code == 2 and "s3://pictures/: no image in it" in err
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    code, _, err = prelabel("s3://pictures/", "--out=found.json")
    assert code == 2 and "needed: AWS_ACCESS_KEY_ID" in err
    assert not list(tmp_path.glob("*.journal"))


def test_a_bucket_that_vanishes_is_waited_for(services, bucket, tmp_path, monkeypatch):
    fill(bucket, [f"{number}.jpg" for number in range(8)])
    proxy = Proxy(os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    port = free_ports(1)[0]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DUET_")}
    running = subprocess.Popen([ROOT / "build/release/bin/duet", "prelabel", "s3://pictures/", "--out=found.json",
                                f"--detector=127.0.0.1:{port}"], stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment)

    def wait_for(text):
        for line in running.stderr:
            if text in line:
                return
        raise AssertionError(f"ended before it said '{text}'")

    wait_for("waiting: the detector")  # the bucket has been listed
    proxy.gone = True
    detector = Service("duet-detector", f"--checkpoint={DETECTOR}", f"--port={port}", "--metrics_port=0")
    try:
        wait_for("waiting: s3://pictures/: there is no such bucket")
        proxy.gone = False
        wait_for("goes on after")
        assert running.wait(timeout=120) == 0
    finally:
        running.kill()
        detector.kill()
        proxy.close()
    assert len(json.loads((tmp_path / "found.json").read_text())["images"]) == 8
