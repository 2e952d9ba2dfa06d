"""Label configs as people have them: where each class and each click goes, judged by Label Studio's own validator."""

import dataclasses
import json
import os
import subprocess

import pytest

from duet_command import ROOT
from strict_validation import problems_of

CLASSES = ["car", "dog"]
DATA = {"image": "/a.jpg", "left": "/l.jpg", "right": "/r.jpg", "pages": ["/0.jpg", "/1.jpg"],
        "scans": [{"url": "/0.jpg"}, {"url": "/1.jpg"}], "texts": ["car", "dog"],
        "objects": [{"value": "Car"}, {"value": "Hund", "alias": "dog", "background": "red"}]}


def labels(*values):
    return "".join(f'<Label value="{value}"/>' for value in values)


def view(*controls, image='<Image name="image" value="$image"/>'):
    return f"<View>{image}{''.join(controls)}</View>"


def control(tag, name, *values, to="image", more=""):
    return f'<{tag} name="{name}" toName="{to}" {more}>{labels(*values)}</{tag}>'


@dataclasses.dataclass
class Case:
    name: str
    config: str
    # "from_name on to_name: label,label" of each result, in order; or words of the error.
    wanted: list | str
    prompts: list | None = None
    masks: bool = True
    outputs: str | None = None


def point(name="point", kind="keypointlabels", to="image", values=("car",), is_positive=True):
    return {"id": "drawn", "from_name": name, "to_name": to, "type": kind, "origin": "manual", "is_positive": is_positive,
            "original_width": 200, "original_height": 100, "image_rotation": 0,
            "value": {"x": 20, "y": 30, "width": 0.3, **({kind: list(values)} if kind.endswith("labels") else {})}}


def box(name="box", kind="rectanglelabels", values=("car",)):
    return {**point(name, kind, values=values), "value": {
        "x": 10, "y": 10, "width": 40, "height": 50, "rotation": 0,
        **({kind: list(values)} if kind.endswith("labels") else {})}}


def labelled(prompt, name, *values):
    """The second result of a plain shape, as the editor sends it along."""
    return {**prompt, "from_name": name, "type": "labels", "value": {**prompt["value"], "labels": list(values)}}


POINT = control("KeyPointLabels", "point", *CLASSES, more='smart="true"')
BOX = control("RectangleLabels", "box", *CLASSES, more='smart="true" smartOnly="true"')
GROUPS = ('<Labels name="state" toName="image"><Label value="new"/></Labels>'
          '<Labels name="what" toName="image"><Label value="car"/><Label value="dog"/></Labels>')
ATTRIBUTES = ('<Labels name="what" toName="image"><Label value="car"/><Label value="dog"/></Labels>'
              '<Labels name="state" toName="image" choice="multiple"><Label value="new"/><Label value="red"/></Labels>')

