"""tests/bench/shards.py: the simulation where its answer is known, and the page that shows its table."""

import math
import sys

import pytest

from conftest import ROOT, run

sys.path.append(str(ROOT / "tests/bench"))
import shards  # noqa: E402

EVEN = shards.Cluster(pods=2, image_s=0.5, start_s=10, spread=0)


def but(**changes):
    return shards.dataclasses.replace(EVEN, **changes)


def test_pods_share_the_indices_evenly():
    outcome = shards.simulate(EVEN, images=400, shards=4)

    assert outcome.seconds == pytest.approx(2 * (10 + 50))
    assert outcome.busy_s == pytest.approx(2 * outcome.seconds) and outcome.repeated_s == 0


def test_an_index_too_many_costs_a_round():
    assert shards.simulate(EVEN, images=500, shards=5).seconds == pytest.approx(3 * (10 + 50))


def test_slow_machines_do_fewer_indices():
    """One of two: the fast one does two thirds, so that all is done in 4/3 of the time, and an index more or less."""
    cluster = but(start_s=0, slow_share=0.5)
    outcomes = [shards.simulate(cluster, images=30_000, shards=3_000, seed=seed).seconds for seed in range(20)]
    even = 30_000 * 0.5 / 2

    # Both fast, one of each, both slow; no other outcome.
    assert {round(seconds / even, 1) for seconds in outcomes} == {1.0, 1.3, 2.0}


@pytest.mark.parametrize("start_s", [0, 30])
def test_losses_without_a_journal_cost_what_theory_says(start_s):
    """Work of T seconds that begins anew at each loss takes (exp(rate * T) - 1) / rate on average."""
    work, per_hour, count = 100.0, 36.0, 20_000
    cluster = but(pods=1, image_s=1.0, start_s=start_s, lost_per_hour=per_hour, again_s=0, keeps_journal=False)

    outcome = shards.simulate(cluster, images=int(work) * count, shards=count)

    rate = per_hour / 3600
    theory = (math.exp(rate * (work + start_s)) - 1) / rate
    assert outcome.seconds / count == pytest.approx(theory, rel=0.05)  # the mean of 20,000: its deviation is about 1 %


def test_with_a_journal_only_what_wasnt_synced_is_done_again():
    cluster = but(pods=1, image_s=1.0, start_s=0, lost_per_hour=36.0, again_s=0)

    outcome = shards.simulate(cluster, images=2_000_000, shards=20_000)

    assert outcome.losses > 10_000
    assert outcome.repeated_s <= 2.0 * outcome.losses
    assert outcome.seconds == pytest.approx(2_000_000 + outcome.repeated_s)


def test_a_lost_index_begins_again_after_its_loss():
    """Two Pods and one index, which is never done by both: what was lost goes on where and when it was lost."""
    cluster = but(image_s=1.0, start_s=10, lost_per_hour=36.0, again_s=5)

    for seed in range(20):
        outcome = shards.simulate(cluster, images=1_000, shards=1, seed=seed)

        assert outcome.losses > 0
        # All that a machine did, one after the other, and the waits between.
        assert outcome.seconds == pytest.approx(outcome.busy_s + 5 * outcome.losses)
        assert outcome.seconds >= 1_000 + outcome.repeated_s


def test_the_page_shows_what_the_tool_prints():
    printed = run(sys.executable, ROOT / "tests/bench/shards.py").stdout
    table = [line for line in printed.splitlines() if line.startswith("|")]
    page = (ROOT / "docs/capacity.md").read_text().splitlines()

    assert len(table) == 2 + len(shards.CASES)
    assert [line for line in table if line not in page] == []
