"""A cluster for the tests."""

import pathlib
import socket

import pytest

from control_plane import NODE_NAME, ControlPlane
from duet import publish_weights
from node import Node
from programs import ROOT

# What in_namespaces.sh has made this process' own.
STATE, LOGS = pathlib.Path("/var/lib/cluster"), pathlib.Path("/var/log/cluster")
IMAGES = ROOT / ".duet/cluster/images.tar"
MODULES = ROOT / ".duet/tools/modules"
# The kinds that are not Kubernetes' own, as a cluster with their operators has them. Argo's are what Argo installs; its full
# schemas, which tests/deploy checks by, this API server refuses ("inline" has no type).
OTHERS_KINDS = [*(MODULES / "gateway-api/config/crd/standard").glob("*.yaml"),
                *(MODULES / "prometheus-operator/example/prometheus-operator-crd").glob("*.yaml"),
                *(MODULES / "keda/config/crd/bases").glob("*.yaml"),
                *(MODULES / "argo-workflows/manifests/base/crds/minimal").glob("argoproj*.yaml")]


def pytest_configure():
    if socket.gethostname() != NODE_NAME:
        pytest.exit("these tests take a machine for themselves: ./duet test --only=cluster", returncode=2)


@pytest.fixture(scope="session")
def cluster():
    STATE.mkdir(parents=True)
    LOGS.mkdir(parents=True)
    plane = ControlPlane(STATE, LOGS)
    yield plane
    for program in plane.programs:
        program.kill()


@pytest.fixture(scope="session")
def others_kinds(cluster):
    cluster.do("apply", "--server-side", *[f"--filename={file}" for file in OTHERS_KINDS])
    cluster.do("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


@pytest.fixture(scope="session")
def node(cluster):
    """The cluster's only one, with Duet's images, and weights to be fetched from it."""
    machine = Node(cluster, STATE / "node", LOGS, IMAGES)
    weights = publish_weights()
    yield machine
    weights.shutdown()
    for program in machine.programs:
        program.kill()