BATCHES = [
    Case("an alias is written instead of the value",
         view('<RectangleLabels name="r" alias="x" toName="image"><Label value="car" alias="vehicle"/>'
              '<Label value="Hund" alias="dog"/></RectangleLabels>'),
         ["r on image: vehicle", "r on image: dog"]),
    Case("two controls of one kind with other classes",
         view(control("RectangleLabels", "animals", "cat", "dog"), control("RectangleLabels", "vehicles", "car", "dog")),
         ["vehicles on image: car", "animals on image: dog"]),
    Case("one control a class", view(control("BrushLabels", "b1", "car"), control("BrushLabels", "b2", "dog"),
                                     control("RectangleLabels", "r1", "car"), control("RectangleLabels", "r2", "dog")),
         ["r1 on image: car", "b1 on image: car", "r2 on image: dog", "b2 on image: dog"]),
    Case("of several groups of labels another has the classes",
         view(GROUPS, control("Rectangle", "r"), control("Brush", "b")),
         ["r on image: ", "what on image: car", "b on image: ", "what on image: car",
          "r on image: ", "what on image: dog", "b on image: ", "what on image: dog"]),
    Case("one label in two groups",
         view(GROUPS, '<Labels name="more" toName="image"><Label value="dog"/></Labels>', control("Polygon", "p")),
         ["p on image: ", "what on image: car", "p on image: ", "what on image: dog"]),
    Case("labels of the task as texts", view(control("RectangleLabels", "r", more='value="$texts"')),
         ["r on image: car", "r on image: dog"]),
    Case("labels of the task as objects", view(control("BrushLabels", "b", more='value="$objects"')),
         ["b on image: Car", "b on image: dog"]),
    Case("labels of the task beside the config's", view(control("RectangleLabels", "r", "car", more='value="$objects"')),
         ["r on image: car", "r on image: dog"]),
    Case("a group of labels of the task",
         view('<Labels name="what" toName="image" value="$objects"/>', control("Ellipse", "e")),
         ["e on image: ", "what on image: Car", "e on image: ", "what on image: dog"]),
    Case("a repeater", '<View><Repeater on="$pages" indexFlag="{{idx}}"><Image name="page_{{idx}}" value="$pages[{{idx}}]"/>'
         '<RectangleLabels name="r_{{idx}}" toName="page_{{idx}}"><Label value="car"/></RectangleLabels>'
         '<BrushLabels name="b_{{idx}}" toName="page_{{idx}}"><Label value="car"/></BrushLabels></Repeater></View>',
         ["r_0 on page_0: car", "b_0 on page_0: car", "r_1 on page_1: car", "b_1 on page_1: car"]),
    Case("a repeater in pages, of objects, with a flag of its own",
         '<View><Repeater on="$scans" indexFlag="#" mode="pagination"><View><Image name="i#" value="$scans[#].url"/>'
         '<View><Labels name="l#" toName="i#"><Label value="car"/></Labels><Rectangle name="r#" toName="i#"/></View>'
         '</View></Repeater></View>',
         ["r0 on i0: ", "l0 on i0: car", "r1 on i1: ", "l1 on i1: car"]),
    Case("a list of images", view(control("RectangleLabels", "r", "car"), image='<Image name="image" valueList="$pages"/>'),
         ["r on image: car", "r on image: car"]),
    Case("bare boxes", view(control("Rectangle", "r")), ["r on image: ", "r on image: "]),
    Case("bare masks and boxes", view(control("Brush", "b"), control("Rectangle", "r")),
         ["r on image: ", "b on image: "] * 2),
    Case("bare polygons, ellipses and points", view(*[control(tag, tag[0]) for tag in ("Polygon", "Ellipse", "KeyPoint")]),
         ["P on image: ", "E on image: ", "K on image: "] * 2, outputs="polygon,ellipse,keypoint"),
    Case("a bare box for what has a label elsewhere", view(control("Rectangle", "r"), control("PolygonLabels", "p", "car")),
         ["r on image: ", "p on image: car"]),
    Case("labels of several per region", view(control("RectangleLabels", "r", *CLASSES, more='choice="multiple"')),
         ["r on image: car", "r on image: dog"]),
    Case("tags that are no regions", view(
        control("RectangleLabels", "r", "car"), '<TextArea name="t" toName="image" perRegion="true"/>',
        '<Choices name="c" toName="image" whenTagName="r" perRegion="true"><Choice value="car"/></Choices>',
        '<Relations><Relation value="is a"/></Relations><Taxonomy name="x" toName="image"><Choice value="car"/></Taxonomy>'),
        ["r on image: car"]),
    Case("labels below views, with entities and markup", view(
        '<RectangleLabels name="r" toName="image"><View><Header value="R&amp;D"/><View><Label value="c&#97;r" '
        'html="&lt;b&gt;car&lt;/b&gt;" background="#f00"/><Label value=""/></View></View></RectangleLabels>'),
        ["r on image: car"]),
    Case("two images with controls of their own", view(
        control("RectangleLabels", "l", "car", to="left"), control("RectangleLabels", "r", "dog", to="right"),
        control("BrushLabels", "both", *CLASSES, to="left,right"),
        image='<Image name="left" value="$left"/><Image name="right" value="$right"/>'),
        ["l on left: car", "both on left: car", "both on left: dog", "both on right: car", "r on right: dog",
         "both on right: dog"]),
    Case("tags and attributes in another case",
         '<view><image name="image" value="$image"/><rectanglelabels name="r" toname="image"><label value="car"/>'
         "</rectanglelabels></view>", ["r on image: car"]),
    Case("without a toName", '<View><Image name="image" value="$image"/><RectangleLabels name="r"><Label value="car"/>'
         "</RectangleLabels></View>", "no control that marks regions"),
    Case("a detector alone beside brushes", view(control("RectangleLabels", "r", "car"), control("BrushLabels", "b", "car")),
         ["r on image: car"], masks=False),
    Case("a detector alone beside brushes only", view(control("BrushLabels", "b", "car")), "takes masks only", masks=False),
    Case("other labels than the model's", view(control("RectangleLabels", "r", "thing")), []),
    Case("the printed config", (ROOT / "tests/data/label_studio/generated_coco80.xml").read_text(),
         ["rectangle on image: ", "label on image: car", "brush on image: ", "label on image: car",
          "rectangle on image: ", "label on image: dog", "brush on image: ", "label on image: dog"]),
    Case("the recipe's config of five tags", (ROOT / "tests/data/label_studio/coco80_five_tags.xml").read_text(),
         ["RectangleLabels on image: car", "BrushLabels on image: car", "RectangleLabels on image: dog",
          "BrushLabels on image: dog"]),
    Case("every kind", view(*[control(f"{tag}Labels", tag[0], "car") for tag in
                              ("Rectangle", "Brush", "Polygon", "Ellipse", "KeyPoint")]),
         [f"{letter} on image: car" for letter in "RBPEK"], outputs="rectangle,brush,polygon,ellipse,keypoint"),
]

