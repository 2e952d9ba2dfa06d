"""README's way to the first mask, gone with the mouse in a real browser, word by word."""

import json
import re
import subprocess

from duet_command import ROOT
from test_browser import BROWSER, playwright  # noqa: F401 (a fixture)

README = (ROOT / "README.md").read_text()
STEPS = README.partition("\n## Five minutes to the first mask\n")[2].partition("\n## ")[0]


def test_who_follows_the_first_page_sees_a_box_and_a_mask_around_each_object(playwright, duet, studio, tmp_path):  # noqa: F811
    (image,) = re.findall(r"\*\*Import\*\* `(.*?)`", STEPS)
    command = re.search(r"what `\./duet ([a-z-]+)` prints", STEPS).group(1)
    file = tmp_path / "specification.json"
    file.write_text(json.dumps({
        "url": studio.url, "email": "duet@example.com", "password": (duet.state / "label-studio" / "password").read_text(),
        "folder": str(tmp_path), "name": "the first page", "config": duet.run(command).stdout, "backend": duet.url,
        "image": str(ROOT / image)}))

    ran = subprocess.run(["node", BROWSER / "first_mask.mjs", file], capture_output=True, text=True, timeout=240,
                         stdin=subprocess.DEVNULL)

    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    objects = json.loads((ROOT / image).with_suffix(".json").read_text())["objects"]
    assert seen["regions"] == ["rectangleregion", "brushregion"] * len(objects)
    (prediction,) = studio.call("GET", f"/api/predictions?project={seen['project']}")
    names = [entry["value"]["labels"] for entry in prediction["result"] if entry["type"] == "labels"]
    assert sorted(names) == sorted([thing["label"]] for thing in objects for _ in ("box", "mask"))
    studio.call("DELETE", f"/api/projects/{seen['project']}")


def test_the_first_page_has_the_words_that_are_clicked():
    script = (BROWSER / "first_mask.mjs").read_text()
    words = re.findall(r"button\(page, '(.*?)'\)|getByText\('(.*?)'", script)

    missing = {one or other for one, other in words if (one or other) not in STEPS}
    assert len(words) >= 10 and not missing
