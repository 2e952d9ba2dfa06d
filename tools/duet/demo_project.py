"""Makes a project with sample pictures in a Label Studio, connected to Duet, with predictions.

usage: demo_project.py [--unlabelled] <FACTS
FACTS are name=value with a zero byte after each: url and token of the Label Studio, backend, label_config of the loaded model, and
file, several times. Prints the address of the first task. With --unlabelled, and the fact address, it makes nothing: it prints
the model's first classes if the project at that address has a label for none of its classes. Ends with a sentence and 1 if
Label Studio or Duet refuses something.
"""

import json
import os
import re
import sys
import urllib.error
import urllib.request
import uuid
import xml.etree.ElementTree

TITLE = "Duet's samples"
SECONDS = 150
CLASSES_SHOWN = 5


class LabelStudio:
    def __init__(self, url, token):
        self.url, self.token = url.rstrip("/"), token
        # It is on this machine.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method, path, body=None, content_type="application/json"):
        """The decoded answer."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=body, method=method, headers={
            "Authorization": f"Token {self.token}", "Content-Type": content_type})
        try:
            with self.opener.open(request, timeout=SECONDS) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise OSError(f"Label Studio answers {error.code} to {method} {path}: {error.read(300).decode(errors='replace')}") from error

    def upload(self, project, path):
        """The id of the uploaded file, which is no task yet."""
        boundary, name = uuid.uuid4().hex, os.path.basename(path)
        with open(path, "rb") as file:
            body = (f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
                    "Content-Type: image/jpeg\r\n\r\n").encode() + file.read() + f"\r\n--{boundary}--\r\n".encode()
        answer = self.call("POST", f"/api/projects/{project}/import?commit_to_project=false", body,
                           f"multipart/form-data; boundary={boundary}")
        return answer["file_upload_ids"]


def make(studio, backend, label_config, files):
    """The address of the first file's task."""
    project = studio.call("POST", "/api/projects", {
        "title": TITLE, "label_config": label_config, "description": "Shapes that the demo models know: open one, correct, submit."})["id"]
    try:
        uploads = [upload for file in files for upload in studio.upload(project, file)]
        studio.call("POST", f"/api/projects/{project}/reimport", {"file_upload_ids": uploads, "files_as_tasks_list": False})
        studio.call("POST", "/api/ml", {"url": backend, "project": project, "title": "Duet", "is_interactive": True})
        studio.call("POST", f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}",
                    {"selectedItems": {"all": True, "excluded": []}, "project": str(project)})
        tasks = studio.call("GET", f"/api/tasks?project={project}&fields=task_only&page_size=100")["tasks"]
    except Exception:
        studio.call("DELETE", f"/api/projects/{project}")  # the next time begins anew
        raise
    first = next(task["id"] for task in sorted(tasks, key=lambda task: task["id"]))
    return f"{studio.url}/projects/{project}/data?task={first}"


def labels_of(label_config):
    """What <Label value="…"> and the like name."""
    return [element.get("value") for element in xml.etree.ElementTree.fromstring(label_config).iter() if element.tag == "Label"]


def unlabelled(studio, address, label_config):
    """The first of the model's classes, if the project at the address has a label for none; else ""."""
    project = re.search(r"/projects/(\d+)/", address)[1]
    classes, labels = labels_of(label_config), labels_of(studio.call("GET", f"/api/projects/{project}")["label_config"])
    if not classes or set(classes) & set(labels):
        return ""
    return ", ".join(classes[:CLASSES_SHOWN]) + (", …" if len(classes) > CLASSES_SHOWN else "")


def main():
    records = [record.split("=", 1) for record in sys.stdin.buffer.read().decode().split("\0") if "=" in record]
    facts = dict(records)
    files = [value for name, value in records if name == "file"]
    try:
        studio = LabelStudio(facts["url"], facts["token"])
        if "--unlabelled" in sys.argv[1:]:
            print(unlabelled(studio, facts["address"], facts["label_config"]))
        else:
            print(make(studio, facts["backend"], facts["label_config"], files))
    except (OSError, ValueError, KeyError, StopIteration, TypeError, xml.etree.ElementTree.ParseError) as error:
        print(" ".join(str(error).split())[:500], file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
