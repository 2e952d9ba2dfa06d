"""What replicas share through Redis, by the binaries themselves."""

import base64
import contextlib
import json
import urllib.parse

import pytest
import requests

from conftest import run, tool
from label_configs import config
from processes import CHECKPOINT, IMAGE, LABELS, Redis, data_uri
from service import Service, predict, wait_until


@pytest.fixture
def redis():
    with Redis() as redis:
        yield redis


@pytest.fixture
def start():
    """Starts a process that is killed in the end."""
    with contextlib.ExitStack() as stack:
        def start(name, *flags):
            service = Service(name, "--port=0", *flags)
            stack.callback(service.kill)
            service.ready()
            return service
        yield start


def model(start, name, *flags):
    return start(name, f"--checkpoint={CHECKPOINT[name]}", "--metrics_port=0", "--threads=1", *flags)


def call(service, method, **request):
    result = run(tool("grpcurl"), "-plaintext", "-d", json.dumps(request), f"127.0.0.1:{service.port}",
                 f"duet.segmenter.v1.Segmenter/{method}")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_click_on_an_image_that_another_segmenter_encoded(redis, start, precision):
    flags = [f"--embedding_store={redis.url}", f"--embedding_precision={precision}"]
    first, second = model(start, "duet-segmenter", *flags), model(start, "duet-segmenter", *flags)
    image = {"data": base64.b64encode(IMAGE.read_bytes()).decode()}
    prompts = [{"points": [{"x": 20, "y": 20, "label": 1}]}]
    answer = call(first, "Segment", image=image, prompts=prompts)
    wait_until(lambda: first.metrics().get('duet_redis_commands_total{command="SET",outcome="stored"}'))

    shared = call(second, "Segment", image_id=answer["image_id"], prompts=prompts)

    assert shared["embedding_cached"] and shared["model_version"] == answer["model_version"]
    assert shared["results"] == answer["results"]
    assert second.metrics()['duet_segmenter_embeddings_total{result="shared"}'] == 1
    assert "duet_segmenter_encode_seconds_count" not in second.metrics()


def test_a_gateway_uses_what_setup_told_another(redis, start):
    detector = model(start, "duet-detector")
    gateways = [start("duet-gateway", f"--detector=127.0.0.1:{detector.port}", "--segmenter=",
                      f"--settings_store={redis.url}") for _ in range(2)]
    for gateway in gateways:
        wait_until(lambda: requests.get(f"http://127.0.0.1:{gateway.port}/readyz", timeout=5).ok)
    label_config = config(LABELS, "RectangleLabels")

    setup = requests.post(f"http://127.0.0.1:{gateways[0].port}/setup", timeout=5, json={
        "project": "1.1", "schema": label_config, "extra_params": {"score_threshold": 0.25}})
    answer = predict(gateways[1].port, [data_uri(IMAGE)], label_config)

    assert answer.json()["results"][0]["model_version"] == setup.json()["model_version"]


def test_a_password_of_special_characters_is_percent_encoded_in_the_variable():
    password = "p@ss/w:r%d #1"
    with Redis("--requirepass", password) as redis:
        url = f"redis://:{urllib.parse.quote(password, safe='')}@127.0.0.1:{redis.port}"
        gateway = Service("duet-gateway", "--port=0", "--detector=127.0.0.1:1", "--segmenter=",
                          environment={"DUET_SETTINGS_STORE": url})
        try:
            gateway.ready()
            wait_until(lambda: gateway.metrics()["duet_redis_up"] == 1)
        finally:
            gateway.kill()
