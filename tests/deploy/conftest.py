"""Renders the Kubernetes manifests as `kubectl apply -k` would."""

import pathlib
import shutil
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = sorted(path.name for path in (DEPLOY / "k8s" / "overlays").iterdir())
BINARIES = ["duet-detector", "duet-segmenter", "duet-gateway"]


def render(overlay):
    """The overlay's manifests as YAML text."""
    folder = DEPLOY / "k8s" / "overlays" / overlay
    if shutil.which("kustomize"):
        command = ["kustomize", "build", folder]
    elif shutil.which("kubectl"):
        command = ["kubectl", "kustomize", folder]
    else:
        pytest.skip("neither kustomize nor kubectl is installed")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(params=OVERLAYS)
def overlay(request):
    return request.param


@pytest.fixture
def manifests(overlay):
    return list(yaml.safe_load_all(render(overlay)))


@pytest.fixture(scope="session")
def help_of():
    """What a binary's --help prints."""
    def run(name):
        path = ROOT / "build/release/bin" / name
        return subprocess.run([path, "--help"], check=True, capture_output=True, text=True, timeout=60).stdout
    return run
