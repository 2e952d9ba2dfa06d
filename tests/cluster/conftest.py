"""A cluster for the tests."""

import pathlib
import socket

import pytest

from control_plane import NODE_NAME, ControlPlane
from programs import ROOT

# What in_namespaces.sh has made this process' own.
STATE, LOGS = pathlib.Path("/var/lib/cluster"), pathlib.Path("/var/log/cluster")
MODULES = ROOT / ".duet/tools/modules"
# The kinds that are not Kubernetes' own, as a cluster with their operators has them. Argo's are what Argo installs; its full
# schemas, which tests/deploy checks by, this API server refuses ("inline" has no type).
OTHERS_KINDS = [*(MODULES / "gateway-api/config/crd/standard").glob("*.yaml"),
                *(MODULES / "prometheus-operator/example/prometheus-operator-crd").glob("*.yaml"),
                *(MODULES / "argo-workflows/manifests/base/crds/minimal").glob("argoproj*.yaml")]


def pytest_configure():
    if socket.gethostname() != NODE_NAME:
        pytest.exit("these tests take a machine for themselves: ./duet test --only=cluster", returncode=2)


@pytest.fixture(scope="session")
def cluster():
    STATE.mkdir(parents=True)
    LOGS.mkdir(parents=True)
    plane = ControlPlane(STATE, LOGS)
    for file in OTHERS_KINDS:
        plane.do("apply", "--server-side", "-f", file)
    plane.do("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    yield plane
    for program in reversed(plane.programs):
        program.stop()