CLICKS = [
    Case("a click gives a mask", view(control("RectangleLabels", "r", "car"), control("BrushLabels", "b", "car"), POINT),
         ["b on image: car"], [point()]),
    Case("a box gives a mask and a box", view(control("RectangleLabels", "r", "car"), control("BrushLabels", "b", "car"), BOX),
         ["b on image: car", "r on image: car"], [box()]),
    Case("a box gives a polygon and a box",
         view(control("RectangleLabels", "r", "car"), control("PolygonLabels", "p", "car"), BOX),
         ["p on image: car", "r on image: car"], [box()]),
    Case("a box for prompts only is given none", view(control("BrushLabels", "b", "car"), BOX), ["b on image: car"], [box()]),
    Case("a box that is a tool of its own, too", view(control("BrushLabels", "b", "car"), BOX.replace('smartOnly="true"', "")),
         ["b on image: car", "box on image: car"], [box()]),
    Case("a smart brush beside a plain rectangle",
         view(control("RectangleLabels", "r", "car"), control("BrushLabels", "b", "car", more='smart="true"'), POINT),
         ["b on image: car"], [point()]),
    Case("a smart polygon beside a plain ellipse",
         view(control("EllipseLabels", "e", "car"), control("PolygonLabels", "p", "car", more='smart="true"'), POINT),
         ["p on image: car"], [point()]),
    Case("a plain polygon beside a smart brush",
         view(control("PolygonLabels", "p", "car"), control("BrushLabels", "b", "car", more='smart="true"'), POINT),
         ["b on image: car"], [point()]),
    Case("of two brushes the one that isn't smart",
         view(control("BrushLabels", "s", "car", more='smart="true"'), control("BrushLabels", "b", "car"), POINT),
         ["b on image: car"], [point()]),
    Case("labels of one row for all tools", view(
        ATTRIBUTES, control("Rectangle", "r"), control("Brush", "b"),
        control("Rectangle", "box", more='smart="true" smartOnly="true"')),
        ["b on image: ", "what on image: dog", "r on image: ", "what on image: dog"],
        [box(kind="rectangle"), labelled(box(kind="rectangle"), "what", "dog")]),
    Case("a box of the printed config", (ROOT / "tests/data/label_studio/generated_coco80.xml").read_text(),
         ["brush on image: ", "label on image: dog", "rectangle on image: ", "label on image: dog"],
         [box("rectangle", "rectangle"), labelled(box("rectangle", "rectangle"), "label", "dog")]),
    Case("labels of two groups", view(ATTRIBUTES, control("Brush", "b"), control("KeyPoint", "point", more='smart="true"')),
         ["b on image: ", "what on image: car", "state on image: new,red"],
         [point(kind="keypoint"), labelled(point(kind="keypoint"), "what", "car"),
          labelled(point(kind="keypoint"), "state", "new", "red")]),
    Case("several labels where several are allowed", view(
        control("BrushLabels", "b", *CLASSES, more='choice="multiple"'), POINT.replace("smart", 'choice="multiple" smart')),
        ["b on image: car,dog"], [point(values=CLASSES)]),
    Case("several labels where one is allowed", view(control("BrushLabels", "b", *CLASSES), POINT), ["b on image: car"],
         [point(values=CLASSES)]),
    Case("an alias is drawn and written", view(
        '<BrushLabels name="b" toName="image"><Label value="car" alias="vehicle"/></BrushLabels>'
        '<KeyPointLabels name="point" toName="image" smart="true"><Label value="car" alias="v"/></KeyPointLabels>'),
        ["b on image: vehicle"], [point(values=["v"])]),
    Case("a bare brush", view(control("Brush", "b"), POINT), ["b on image: "], [point()]),
    Case("no label", view(control("BrushLabels", "b", "car"), control("KeyPoint", "point", more='smart="true"')),
         ["b on image: "], [point(kind="keypoint")]),
    Case("a label that no other control has", view(control("BrushLabels", "b", "dog"), POINT), "has the label 'car'",
         [point()]),
]


