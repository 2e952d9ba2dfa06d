"""Where a task's image may be: each kind of storage of a real Label Studio, and each kind of token. Every test gets a
gateway of its own, with the session's models behind it."""

import functools
import http.server
import json
import threading

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

from label_configs import config
from recorder import Recorder

NAME = "a b.jpg"  # a space, for everyone who escapes too much or too little


@pytest.fixture
def gateway(start_gateway, studio):
    """Starts a gateway for this Label Studio; further environment is given as keywords. Returns its address."""
    def start(*flags, token=studio.token, **variables):
        if token:
            variables["DUET_LABEL_STUDIO_API_KEY"] = token
        return start_gateway(f"--label_studio_url={studio.url}", *flags, environment=variables)

    return start


@pytest.fixture
def project(studio, labels, request):
    project = studio.create_project(request.node.name[:50], config(labels, "RectangleLabels"))
    yield project
    project.delete()


def predict(project, url):
    """Connects the backend and asks for predictions: those that are stored, by task."""
    project.add_backend(url)
    project.retrieve_predictions()
    return project.predictions()


def assert_all_found(stored):
    assert stored
    for task, predictions in stored.items():
        assert len(predictions) == 1 and predictions[0]["result"], f"task {task}: {predictions}"


def sync(studio, kind, **settings):
    """Connects a storage and lets Label Studio make tasks of what is in it."""
    storage = studio.call("POST", f"/api/storages/{kind}", json={"use_blob_urls": True, **settings})
    studio.call("POST", f"/api/storages/{kind}/{storage['id']}/sync", json={})


def test_an_upload_comes_with_a_personal_access_token(gateway, personal_token, project, scenes):
    project.upload([scenes[0].file, scenes[1].file])

    assert_all_found(predict(project, gateway(token=personal_token)))


def test_an_upload_without_a_token_is_left_open(gateway, project, scenes):
    project.upload([scenes[0].file])

    stored = predict(project, gateway(token="0" * 40))

    assert list(stored.values()) == [[]]


@pytest.fixture
def local_files(duet, studio, project, scenes):
    """Label Studio's folder of local files, with one image connected to the project."""
    root = duet.state / "label-studio" / "files"
    folder = root / f"project{project.id}"
    folder.mkdir()
    (folder / NAME).write_bytes(scenes[0].file.read_bytes())
    sync(studio, "localfiles", project=project.id, path=str(folder), regex_filter=".*jpg")
    return root


def test_local_files_come_through_label_studio(gateway, project, local_files):
    assert_all_found(predict(project, gateway()))


def test_local_files_come_from_the_document_root_without_any_token(gateway, project, local_files):
    assert_all_found(predict(project, gateway(f"--local_files_root={local_files}", token=None)))


@pytest.fixture
def web_server(scenes, tmp_path):
    """A web server with one image."""
    (tmp_path / "picture.jpg").write_bytes(scenes[0].file.read_bytes())
    handler = functools.partial(_QuietHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.parametrize("allowed", [False, True])
def test_a_web_server_of_the_house_has_to_be_allowed(gateway, project, web_server, allowed):
    project.import_urls([f"http://{web_server}/picture.jpg"])

    stored = predict(project, gateway(*([f"--allowed_private={web_server}"] if allowed else [])))

    if allowed:
        assert_all_found(stored)
    else:
        assert list(stored.values()) == [[]]


BUCKET = "pictures"


class Store:
    """An S3 of moto's with one image; signatures are checked only after `demand_signatures`."""

    def __init__(self, image):
        self.server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self.server.start()
        self.where = "127.0.0.1:%d" % self.server.get_host_and_port()[1]
        self.url = f"http://{self.where}"
        self._control("reset-auth", "inf")
        options = {"endpoint_url": self.url, "region_name": "us-east-1", "aws_access_key_id": "any",
                   "aws_secret_access_key": "any"}
        iam = boto3.client("iam", **options)
        iam.create_user(UserName="duet")
        key = iam.create_access_key(UserName="duet")["AccessKey"]
        self.key, self.secret = key["AccessKeyId"], key["SecretAccessKey"]
        iam.put_user_policy(UserName="duet", PolicyName="read", PolicyDocument=json.dumps({
            "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}))
        s3 = boto3.client("s3", **options)
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key=f"imgs/{NAME}", Body=image, ContentType="image/jpeg")

    def demand_signatures(self):
        self._control("reset-auth", "0")

    def close(self):
        self._control("reset-auth", "inf")
        self._control("reset", "")
        self.server.stop()

    def _control(self, what, body):
        requests.post(f"{self.url}/moto-api/{what}", data=body, timeout=10).raise_for_status()


@pytest.fixture
def store(scenes):
    store = Store(scenes[0].file.read_bytes())
    yield store
    store.close()


def keys(store, secret):
    return {"AWS_ACCESS_KEY_ID": store.key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_ENDPOINT_URL_S3": store.url,
            "AWS_REGION": "us-east-1"}


def test_s3_with_our_own_keys_is_signed_as_s3_wants_it(gateway, project, store):
    project.import_urls([f"s3://{BUCKET}/imgs/{NAME}"])
    store.demand_signatures()

    assert_all_found(predict(project, gateway(token=None, **keys(store, store.secret))))


def test_s3_with_a_wrong_secret_is_left_open(gateway, project, store):
    project.import_urls([f"s3://{BUCKET}/imgs/{NAME}"])
    store.demand_signatures()

    stored = predict(project, gateway(token=None, **keys(store, "wrong")))

    assert list(stored.values()) == [[]]


@pytest.mark.parametrize("presign", [True, False])
def test_s3_without_keys_comes_through_label_studio(gateway, studio, project, store, presign):
    sync(studio, "s3", project=project.id, bucket=BUCKET, prefix="imgs", regex_filter=".*jpg", presign=presign,
         s3_endpoint=store.url, aws_access_key_id=store.key, aws_secret_access_key=store.secret,
         region_name="us-east-1")
    backend = Recorder(gateway(f"--allowed_private={store.where}"))
    try:
        assert_all_found(predict(project, backend.url))
    finally:
        backend.close()

    (call,) = backend.of("/predict")
    assert call.request["tasks"][0]["data"]["image"] == f"s3://{BUCKET}/imgs/{NAME}"


def test_basic_auth_guards_predictions_but_not_events(gateway, project, scenes, studio):
    url = gateway("--basic_auth_user=ann", DUET_BASIC_AUTH_PASSWORD="s3cret:x")
    refused = requests.post(f"{studio.url}/api/ml", timeout=30, headers={"Authorization": f"Token {studio.token}"},
                            json={"url": url, "project": project.id, "auth_method": "BASIC_AUTH",
                                  "basic_auth_user": "ann", "basic_auth_pass": "wrong"})
    assert refused.status_code == 400 and "authentication" in refused.text
    backend = Recorder(url)
    try:
        (task,) = project.upload([scenes[0].file])
        project.add_backend(backend.url, auth_method="BASIC_AUTH", basic_auth_user="ann", basic_auth_pass="s3cret:x")
        project.retrieve_predictions()
        ((prediction,),) = project.predictions().values()
        project.annotate(task, prediction["result"])
    finally:
        backend.close()

    hooks = backend.of("/webhook")
    assert hooks and all(call.status == 200 for call in hooks)
