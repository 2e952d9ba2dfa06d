"""Label Studio's own validator, held against everything that a test sees Duet write.

label-studio-sdk reads a label config without a task. Where the editor writes names or labels that only the task decides,
the config is first written out for the task, as the editor does it; the SDK's strict rules then hold for the rest.
"""

import copy
import re

from label_studio_sdk.label_interface import LabelInterface
from lxml import etree

# What was refused since the last look: the name of the task and the SDK's words.
refused = []

_PATH = re.compile(r"\$([\w\[\].{}]+)")


def look_up(data, path):
    """A path such as pages[0].url in a task's data."""
    for step in re.findall(r"[^.\[\]]+", path):
        data = data[int(step)] if isinstance(data, list) else data[step]
    return data


def _attribute(element, name):
    """The editor reads names of attributes in any case."""
    return next((value for key, value in element.attrib.items() if key.lower() == name.lower()), None)


def _replace(element, flag, index):
    for key, value in element.attrib.items():
        element.set(key, value.replace(flag, str(index), 1))


def _write_out_repeaters(root, data):
    """The SDK keeps <Repeater>'s flag in names (it finds no control r_0); the editor's regions name r_0, r_1, …"""
    while True:
        repeater = next((each for each in root.iter() if str(each.tag).lower() == "repeater"), None)
        if repeater is None:
            return
        flag = _attribute(repeater, "indexFlag") or "{{idx}}"
        place, parent = repeater.getparent().index(repeater), repeater.getparent()
        parent.remove(repeater)
        for index, _ in enumerate(look_up(data, _attribute(repeater, "on")[1:])):
            for child in repeater:
                written = copy.deepcopy(child)
                _replace(written, flag, index)  # just below a repeater, the editor replaces a second time
                for element in written.iter():
                    _replace(element, flag, index)
                parent.insert(place, written)
                place += 1


def _write_out_labels(root, data):
    """Labels of the task (value="$classes"): to the editor the same as <Label>s after the config's own. The SDK refuses
    them beside labels of the config."""
    for element in root.iter():
        match = _PATH.fullmatch(element.get("value") or "")
        if not match or not str(element.tag).lower().endswith("labels"):
            continue
        for label in look_up(data, match[1]) or []:
            attributes = {"value": label} if isinstance(label, str) else label
            etree.SubElement(element, "Label", {key: str(value) for key, value in attributes.items()})


def _spell_as_the_sdk_does(root):
    """The editor reads tags and attributes in any case, the SDK doesn't."""
    for element in root.iter():
        if str(element.tag).lower() == "label":
            element.tag = "Label"
        for name in ("name", "toName", "value", "alias"):
            value = _attribute(element, name)
            if value is not None:
                element.set(name, value)


def for_task(label_config, data):
    """The label config as the editor has it for a task."""
    root = etree.fromstring(label_config)
    _write_out_repeaters(root, data)
    _write_out_labels(root, data)
    _spell_as_the_sdk_does(root)
    return etree.tostring(root, encoding="unicode")


def problems_of(prediction, label_config, data=None):
    """What Label Studio's validator objects to, and ids that two regions have which aren't one."""
    checked = {key: prediction[key] for key in ("result", "score", "model_version") if key in prediction}
    problems = LabelInterface(for_task(label_config, data or {})).validate_prediction(checked, return_errors=True)
    seen = {}
    for region in prediction["result"]:
        # A plain shape and its labels are results of one id, the labels repeating the shape.
        shape = {key: value for key, value in region["value"].items() if key != "labels"}
        first = seen.setdefault(region["id"], (region["to_name"], shape))
        if first != (region["to_name"], shape):
            problems.append(f"two regions have the id {region['id']}")
    return problems


def check(request, answer):
    """Every prediction in an answer to /predict; what is refused goes to `refused`."""
    if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
        return
    for task, prediction in zip(request["tasks"], answer["results"]):
        try:
            problems = problems_of(prediction, request["label_config"], task["data"]) if prediction else []
        except Exception as error:  # of a config that can't be read, say: the caller has an answer to hand on
            problems = [repr(error)]
        if problems:
            refused.append(f"task {task.get('id')}: {problems[:3]}")
