"""A reverse proxy between Label Studio and Duet that keeps every call, since Label Studio's own answers hide them."""

import dataclasses
import http.client
import http.server
import json
import threading
from urllib.parse import urlsplit

import strict_validation


@dataclasses.dataclass
class Call:
    method: str
    path: str
    request: object  # decoded JSON, None without a body
    status: int
    response: object


class Recorder(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, target):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target)
        self.calls = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def clear(self):
        self.calls.clear()

    def of(self, path):
        return [call for call in self.calls if call.path.split("?")[0] == path]

    def close(self):
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def forward(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        target = self.server.target
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=130)
        headers = {key: value for key, value in self.headers.items() if key.lower() not in ("host", "connection")}
        try:
            connection.request(self.command, target.path.rstrip("/") + self.path, body=body or None, headers=headers)
            answer = connection.getresponse()
            content, status = answer.read(), answer.status
        except OSError as error:
            content, status = json.dumps({"error": str(error)}).encode(), 502
        finally:
            connection.close()
        call = Call(self.command, self.path, _decoded(body), status, _decoded(content))
        self.server.calls.append(call)
        if self.path.endswith("/predict") and status == 200:
            strict_validation.check(call.request, call.response)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = forward


def _decoded(body):
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode("utf-8", "replace")
