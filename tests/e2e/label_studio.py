"""What a user does in Label Studio, through its REST API: projects, backends, imports, predictions, clicks."""

import base64
import dataclasses
import io
import json

import requests
from PIL import Image


@dataclasses.dataclass
class LabelStudio:
    url: str
    token: str

    def call(self, method, path, **arguments):
        """The decoded JSON answer; fails the test on any HTTP error."""
        response = requests.request(
            method, self.url + path, headers={"Authorization": f"Token {self.token}"}, timeout=150, **arguments)
        assert response.ok, f"{method} {path}: {response.status_code} {response.text[:500]}"
        return response.json() if response.content else None

    def create_project(self, title, label_config):
        answer = self.call("POST", "/api/projects", json={"title": title, "label_config": label_config})
        return Project(self, answer["id"])


@dataclasses.dataclass
class Project:
    studio: LabelStudio
    id: int
    backend_id: int | None = None

    def add_backend(self, url, **extra):
        """Settings → Model → Connect Model."""
        answer = self.studio.call("POST", "/api/ml", json={
            "url": url, "project": self.id, "title": "duet", "is_interactive": True, **extra})
        self.backend_id = answer["id"]

    def backend(self):
        """Its state, as Settings → Model shows it; asking makes Label Studio look at the backend again."""
        return self.studio.call("GET", f"/api/ml/{self.backend_id}")

    def set_label_config(self, label_config):
        """Settings → Labeling Interface → Save."""
        self.studio.call("PATCH", f"/api/projects/{self.id}", json={"label_config": label_config})

    def upload(self, files):
        """As the import dialog does it: each file by itself, then one task per file. Returns task ids in order."""
        uploads = []
        for file in files:
            answer = self.studio.call(
                "POST", f"/api/projects/{self.id}/import?commit_to_project=false",
                files={file.name: (file.name, file.read_bytes(), "image/jpeg")})
            uploads += answer["file_upload_ids"]
        return self._reimport(uploads)

    def import_urls(self, urls):
        return self.import_tasks([{"image": url} for url in urls])

    def import_tasks(self, tasks):
        """Their data; returns their ids."""
        known = set(self.task_ids())
        self.studio.call("POST", f"/api/projects/{self.id}/import", json=tasks)
        return [task for task in self.task_ids() if task not in known]

    def _reimport(self, uploads):
        known = set(self.task_ids())
        self.studio.call("POST", f"/api/projects/{self.id}/reimport",
                         json={"file_upload_ids": uploads, "files_as_tasks_list": False})
        return [task for task in self.task_ids() if task not in known]

    def task_ids(self):
        answer = self.studio.call("GET", f"/api/tasks?project={self.id}&fields=task_only&page_size=100")
        return sorted(task["id"] for task in answer["tasks"])

    def retrieve_predictions(self):
        """Data manager → all tasks → Retrieve Predictions. Label Studio answers 200 whatever the backend did."""
        return self.studio.call(
            "POST", f"/api/dm/actions?id=retrieve_tasks_predictions&project={self.id}",
            json={"selectedItems": {"all": True, "excluded": []}, "project": str(self.id)})

    def predictions(self):
        """What is stored, by task id. Reading it does not ask the backend."""
        stored = self.studio.call("GET", f"/api/predictions?project={self.id}")
        by_task = {task: [] for task in self.task_ids()}
        for prediction in stored:
            by_task[prediction["task"]].append(prediction)
        return by_task

    def open_task(self, task):
        """As the labelling page does; a task without prediction makes Label Studio ask the backend."""
        return self.studio.call("GET", f"/api/tasks/{task}?project={self.id}")

    def interact(self, task, prompts):
        """A click or drag with a smart tool: the regions suggested, or the errors shown."""
        answer = self.studio.call("POST", f"/api/ml/{self.backend_id}/interactive-annotating",
                                  json={"task": task, "context": {"result": prompts}})
        assert not answer.get("errors"), answer["errors"]
        return answer["data"]["result"]

    def annotate(self, task, result):
        return self.studio.call("POST", f"/api/tasks/{task}/annotations/?project={self.id}",
                                json={"result": result, "lead_time": 1.0})

    def export(self, kind):
        """The exported file's bytes."""
        response = requests.get(f"{self.studio.url}/api/projects/{self.id}/export?exportType={kind}",
                                headers={"Authorization": f"Token {self.studio.token}"}, timeout=150)
        assert response.ok, response.text[:500]
        return response.content

    def delete(self):
        self.studio.call("DELETE", f"/api/projects/{self.id}")


def data_uri(file, trailer=b""):
    """`trailer`: bytes after the end of the image, which make it another file that looks the same."""
    return "data:image/jpeg;base64," + base64.b64encode(file.read_bytes() + trailer).decode()


def image_size(data):
    return Image.open(io.BytesIO(data)).size


def dump(thing):
    return json.dumps(thing)[:800]
