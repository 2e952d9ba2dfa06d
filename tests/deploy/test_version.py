"""One version, that of CMakeLists.txt, wherever one is named."""

import json
import re
import shutil
import sys

import yaml

from conftest import DEPLOY, ROOT, render, run

sys.path.append(str(ROOT / "tools"))
import set_version  # noqa: E402

# The manifests' tags of images that people load by hand.
BY_HAND = {"local"}


def test_every_file_names_it():
    checked = run(sys.executable, ROOT / "tools/set_version.py", "--check")

    assert checked.returncode == 0, checked.stdout


def test_another_version_is_noticed_and_written_everywhere(tmp_path):
    for folder in ("deploy", "gateway/endpoints"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/set_version.py", tmp_path / "tools")
    text = (ROOT / "CMakeLists.txt").read_text()
    (tmp_path / "CMakeLists.txt").write_text(text.replace(f"VERSION {set_version.version()}", "VERSION 7.8.9"))

    noticed = run(sys.executable, tmp_path / "tools/set_version.py", "--check")
    written = run(sys.executable, tmp_path / "tools/set_version.py")
    again = run(sys.executable, tmp_path / "tools/set_version.py", "--check")

    assert (noticed.returncode, written.returncode, again.returncode) == (1, 0, 0)
    for pattern, _ in set_version.PLACES:
        assert any(str(file.relative_to(ROOT)) in noticed.stdout for file in ROOT.glob(pattern)), pattern
    assert json.loads((tmp_path / "gateway/endpoints/openapi.json").read_text())["info"]["version"] == "7.8.9"
    assert "newTag: 7.8.9-cuda" in (tmp_path / "deploy/k8s/components/gpu/kustomization.yaml").read_text()


def test_images_chart_and_document_have_it():
    version = set_version.version()
    for overlay in ("local", "cpu", "gpu"):
        tags = set(re.findall(r"image: duet-\w+:(\S+)", render(overlay)))
        assert {tag.removesuffix("-cuda") for tag in tags} - BY_HAND <= {version}
    chart = yaml.safe_load((DEPLOY / "helm/duet/Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == version
    assert json.loads((ROOT / "gateway/endpoints/openapi.json").read_text())["info"]["version"] == version


def test_the_log_of_changes_has_it():
    assert re.search(rf"^## {re.escape(set_version.version())}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