@pytest.fixture(scope="module")
def answers():
    """By name, what the program answers to each case."""
    lines = []
    for case in BATCHES + CLICKS:
        asked = {"config": case.config, "data": DATA, "classes": CLASSES, "masks": case.masks}
        asked |= {"prompts": case.prompts} if case.prompts else {}
        asked |= {"outputs": case.outputs} if case.outputs else {}
        lines.append(json.dumps(asked))
    written = subprocess.run([ROOT / "build/release/tests/results_of_configs"], input="\n".join(lines) + "\n", check=True,
                             text=True, capture_output=True).stdout.splitlines()
    assert len(written) == len(lines)
    return {case.name: json.loads(line) for case, line in zip(BATCHES + CLICKS, written)}


def place_of(result):
    """from_name on to_name: labels."""
    values = result["value"].get(result["type"], []) if result["type"].endswith("labels") else []
    return f"{result['from_name']} on {result['to_name']}: {','.join(values)}"


@pytest.mark.parametrize("case", BATCHES + CLICKS, ids=lambda case: case.name)
def test_regions_go_where_the_editor_would_put_them(answers, case):
    answer = answers[case.name]
    if isinstance(case.wanted, str):
        assert case.wanted in answer["error"]
        return

    assert [place_of(result) for result in answer["result"]] == case.wanted
    assert not problems_of(answer, case.config, DATA)


# Tests of the gateway whose fakes answer with regions of all kinds.
GATEWAY_TESTS = ["predict", "interactive", "detector_shapes", "versions"]


@pytest.mark.parametrize("name", GATEWAY_TESTS)
def test_what_the_gateways_tests_see_written_is_valid(tmp_path, name):
    kept = tmp_path / "predictions"
    subprocess.run([ROOT / f"build/release/tests/integration_gateway_{name}"], check=True, capture_output=True,
                   env={**os.environ, "DUET_KEEP_PREDICTIONS": str(kept)})

    refused = []
    for line in kept.read_text().splitlines():
        pair = json.loads(line)
        for task, prediction in zip(pair["request"]["tasks"], pair["answer"]["results"]):
            if prediction:
                refused += problems_of(prediction, pair["request"]["label_config"], task["data"])
    assert not refused
