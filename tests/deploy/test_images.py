"""The Dockerfile, what goes into the images, and compose.yaml."""

import re
import subprocess
import sys
import pathlib

import yaml

from conftest import DEPLOY, ROOT

def test_the_dockerfile_has_no_lint():
    hadolint = pathlib.Path(sys.executable).parent / "hadolint"

    result = subprocess.run([hadolint, "--config", DEPLOY / ".hadolint.yaml", DEPLOY / "Dockerfile"],
                            capture_output=True, text=True)

    assert result.returncode == 0, result.stdout + result.stderr


def test_the_build_context_holds_every_folder_that_cmake_adds():
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignore if line.startswith("!")}
    added = set(re.findall(r"add_subdirectory\((\w+)\)", (ROOT / "CMakeLists.txt").read_text())) - {"tests"}
    assert added <= kept


def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_compose_passes_flags_and_variables_that_exist(help_of):
    for service in ("detector", "segmenter", "gateway"):
        text = help_of(f"duet-{service}")
        description = compose()["services"][service]
        for argument in description["command"]:
            assert argument.split("=")[0] in text
        for variable in description.get("environment", {}):
            assert variable in text


def test_compose_builds_the_dockerfiles_targets():
    targets = set(re.findall(r"^FROM \S+ AS (\w+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE))
    for service in ("detector", "segmenter", "gateway"):
        assert compose()["services"][service]["build"]["target"] == service
        assert service in targets


def test_compose_lets_label_studio_reach_a_backend_at_a_private_address():
    environment = compose()["services"]["label-studio"]["environment"]
    assert environment["LABEL_STUDIO_ML_BLOCK_LOCAL_IP"] == "false"
    assert environment["LABEL_STUDIO_SSRF_PROTECTION_ENABLED"] == "false"


def test_compose_asks_for_secrets_instead_of_having_some():
    text = (DEPLOY / "compose.yaml").read_text()
    for variable in ("LABEL_STUDIO_TOKEN", "LABEL_STUDIO_PASSWORD"):
        assert re.search(rf"\${{{variable}:\?", text)
