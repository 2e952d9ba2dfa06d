"""Uploads pictures to a project of Label Studio, pre-labelled: rectangles, and polygons where the label config has a place for them.

    export LABEL_STUDIO_TOKEN=…
    python prelabel.py --label_studio=http://localhost:8080 --project=1 pictures/*.jpg

Duet's gateway does this by itself for a project that it is connected to. This is for scripts that want to decide what becomes a
region: here everything above a score, of classes that the label config has.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys
import urllib.error
import urllib.request
import xml.etree.ElementTree as xml
from typing import Any

from duet_client import Box, Detector, DuetError, Mask, Segmenter


class LabelStudio:
    """The few calls that are needed of its REST API."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url.rstrip("/"), token

    def call(self, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        request = urllib.request.Request(self.url + path, body, {"Authorization": f"Token {self.token}", "Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            sys.exit(f"{self.url}{path}: {error.code} {error.read()[:300].decode(errors='replace')}")
        except urllib.error.URLError as error:
            sys.exit(f"{self.url}{path}: {error.reason}")

    def upload(self, project: int, picture: pathlib.Path) -> int:
        """Returns the new task."""
        boundary = "a7f3c1-duet-client-5be2"
        body = b"".join([
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{picture.name}"\r\n\r\n'.encode(),
            picture.read_bytes(), f"\r\n--{boundary}--\r\n".encode()])
        answer = self.call(f"/api/projects/{project}/import?return_task_ids=true", body, f"multipart/form-data; boundary={boundary}")
        (task,) = answer["task_ids"]
        return int(task)


class Places:
    """Where a label config has a place for which shape."""

    def __init__(self, label_config: str) -> None:
        root = xml.fromstring(label_config)
        self.found: dict[str, tuple[str, str]] = {}
        self.labels: dict[str, set[str]] = {}
        for tag in ("RectangleLabels", "PolygonLabels"):
            for control in root.iter(tag):
                self.found[tag] = (control.attrib["name"], control.attrib["toName"])
                self.labels[tag] = {label.attrib["value"] for label in control.iter("Label")}

    def region(self, tag: str, label: str, score: float, value: dict[str, Any], size: tuple[int, int]) -> list[dict[str, Any]]:
        """A region of Label Studio, whose coordinates are percent of the image; none if there is no place for it."""
        if label not in self.labels.get(tag, ()):
            return []
        name, to = self.found[tag]
        return [{"from_name": name, "to_name": to, "type": tag.lower(), "score": score, "original_width": size[0],
                 "original_height": size[1], "image_rotation": 0, "value": {**value, tag.lower(): [label]}}]


def rectangle(box: Box, width: int, height: int) -> dict[str, Any]:
    return {"x": 100 * box.x_min / width, "y": 100 * box.y_min / height, "width": 100 * box.width / width,
            "height": 100 * box.height / height, "rotation": 0}


def outline(mask: Mask, width: int, height: int) -> dict[str, Any] | None:
    """The largest ring, since a polygon of Label Studio is one ring."""
    rings = [each.points for each in mask.polygons if not each.hole and len(each.points) > 2]
    if not rings:
        return None
    return {"points": [[100 * x / width, 100 * y / height] for x, y in max(rings, key=len)], "closed": True}


def regions(picture: pathlib.Path, places: Places, detector: Detector, segmenter: Segmenter,
            score: float) -> tuple[list[dict[str, Any]], str, float]:
    """(regions, the version of what made them, their mean score)."""
    found = detector.detect(picture, score_threshold=score, masks=False)
    size = width, height = found.width, found.height
    version, result = found.model_version, []
    for each in found.detections:
        result += places.region("RectangleLabels", each.label, each.score, rectangle(each.box, width, height), size)
    if "PolygonLabels" in places.found and found.detections:
        answer = segmenter.segment(picture, [each.box for each in found.detections], polygons=True)
        version += f"+{answer.model_version}"
        for each, mask in zip(found.detections, answer.best(), strict=True):
            shape = outline(mask, width, height)
            if shape:
                result += places.region("PolygonLabels", each.label, each.score, shape, size)
    scores = [region["score"] for region in result]
    return result, version, sum(scores) / len(scores) if scores else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("pictures", nargs="+", type=pathlib.Path)
    parser.add_argument("--label_studio", required=True, help="its URL; its token is in LABEL_STUDIO_TOKEN")
    parser.add_argument("--project", required=True, type=int)
    parser.add_argument("--detector", default="localhost:50051")
    parser.add_argument("--segmenter", default="localhost:50052")
    parser.add_argument("--score", default=0.3, type=float, help="what is less sure becomes no region")
    flags = parser.parse_args()
    token = os.environ.get("LABEL_STUDIO_TOKEN") or sys.exit("LABEL_STUDIO_TOKEN is empty: put a token of Label Studio there")
    studio = LabelStudio(flags.label_studio, token)
    places = Places(studio.call(f"/api/projects/{flags.project}")["label_config"])
    if not places.found:
        sys.exit(f"project {flags.project} has a label config with neither RectangleLabels nor PolygonLabels")
    with Detector(flags.detector) as detector, Segmenter(flags.segmenter) as segmenter:
        for picture in flags.pictures:
            try:
                result, version, score = regions(picture, places, detector, segmenter, flags.score)
            except (DuetError, OSError) as error:
                print(f"{picture}: {error}", file=sys.stderr)
                continue
            task = studio.upload(flags.project, picture)
            studio.call("/api/predictions", json.dumps(
                {"task": task, "result": result, "model_version": version, "score": score}).encode())
            print(f"{picture}: task {task}, {len(result)} regions")


if __name__ == "__main__":
    main()
