"""What the tests share: rendered manifests, the validators in .duet/tools, and what the binaries say of themselves."""

import functools
import json
import pathlib
import shutil
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = sorted(path.name for path in (DEPLOY / "k8s" / "overlays").iterdir())
BINARIES = ["duet-detector", "duet-segmenter", "duet-gateway"]

sys.path.append(str(ROOT / "tests/e2e"))  # service.py: the binaries as processes


def tool(name):
    """A validator that ./duet test has put there (tools/duet/test_tools.sh)."""
    path = ROOT / ".duet/tools/bin" / name
    assert path.exists(), f"{path} is missing: run ./duet test --only=deploy"
    return path


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, **options)


def render(overlay):
    """The overlay's manifests as YAML text, as `kubectl apply -k` would send them."""
    folder = DEPLOY / "k8s" / "overlays" / overlay
    if shutil.which("kustomize"):
        command = ["kustomize", "build", folder]
    elif shutil.which("kubectl"):
        command = ["kubectl", "kustomize", folder]
    else:
        pytest.skip("neither kustomize nor kubectl is installed")
    rendered = run(*command)
    assert rendered.returncode == 0, rendered.stderr
    return rendered.stdout


def render_with(tmp_path_factory, *components):
    """The base with these components, in their order."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    folder = tmp_path_factory.mktemp("overlay")
    shutil.copytree(DEPLOY / "k8s", folder / "k8s")
    overlay = folder / "k8s/overlays/mine"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": "duet",
        "resources": ["../../base"], "components": [f"../../components/{name}" for name in components]}))
    printed = run("kubectl", "kustomize", overlay)
    assert printed.returncode == 0, printed.stderr
    return printed.stdout


@pytest.fixture(params=OVERLAYS)
def overlay(request):
    return request.param


@pytest.fixture
def manifests(overlay):
    return list(yaml.safe_load_all(render(overlay)))


@pytest.fixture(scope="session")
def help_of():
    """What a binary's --help prints."""
    @functools.cache
    def of(name):
        printed = run(ROOT / "build/release/bin" / name, "--help")
        assert printed.returncode == 0, printed.stderr
        return printed.stdout
    return of


@pytest.fixture(scope="session")
def default_of():
    """The default of a binary's flag, as text."""
    @functools.cache
    def defaults(name):
        printed = run(ROOT / "build/release/bin" / name, "--help=json")
        return {flag["name"]: flag["default"] for flag in json.loads(printed.stdout)["flags"]}
    return lambda name, flag: defaults(name)[flag]
