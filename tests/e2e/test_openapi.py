"""The served OpenAPI document: valid, its examples accepted, and real answers as it says. Its routes are held against
the router by tests/contract/gateway/openapi_test.cc."""

import copy

import jsonschema
import pytest
import requests
from openapi_spec_validator import OpenAPIV31SpecValidator

from conftest import DETECTOR, SEGMENTER
from label_configs import config, keypoint_prompt
from label_studio import data_uri
from service import Service, wait_until
from test_interactive import inside


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """The address of a gateway with both models and a profile named street."""
    profiles = tmp_path_factory.mktemp("openapi") / "profiles.json"
    profiles.write_text('{"street": {"score_threshold": 0.3}}')
    started = []

    def start(name, *flags):
        service = Service(name, "--port=0", *flags)
        started.append(service)
        return service

    detector = start("duet-detector", f"--checkpoint={DETECTOR}", "--metrics_port=0")
    segmenter = start("duet-segmenter", f"--checkpoint={SEGMENTER}", "--metrics_port=0")
    port = start("duet-gateway", f"--detector=127.0.0.1:{detector.ready()}",
                 f"--segmenter=127.0.0.1:{segmenter.ready()}", f"--profiles={profiles}").ready()
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: requests.get(f"{url}/readyz", timeout=5).ok)
    yield url
    for service in started:
        service.kill()


@pytest.fixture(scope="module")
def document(gateway):
    return requests.get(f"{gateway}/openapi.json", timeout=10).json()


def operations(document):
    return [(path, method, operation) for path, methods in document["paths"].items()
            for method, operation in methods.items()]


def bodies_of(operation):
    """The example bodies, None for a request without one."""
    if "requestBody" not in operation:
        return [None]
    content = operation["requestBody"]["content"]["application/json"]
    return [content["example"]] if "example" in content else [each["value"] for each in content["examples"].values()]


def schema_in(document, content):
    """A schema of the document that can stand alone."""
    return {**copy.deepcopy(content["schema"]), "components": document["components"]}


def described(document, operation, status):
    response = operation["responses"][str(status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    return response


def check(document, operation, answer):
    """The status is described, and the body is as its description says."""
    assert str(answer.status_code) in operation["responses"], f"{answer.status_code} {answer.text[:300]}"
    response = described(document, operation, answer.status_code)
    kind = answer.headers["Content-Type"].split(";")[0]
    assert kind in response["content"]
    for header in response.get("headers", {}):
        assert header in answer.headers
    if kind == "application/json":
        jsonschema.Draft202012Validator(schema_in(document, response["content"][kind])).validate(answer.json())


def ask(gateway, path, method, operation, body):
    query = {each["name"]: each["example"] for each in operation.get("parameters", []) if each["in"] == "query"}
    for each in operation.get("parameters", []):
        if each["in"] == "path" and "example" in each:
            path = path.replace(f"{{{each['name']}}}", each["example"])
    return requests.request(method, gateway + path, params=query, json=body, timeout=60)


def test_the_document_is_valid_openapi(document):
    OpenAPIV31SpecValidator(document).validate()


@pytest.mark.parametrize("prefix", ["", "/p/street"])
def test_every_example_is_accepted_and_answered_as_described(gateway, document, prefix):
    for path, method, operation in operations(document):
        for body in bodies_of(operation):
            if body is not None:
                jsonschema.Draft202012Validator(
                    schema_in(document, operation["requestBody"]["content"]["application/json"])).validate(body)
            answer = ask(gateway, prefix + path, method, operation, body)
            check(document, operation, answer)
            # A well-formed request for a job or a project is refused: there is none, no trainer, and no token.
            refused = path in ("/job_status", "/jobs/{id}", "/ui/rollback") or path.startswith(("/train/", "/review/", "/embed/"))
            assert answer.ok or refused, f"{method} {path}: {answer.text[:300]}"


def test_regions_of_every_kind_are_as_described(gateway, document, scenes, labels):
    scene, operation = scenes[0], document["paths"]["/predict"]["post"]
    thing = scene.largest()
    task = {"id": 1, "data": {"image": data_uri(scene.file)}}
    click = {"result": [keypoint_prompt(scene, *inside(thing.mask), thing.label)]}
    seen = set()
    for tags, context in [(("RectangleLabels", "BrushLabels"), None), (("PolygonLabels",), None),
                          (("EllipseLabels", "KeyPointLabels"), None), (("BrushLabels",), click)]:
        answer = requests.post(f"{gateway}/predict", timeout=60, json={
            "tasks": [task], "project": "1.1", "params": {"context": context},
            "label_config": config(labels, *tags, smart=("KeyPointLabels",))})
        assert answer.ok, answer.text[:300]
        check(document, operation, answer)
        seen |= {region["type"] for region in answer.json()["results"][0]["result"]}
    assert seen == {"rectanglelabels", "brushlabels", "polygonlabels", "ellipselabels", "keypointlabels"}


@pytest.mark.parametrize("body", ["", "no json", "[]", "{}", '{"tasks": [{"id": 1, "data": {}}], "label_config": "<"}'])
def test_refusals_are_as_described(gateway, document, body):
    for path, method, operation in operations(document):
        if method != "post":
            continue
        answer = requests.post(gateway + path, data=body, headers={"Content-Type": "application/json"}, timeout=10)
        check(document, operation, answer)
        answer = requests.post(gateway + path, data=body, headers={"Content-Type": "text/plain"}, timeout=10)
        assert answer.status_code == 415
        check(document, operation, answer)
        answer = requests.post(gateway + path, json={}, headers={"Origin": "http://elsewhere.example"}, timeout=10)
        assert answer.status_code == 403
        check(document, operation, answer)


def test_an_unknown_profile_is_refused_as_described_everywhere(gateway, document):
    for path, method, operation in operations(document):
        answer = ask(gateway, "/p/nobody" + path, method, operation, bodies_of(operation)[0])
        assert answer.status_code == 404
        check(document, operation, answer)
