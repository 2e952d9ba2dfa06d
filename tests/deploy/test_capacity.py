"""tests/bench/capacity.py: the simulation where its answer is known, and the page that shows its tables."""

import dataclasses
import sys

import pytest

from conftest import ROOT, run

sys.path.append(str(ROOT / "tests/bench"))
import capacity  # noqa: E402

TIMES = capacity.Times(detect=0.3, embed=1.2, boxes=0.2, click=0.1, around=0.05)


def simulate(begin, detectors=1, segmenters=1, times=TIMES, cores=None):
    simulation = capacity.Simulation(seed=1)
    duet = capacity.Duet(simulation, times, detectors, segmenters, cores and capacity.Cores(simulation, cores))
    begin(simulation, duet)
    simulation.run()
    return duet


def test_an_idle_duet_detects_and_embeds_at_once_then_segments():
    duet = simulate(lambda _, duet: duet.task(capacity.OPENED))

    assert duet.task_seconds == [pytest.approx(0.05 + 1.2 + 0.2)]


def test_a_click_waits_for_one_block_of_an_encoder_and_not_for_the_image():
    def begin(simulation, duet):
        duet.task(capacity.OPENED)
        simulation.at(0.5, lambda: duet.click(duet.segmenters[0]))

    duet = simulate(begin)

    assert duet.click_seconds[0] <= capacity.CLICK_AROUND + 1.2 / capacity.ENCODER_BLOCKS + 0.1
    assert duet.task_seconds == [pytest.approx(0.05 + 1.2 + 0.1 + 0.2)]  # it gave way once


def test_an_opened_task_goes_before_a_batch():
    def begin(_, duet):
        for rank in (capacity.BATCH, capacity.BATCH, capacity.OPENED):
            duet.task(rank)

    duet = simulate(begin)

    # The first batch task has just begun when the opened one comes.
    assert min(duet.task_seconds) < 0.05 + 1.2 + 1.2 / capacity.ENCODER_BLOCKS + 0.3 + 0.2


def test_random_arrivals_wait_as_long_as_theory_says():
    """M/D/1: a mean wait of s·ρ / 2(1-ρ)."""
    busy, count = 0.7, 20_000

    def begin(simulation, duet):
        when = 0.0
        for _ in range(count):
            when += simulation.random.expovariate(busy / TIMES.detect)
            simulation.at(when, lambda: duet.task(capacity.BATCH, masks=False))

    duet = simulate(begin)

    waits = [seconds - 0.05 - TIMES.detect for seconds in duet.task_seconds]
    theory = TIMES.detect * busy / (2 * (1 - busy))
    assert sum(waits) / count == pytest.approx(theory, rel=0.1)  # the mean of correlated waits: 4 % either way


def test_processes_on_too_few_cores_slow_each_other_down():
    even = dataclasses.replace(TIMES, detect=1.2, around=0)

    alone = simulate(lambda _, duet: duet.task(capacity.OPENED), times=even, cores=2)
    sharing = simulate(lambda _, duet: duet.task(capacity.OPENED), times=even, cores=1)

    assert alone.task_seconds == [pytest.approx(1.2 + 0.2)]
    assert sharing.task_seconds == [pytest.approx(2.4 + 0.2)]


def test_the_page_shows_what_the_tool_prints():
    printed = run(sys.executable, ROOT / "tests/bench/capacity.py", "plan").stdout
    tables = [line for line in printed.splitlines() if line.startswith("|")]
    page = (ROOT / "docs/capacity.md").read_text().splitlines()

    assert len(tables) > 10
    assert [line for line in tables if line not in page] == []
