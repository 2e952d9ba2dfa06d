"""A node that loses its power: all that ran is gone, what lay on its disk is there."""

import pytest

from deployment import gateway_address, kustomization, remove, roll_out
from duet import serves, with_weights
from programs import wait_until


@pytest.fixture
def duet(cluster, node, tmp_path):
    cluster.do("apply", "-k", kustomization(tmp_path, base="overlays/local", **with_weights()))
    roll_out(cluster)
    yield gateway_address(cluster)
    remove(cluster)


def test_after_a_restart_of_the_node_duet_is_back_by_itself(node, duet):
    assert serves(duet)

    node.lose_power()
    assert not serves(duet)
    node.power_on()

    wait_until(lambda: serves(duet))
