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
def node(cluster):
    """The cluster's only one, with Duet's images, and weights to be fetched from it."""
    machine = Node(cluster, STATE / "node", LOGS, IMAGES)
    weights = publish_weights()
    yield machine
    weights.shutdown()
    for program in machine.programs:
        program.kill()
