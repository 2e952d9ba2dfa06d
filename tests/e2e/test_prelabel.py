"""`duet prelabel` on the demo's scenes: pycocotools and Label Studio's own SDK read what it writes, and the gateway gives
the same predictions."""

import contextlib
import http.server
import io
import json
import os
import shutil
import subprocess
import threading

import numpy
import pytest
import requests
from label_studio_sdk.converter import brush
from label_studio_sdk.label_interface import LabelInterface
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from conftest import DETECTOR, SEGMENTER
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


class Breaking:
    """A proxy before Label Studio that hands on the first import of predictions and loses the answer."""

    def __init__(self, target):
        proxy, self.lost = self, 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "accept-encoding")}
                answer = requests.request(self.command, target + self.path, data=body, headers=headers, timeout=150)
                if self.path.endswith("/import/predictions") and not proxy.lost:
                    proxy.lost += 1
                    self.close_connection = True
                    return
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

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
    proxy = Breaking(studio.url)
    try:
        name = f"label-studio:{project.id}"
        code, _, err = prelabel(name, f"--out={name}", f"--label_studio_url={proxy.url}", project.flags[1])
    finally:
        proxy.close()
    assert code == 0, err
    assert all(len(predictions) == 1 for predictions in project.predictions().values())
    assert proxy.lost == 1 and "waiting: " in err


def test_a_view_is_a_part_of_a_project(prelabel, project, studio, tmp_path):
    tasks = project.task_ids()
    view = studio.call("POST", "/api/dm/views/", json={"project": project.id, "data": {"filters": {
        "conjunction": "and", "items": [{"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": tasks[0]}]}}})
    code, _, err = prelabel(f"label-studio:{project.id}", "--out=found.json", f"--view={view['id']}", *project.flags)
    assert code == 0, err
    assert [image["id"] for image in json.loads((tmp_path / "found.json").read_text())["images"]] == tasks[1:]


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
