"""One trace through all processes, as a collector gets it, and the Kubernetes component that asks for traces."""

import base64
import contextlib
import http.server
import json
import os
import re
import subprocess
import threading

import pytest
import requests
import yaml
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from conftest import BINARIES, ROOT, render_with, run, tool
from processes import LABELS, free_port, trio
from label_configs import keypoint_prompt
from service import PATIENCE_S, wait_until

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
ID_DIGITS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}


def parse_otlp_json(text):
    """An export request, read strictly: a field that OTLP doesn't have is an error. Its ids are hex in JSON, where
    Protobuf's own JSON would have base64 (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding)."""
    def with_base64(value):
        if isinstance(value, list):
            return [with_base64(each) for each in value]
        if not isinstance(value, dict):
            return value
        for name, digits in ID_DIGITS.items():
            assert name not in value or re.fullmatch(f"[0-9a-f]{{{digits}}}", value[name]), value
        return {name: base64.b64encode(bytes.fromhex(each)).decode() if name in ID_DIGITS else with_base64(each)
                for name, each in value.items()}
    document = json.loads(text)
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:  # Protobuf reads numbers as well; OTLP's 64 bits are strings
                assert isinstance(span["startTimeUnixNano"], str) and isinstance(span["kind"], int)
    return json_format.ParseDict(with_base64(document), ExportTraceServiceRequest())


class Span:
    def __init__(self, service, span):
        self.service, self.name = service, span.name
        self.trace, self.id, self.parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        self.begin, self.end = span.start_time_unix_nano, span.end_time_unix_nano
        self.failed = span.status.code == 2
        self.attributes = {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}

    def __repr__(self):
        return f"{self.service}: {self.name}"


class Collector(http.server.ThreadingHTTPServer):
    """Takes OTLP over HTTP, as JSON or as Protobuf, and keeps the spans."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _CollectorHandler)
        self.spans, self.away, self.refused = [], False, 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def take(self, request):
        for resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [Span(names["service.name"], span) for span in scope.spans]

    def named(self, service, name):
        return [span for span in list(self.spans) if (span.service, span.name) == (service, name)]

    def one(self, service, name):
        wait_until(lambda: self.named(service, name))
        return self.named(service, name)[0]


class _CollectorHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = 503 if self.server.away else 200 if self.path == "/v1/traces" else 404
        if status == 200:
            is_json = self.headers["Content-Type"] == "application/json"
            self.server.take(parse_otlp_json(body) if is_json else ExportTraceServiceRequest.FromString(body))
        else:
            self.server.refused += 1
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


@pytest.fixture
def collector():
    with Collector() as server:
        yield server
        server.shutdown()


@contextlib.contextmanager
def real_collector(folder, behind):
    """OpenTelemetry's own, which hands on to `behind` as Protobuf; its URL."""
    port = free_port()
    settings = folder / "collector.yaml"
    settings.write_text(yaml.safe_dump({
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "exporters": {"otlphttp": {"endpoint": behind.url, "compression": "none"}},
        "service": {"telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlphttp"]}}}}))
    process = subprocess.Popen([tool("otelcol"), f"--config={settings}"], stdin=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)


def ask(duet, traceparent, count=1, prompts=None):
    """An instrumented Label Studio's request, or what an ingress makes of it."""
    with pytest.MonkeyPatch.context() as patch:
        send = requests.Session.send

        def with_trace(session, request, **more):
            request.headers["traceparent"] = traceparent
            return send(session, request, **more)
        patch.setattr(requests.Session, "send", with_trace)
        answer = duet.predict("RectangleLabels", "BrushLabels", count=count, prompts=prompts)
    assert answer.ok, answer.text


GATEWAY, DETECTOR, SEGMENTER = "duet-gateway", "duet-detector", "duet-segmenter"


def child(collector, parent, service, name):
    """What a process did within another span, once it has arrived."""
    def found():
        return [span for span in collector.named(service, name) if span.parent == parent.id]
    wait_until(found)
    (span,) = found()
    # One machine's clock: a part is within its whole. But a service's span ends when its answer has been sent, and then
    # the caller may have it already.
    assert span.trace == TRACE and parent.begin <= span.begin <= span.end, span
    assert span.end <= parent.end or service != parent.service, span
    return span


def served(collector, parent, service, method):
    """A call of the gateway's, and within it what the service made of it."""
    return child(collector, child(collector, parent, GATEWAY, method), service, method)


def assert_it_is_one_tree(collector):
    """Of the first /predict for a task that is clicked into soon."""
    request = collector.one(GATEWAY, "POST /predict")
    assert (request.trace, request.parent) == (TRACE, CALLER)
    assert request.attributes["http.response.status_code"] == 200
    task = child(collector, request, GATEWAY, "predict task")
    assert task.attributes["duet.task_id"] == 1
    assert child(collector, task, GATEWAY, "fetch image").attributes["duet.cached"] is False
    child(collector, task, GATEWAY, "write regions")
    detect = served(collector, task, DETECTOR, "duet.detector.v1.Detector/Detect")
    assert detect.attributes["duet.request_id"] == request.attributes["duet.request_id"]
    for name in ("wait in queue", "decode image", "detect"):
        child(collector, detect, DETECTOR, name)


def assert_the_image_is_embedded(collector):
    """For which that answer doesn't wait."""
    embed = collector.one(SEGMENTER, "duet.segmenter.v1.Segmenter/Embed")
    assert (embed.trace, embed.attributes["duet.embedding"]) == (TRACE, "miss")
    for name in ("decode image", "wait in queue", "encoder"):
        child(collector, embed, SEGMENTER, name)


