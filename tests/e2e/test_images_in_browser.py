"""What a real browser shows of images, whole and cut off, is what Duet decodes: the same ones, sizes and colours."""

import base64
import json
import re
import shutil
import subprocess

import pytest

from duet_command import ROOT

IMAGES = ROOT / "tests/data/images"
TYPES = {".jpg": "jpeg", ".png": "png", ".webp": "webp", ".gif": "gif", ".bmp": "bmp"}  # browsers show no TIFF
# Cut off, these are shown coarsely, each program in its own way.
COARSE = ("progressive", "interlaced", "animated.gif", "palette.gif", "_frame")
PAGE = """<pre id="answer"></pre><script>
const show = async ([name, uri]) => {
  const image = new Image();
  const shown = await new Promise(done => { image.onload = () => done(true); image.onerror = () => done(false); image.src = uri; });
  if (!shown) return [name, null];
  const {naturalWidth: width, naturalHeight: height} = image;
  const canvas = Object.assign(document.createElement("canvas"), {width, height});
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const grid = [];
  for (let y = 0; y < 5; ++y) for (let x = 0; x < 5; ++x)
    grid.push([...context.getImageData(Math.floor((2 * x + 1) * width / 10), Math.floor((2 * y + 1) * height / 10), 1, 1).data]);
  return [name, {width, height, grid}];
};
Promise.all(IMAGES.map(show)).then(all => document.getElementById("answer").textContent = "[answer]" + JSON.stringify(all) + "[/answer]");
</script>"""


@pytest.fixture
def files(tmp_path):
    """All fixtures, and pieces of some of them; not those that are a frame beyond its canvas or 900 megapixels."""
    whole = [file for file in sorted(IMAGES.iterdir()) if file.suffix in TYPES and not file.name.startswith("bad_")]
    pieces = []
    for file in whole:
        data = file.read_bytes()
        for percent in (10, 30, 50, 70, 90):
            piece = tmp_path / f"{percent}_{file.name}"
            piece.write_bytes(data[:len(data) * percent // 100])
            pieces.append(piece)
    return whole + pieces


def shown_by_browser(files, tmp_path):
    uris = [(file.name, f"data:image/{TYPES[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}")
            for file in files]
    page = tmp_path / "page.html"
    page.write_text(PAGE.replace("IMAGES", json.dumps(uris)))
    browser = shutil.which("chromium")
    assert browser, "chromium is missing; ./duet test installs it"
    dump = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
                           "--virtual-time-budget=60000", "--dump-dom", page.as_uri()],
                          capture_output=True, text=True, timeout=120, check=True).stdout
    return dict(json.loads(re.search(r"\[answer\](.*)\[/answer\]", dump)[1]))


def test_what_a_browser_shows_is_what_is_decoded(files, tmp_path):
    lines = subprocess.run([ROOT / "build/release/tests/image_as_decoded", *files], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    decoded = {file.name: json.loads(line) for file, line in zip(files, lines, strict=True)}
    shown = shown_by_browser(files, tmp_path)

    assert {name for name, image in shown.items() if image} == {n for n, i in decoded.items() if "error" not in i}
    compared = 0
    for name, image in shown.items():
        if image is None:
            continue
        ours = decoded[name]
        assert (image["width"], image["height"]) == (ours["width"], ours["height"]), name
        # Without a palette Chromium shows black, Pillow grey values.
        if any(word in name for word in COARSE) and ours["damage"] or "no_palette" in name:
            continue
        for (*color, alpha), mine in zip(image["grid"], ours["grid"], strict=True):
            if alpha == 255:  # else the page's background is seen through it
                # CMYK by another formula; of 16 bits a browser rounds, cv2 drops the lower 8.
                assert max(abs(a - b) for a, b in zip(color, mine)) <= 1, name
                compared += 1
    assert compared > 1000