def assert_a_click_is_a_tree(collector, request):
    prompt = child(collector, request, GATEWAY, "segment prompt")
    child(collector, prompt, GATEWAY, "fetch image")
    segment = served(collector, prompt, SEGMENTER, "duet.segmenter.v1.Segmenter/Segment")
    assert segment.attributes["duet.embedding"] == "hit"
    for name in ("find embedding", "wait in queue", "mask decoder"):
        child(collector, segment, SEGMENTER, name)


# ./duet test --only=collector builds it.
COLLECTORS = ["ours", "OpenTelemetry's"] if (ROOT / ".duet/tools/bin/otelcol").exists() else ["ours"]


@pytest.mark.parametrize("through", COLLECTORS)
def test_a_prediction_is_one_trace_from_its_caller_to_the_networks(collector, tmp_path, through):
    with contextlib.ExitStack() as stack:
        url = collector.url if through == "ours" else stack.enter_context(real_collector(tmp_path, collector))
        flags = [f"--otlp_endpoint={url}", "--otlp_sample=0"]  # the caller decides
        duet = stack.enter_context(trio(detector_flags=flags, segmenter_flags=flags, gateway_flags=flags))

        ask(duet, f"00-{TRACE}-{CALLER}-01")
        assert_it_is_one_tree(collector)
        assert_the_image_is_embedded(collector)
        while (line := duet.gateway.wait_for_event("http.done"))["route"] != "/predict":
            pass  # the answers to readiness probes that failed
        assert line["trace_id"] == TRACE
        assert duet.detector.wait_for_event("rpc.done")["trace_id"] == TRACE

        ask(duet, f"00-{TRACE}-{CALLER}-00")  # says that it isn't recorded
        ask(duet, "")                         # begins a trace, of which none are sampled
        image = type("Image", (), {"width": 53, "height": 37})
        ask(duet, f"00-{TRACE}-{CALLER}-01", prompts=[keypoint_prompt(image, 20, 20, LABELS[0])])
        wait_until(lambda: len(collector.named(GATEWAY, "POST /predict")) == 2)
        assert_a_click_is_a_tree(collector, collector.named(GATEWAY, "POST /predict")[1])
        assert {span.trace for span in collector.spans} == {TRACE}
        assert len(collector.named(DETECTOR, "detect")) == 1


def test_a_collector_that_is_away_costs_no_request_and_is_logged_once(collector):
    collector.away = True
    flags = [f"--otlp_endpoint={collector.url}"]
    with trio(gateway_flags=flags) as duet:
        for _ in range(3):
            assert duet.predict("RectangleLabels").ok
        wait_until(lambda: collector.refused >= 2)
        collector.away = False
        collector.one(GATEWAY, "POST /predict")
        wait_until(lambda: duet.gateway.metrics().get('duet_trace_spans_total{outcome="sent"}'))
        metrics = duet.gateway.metrics()
        assert metrics['duet_trace_spans_total{outcome="full"}'] == 0
        duet.gateway.process.terminate()
        code, lines = duet.gateway.last_words()
        events = [json.loads(line)["event"] for line in lines if line.startswith("{")]
        assert code == 0 and events.count("traces.failed") == 1 and events.count("traces.sent_again") == 1


def test_without_an_endpoint_nothing_is_sent_and_the_trace_is_handed_on(tmp_path):
    with trio() as duet:
        ask(duet, f"00-{TRACE}-{CALLER}-01")
        assert duet.detector.wait_for_event("rpc.done")["trace_id"] == TRACE
        assert not [name for name in duet.gateway.metrics() if name.startswith("duet_trace")]


@pytest.mark.parametrize("name", BINARIES)
def test_an_endpoint_that_is_no_url_is_one_line(name, tmp_path):
    checkpoint = [] if name == "duet-gateway" else ["--checkpoint=/no/such/file"]
    environment = {**os.environ, "DUET_OTLP_ENDPOINT": "collector:4318"}
    started = run(ROOT / "build/release/bin" / name, "--port=0", *checkpoint, env=environment)

    assert started.returncode == 1
    (error,) = [line for line in started.stderr.splitlines() if "startup.failed" in line]
    assert "--otlp_endpoint" in error and "collector:4318" in error


@pytest.fixture
def with_traces(tmp_path_factory):
    """All objects of the base and the trainer with the component."""
    return list(yaml.safe_load_all(render_with(tmp_path_factory, "label-studio", "trainer", "traces")))


@pytest.mark.parametrize("name", [*BINARIES, "duet-trainer"])
def test_the_component_tells_each_process_of_the_collector(with_traces, help_of, name):
    (pod,) = [each["spec"]["template"]["spec"] for each in with_traces
              if (each["kind"], each["metadata"]["name"]) == ("Deployment", name)]
    sources = [each["configMapRef"]["name"] for each in pod["containers"][0]["envFrom"]]
    (values,) = [each["data"] for each in with_traces
                 if each["kind"] == "ConfigMap" and each["metadata"]["name"] in sources]

    assert set(values) == {"DUET_OTLP_ENDPOINT", "DUET_OTLP_SAMPLE"}
    assert all(f"env: {variable})" in help_of(name) for variable in values)


def test_the_component_lets_the_models_reach_the_collector(with_traces):
    (policy,) = [each for each in with_traces
                 if (each["kind"], each["metadata"]["name"]) == ("NetworkPolicy", "duet-to-collector")]
    (values,) = [each["data"] for each in with_traces if each["metadata"]["name"].startswith("duet-traces")]
    service, namespace, port = re.fullmatch(r"http://([\w-]+)\.([\w-]+):(\d+)", values["DUET_OTLP_ENDPOINT"]).groups()

    to_collector = policy["spec"]["egress"][0]
    assert to_collector["ports"] == [{"port": int(port), "protocol": "TCP"}]
    assert to_collector["to"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": namespace}
