#!/usr/bin/env python3
"""How many replicas? A small queueing simulation of Duet, and a load test that it is checked against.

usage: tests/bench/capacity.py plan
           prints the tables of docs/capacity.md, from the times and the assumptions below
       tests/bench/capacity.py check --gateway=URL --detector_metrics=URL --segmenter_metrics=URL IMAGE...
           measures one detector's and one segmenter's times on an idle Duet, loads it, and prints what the simulation
           predicted beside what was measured; takes two minutes

What is simulated, as in the services: a replica computes one job at a time, the most urgent first, and an encoder gives
way between its blocks (serving/work_queue.h); an image belongs to one segmenter, detectors are chosen by load
(lib/backends/replica_set.h); a task detects and embeds at once, then segments its boxes; a click segments.
Needs nothing but Python.
"""

import argparse
import base64
import concurrent.futures
import dataclasses
import heapq
import itertools
import json
import math
import os
import random
import statistics
import threading
import time
import urllib.request

CLICK, OPENED, BATCH = 0, 1, 2  # ranks, most urgent first
ENCODER_BLOCKS = 12             # between which an encoder gives way: ViT-B's
CLICK_AROUND = 0.005            # a click's share of `around`: its image is there already


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds that one replica computes, with nothing else to do."""
    detect: float
    embed: float
    boxes: float            # masks of one image's detections
    click: float            # mask of one click
    around: float = 0.03    # all else in a task: fetching, decoding, the gateway, regions; not a queue


class Simulation:
    """The clock, and what happens when."""

    def __init__(self, seed):
        self.now, self.random = 0.0, random.Random(seed)
        self._events, self._order = [], itertools.count()

    def at(self, when, action):
        heapq.heappush(self._events, (when, next(self._order), action))

    def after(self, delay, action):
        self.at(self.now + delay, action)

    def run(self, until=math.inf):
        while self._events and self._events[0][0] <= until:
            self.now, _, action = heapq.heappop(self._events)
            action()


class Cores:
    """What computes, shared fairly: with more at work than there are cores, each of them is slower."""

    def __init__(self, simulation, count):
        self.simulation, self.count = simulation, count
        self.left, self.since, self.turn = {}, 0.0, 0  # seconds of work still to do, by what to do afterwards

    def compute(self, seconds, done):
        self._advance()
        self.left[done] = seconds
        self._schedule()

    def _rate(self):
        return min(1.0, self.count / len(self.left)) if self.left else 1.0

    def _advance(self):
        passed = (self.simulation.now - self.since) * self._rate()
        self.left = {done: seconds - passed for done, seconds in self.left.items()}
        self.since = self.simulation.now

    def _schedule(self):
        self.turn += 1
        if self.left:
            turn, done = self.turn, min(self.left, key=self.left.get)
            self.simulation.after(max(0.0, self.left[done]) / self._rate(), lambda: self._finish(turn, done))

    def _finish(self, turn, done):
        if turn == self.turn:  # nothing came or went meanwhile
            self._advance()
            del self.left[done]
            self._schedule()
            done()


class EnoughCores:
    """Every replica has its own."""

    def __init__(self, simulation):
        self.compute = simulation.after


class Replica:
    """One process with one queue."""

    def __init__(self, simulation, cores):
        self.simulation, self.cores, self.waiting, self.order = simulation, cores, [], itertools.count()
        self.running, self.busy_seconds = False, 0.0

    @property
    def load(self):
        return len(self.waiting) + self.running

    def submit(self, rank, seconds, done, slices=1):
        heapq.heappush(self.waiting, (rank, next(self.order), seconds / slices, slices, done))
        if not self.running:
            self._next()

    def _next(self):
        if not self.waiting:
            self.running = False
            return
        self.running = True
        rank, order, slice_seconds, slices, done = heapq.heappop(self.waiting)
        self.busy_seconds += slice_seconds

        def finished():
            if slices > 1:
                heapq.heappush(self.waiting, (rank, order, slice_seconds, slices - 1, done))
            else:
                done()
            self._next()
        self.cores.compute(slice_seconds, finished)


class Duet:
    """Pools of replicas, and the latencies that their users see."""

    def __init__(self, simulation, times, detectors, segmenters, cores=None):
        self.simulation, self.times, self.cores = simulation, times, cores or EnoughCores(simulation)
        self.detectors = [Replica(simulation, self.cores) for _ in range(detectors)]
        self.segmenters = [Replica(simulation, self.cores) for _ in range(segmenters)]
        self.task_seconds, self.click_seconds = [], []

    def task(self, rank, masks=True, then=lambda segmenter: None):
        """Detect and embed at once, then the boxes. `then` gets the image's segmenter."""
        begin, times = self.simulation.now, self.times
        segmenter = self.simulation.random.choice(self.segmenters) if masks else None
        left = 2 if masks else 1

        def answered():
            self.task_seconds.append(self.simulation.now - begin)
            then(segmenter)

        def part_done():
            nonlocal left
            left -= 1
            if left == 0:
                segmenter.submit(CLICK, times.boxes, answered) if masks else answered()

        def fetched():
            detector = min(self.detectors, key=lambda each: (each.load, self.simulation.random.random()))
            detector.submit(rank, times.detect, part_done)
            if masks:
                segmenter.submit(rank, times.embed, part_done, slices=ENCODER_BLOCKS)
        self.cores.compute(times.around, fetched)

    def click(self, segmenter):
        begin = self.simulation.now

        def answered():
            self.click_seconds.append(self.simulation.now - begin)
        self.cores.compute(min(self.times.around, CLICK_AROUND), lambda: segmenter.submit(
            CLICK, self.times.click, answered))

    def utilisation(self, pool):
        return sum(each.busy_seconds for each in pool) / len(pool) / self.simulation.now


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


# --- plan -------------------------------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Annotators:
    count: int = 1000
    seconds_per_image: float = 60   # from opening one to opening the next, exponential
    clicks_per_image: float = 3     # with smart tools, Poisson


@dataclasses.dataclass(frozen=True)
class Goals:
    task_p95: float = 15.0   # an opened task's boxes and masks: one may look at the image meanwhile
    click_p95: float = 1.0   # the hand is still on the mouse


# Two cores a replica, RTMDet-m and SAM ViT-B. docs/capacity.md says how the CPU's times were measured. The GPU's are
# assumptions, since none was at hand.
CPU = Times(detect=0.21, embed=4.9, boxes=0.12, click=0.03)
CPU_BF16 = Times(detect=0.15, embed=3.0, boxes=0.12, click=0.03)
GPU_ASSUMED = Times(detect=0.015, embed=0.120, boxes=0.030, click=0.015)
IMAGES_A_DAY = 10_000_000
CORES_A_REPLICA, CORES_A_MACHINE, BUSIEST = 2, 16, 0.9


def annotators_served(times, detectors, segmenters, crowd, seconds=600, seed=1):
    """Simulates the crowd for `seconds`, half of which is warming up."""
    simulation = Simulation(seed)
    duet = Duet(simulation, times, detectors, segmenters)
    draw = simulation.random

    def open_image():
        clicks = poisson(draw, crowd.clicks_per_image)

        def look(segmenter):
            for _ in range(clicks):
                simulation.after(draw.uniform(0, crowd.seconds_per_image), lambda: duet.click(segmenter))
        duet.task(OPENED, then=look)
        simulation.after(draw.expovariate(1 / crowd.seconds_per_image), open_image)

    for _ in range(crowd.count):
        simulation.after(draw.uniform(0, crowd.seconds_per_image), open_image)
    simulation.run(until=seconds / 2)
    duet.task_seconds, duet.click_seconds = [], []
    simulation.run(until=seconds)
    return duet


def poisson(draw, mean):
    count, product = 0, draw.random()
    while product > math.exp(-mean):
        count, product = count + 1, product * draw.random()
    return count


def plan_annotators(times, crowd, goals):
    """The fewest replicas that reach the goals."""
    images = crowd.count / crowd.seconds_per_image
    detectors = max(2, math.ceil(images * times.detect / BUSIEST))
    segment_load = images * (times.embed + times.boxes + times.click * crowd.clicks_per_image)
    segmenters = max(2, math.ceil(segment_load / BUSIEST))
    while True:
        duet = annotators_served(times, detectors, segmenters, crowd)
        if percentile(duet.click_seconds, 0.95) > goals.click_p95 or \
                percentile(duet.task_seconds, 0.95) > goals.task_p95:
            segmenters += max(1, segmenters // 10)
            continue
        return detectors, segmenters, duet


def plan_images(times, masks):
    """Replicas for a steady stream of batches, kept BUSIEST busy: nobody waits for one image."""
    rate = IMAGES_A_DAY / 86_400
    detectors = math.ceil(rate * times.detect / BUSIEST)
    segmenters = math.ceil(rate * (times.embed + times.boxes) / BUSIEST) if masks else 0
    simulation = Simulation(seed=1)
    duet = Duet(simulation, times, detectors, max(1, segmenters))
    when = 0.0
    for _ in range(10_000):
        when += simulation.random.expovariate(rate)
        simulation.at(when, lambda: duet.task(BATCH, masks))
    simulation.run()
    return detectors, segmenters, duet


def plan():
    crowd, goals = Annotators(), Goals()
    print(f"{crowd.count} annotators, {crowd.seconds_per_image:g} s and {crowd.clicks_per_image:g} clicks an image; "
          f"tasks within {goals.task_p95:g} s, clicks within {goals.click_p95:g} s (95 of 100)\n")
    print("| | detectors | segmenters | busy | task p50 / p95 | click p50 / p95 | machines |")
    print("|---|---|---|---|---|---|---|")
    for name, times in (("CPU, fp32", CPU), ("CPU, bf16", CPU_BF16), ("GPU (assumed)", GPU_ASSUMED)):
        detectors, segmenters, duet = plan_annotators(times, crowd, goals)
        waits = " | ".join(f"{percentile(each, 0.5):.2f} s / {percentile(each, 0.95):.2f} s"
                           for each in (duet.task_seconds, duet.click_seconds))
        print(f"| {name} | {detectors} | {segmenters} | {duet.utilisation(duet.detectors):.0%}, "
              f"{duet.utilisation(duet.segmenters):.0%} | {waits} | {machines(name, detectors + segmenters)} |")
    print(f"\n{IMAGES_A_DAY:,} images a day, in batches\n")
    print("| | detectors | segmenters | task p95 | machines |")
    print("|---|---|---|---|---|")
    for name, times in (("CPU, fp32", CPU), ("CPU, bf16", CPU_BF16), ("GPU (assumed)", GPU_ASSUMED)):
        for what, masks in (("boxes", False), ("boxes and masks", True)):
            detectors, segmenters, duet = plan_images(times, masks)
            print(f"| {name}, {what} | {detectors} | {segmenters} | {percentile(duet.task_seconds, 0.95):.1f} s | "
                  f"{machines(name, detectors + segmenters)} |")


def machines(name, replicas):
    if name.startswith("GPU"):
        return f"{replicas} GPUs"
    return f"{math.ceil(replicas * CORES_A_REPLICA / CORES_A_MACHINE)} of {CORES_A_MACHINE} cores"


# --- check ------------------------------------------------------------------------------------------------------------

LABELS = "".join(f'<Label value="{name}"/>' for name in (
    "circle", "square", "triangle", "star", "ring", "cross", "hexagon", "heart", "crescent", "arrow"))
CONFIG = ('<View><Image name="image" value="$image"/>'
          f'<RectangleLabels name="boxes" toName="image">{LABELS}</RectangleLabels>'
          f'<BrushLabels name="masks" toName="image">{LABELS}</BrushLabels>'
          f'<KeyPointLabels name="points" toName="image" smart="true">{LABELS}</KeyPointLabels></View>')
POINT = {"from_name": "points", "to_name": "image", "type": "keypointlabels", "is_positive": True,
         "original_width": 512, "original_height": 512, "value": {"x": 50, "y": 50, "width": 0.3, "keypointlabels": ["circle"]}}


class RealDuet:
    def __init__(self, gateway, detector_metrics, segmenter_metrics, images):
        self.gateway, self.metrics_urls = gateway, (detector_metrics, segmenter_metrics)
        self.files = [open(each, "rb").read() for each in images]
        self.numbers, self.lock = itertools.count(random.randrange(1 << 40)), threading.Lock()

    def new_image(self):
        """One that no cache has: other bytes after the end of the image."""
        with self.lock:
            number = next(self.numbers)
        file = self.files[number % len(self.files)]
        return "data:image/jpeg;base64," + base64.b64encode(file + b"#%d" % number).decode()

    def ask(self, image, click=False):
        """Seconds until the answer."""
        body = json.dumps({"tasks": [{"id": 1, "data": {"image": image}}], "project": "1.1", "label_config": CONFIG,
                           "params": {"context": {"result": [POINT]} if click else None}}).encode()
        request = urllib.request.Request(self.gateway + "/predict", body, {"Content-Type": "application/json"})
        begin = time.monotonic()
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert json.load(answer)["results"][0].get("result") is not None
        return time.monotonic() - begin

    def totals(self):
        """metric{labels} → value, of both services."""
        found = {}
        for url in self.metrics_urls:
            with urllib.request.urlopen(url, timeout=10) as answer:
                for line in answer.read().decode().splitlines():
                    if not line.startswith("#"):
                        series, value = line.rsplit(" ", 1)
                        found[series] = float(value)
        return found


def measure(duet, count=20):
    """What each part takes while nothing else happens, and the medians of a task and a click."""
    for _ in range(3):
        duet.ask(duet.new_image())
    images = [duet.new_image() for _ in range(count)]
    begin = duet.totals()
    tasks = [duet.ask(image) for image in images]
    between = duet.totals()
    clicks = [duet.ask(image, click=True) for image in images]
    end = duet.totals()

    def mean(before, after, name, labels=""):
        total, number = (after[f"{name}_{part}{labels}"] - before.get(f"{name}_{part}{labels}", 0)
                         for part in ("sum", "count"))
        return total / number
    detect = sum(mean(begin, between, "duet_detector_stage_seconds", f'{{stage="{stage}"}}')
                 for stage in ("decode", "model"))
    embed = mean(begin, between, "duet_segmenter_encode_seconds")
    boxes = mean(begin, between, "duet_segmenter_decode_seconds")
    click = mean(between, end, "duet_segmenter_decode_seconds")
    around = statistics.median(tasks) - max(detect, embed) - boxes
    return Times(detect, embed, boxes, click, max(0.0, around)), statistics.median(tasks), statistics.median(clicks)


def predicted(times, arrivals, click_delays, cores):
    simulation = Simulation(seed=1)
    duet = Duet(simulation, times, detectors=1, segmenters=1, cores=Cores(simulation, cores))
    for when, delay in zip(arrivals, click_delays):
        simulation.at(when, lambda delay=delay: duet.task(OPENED, then=lambda segmenter: simulation.after(
            delay, lambda: duet.click(segmenter))))
    simulation.run()
    return duet


def capacity_predicted(times, cores, count=60, workers=8):
    """Tasks a second while so many are always asked for at once."""
    simulation = Simulation(seed=1)
    duet = Duet(simulation, times, detectors=1, segmenters=1, cores=Cores(simulation, cores))
    left = count

    def one(_=None):
        nonlocal left
        left -= 1
        if left >= 0:
            duet.task(OPENED, then=one)
    for _ in range(workers):
        one()
    simulation.run()
    return count / simulation.now


def measured(duet, arrivals, click_delays):
    """The same arrivals for real: tasks come when they come, however many are waiting."""
    tasks, clicks, begin = [], [], time.monotonic()

    def one(when, delay):
        time.sleep(max(0.0, begin + when - time.monotonic()))
        image = duet.new_image()
        tasks.append(duet.ask(image))
        time.sleep(delay)
        clicks.append(duet.ask(image, click=True))
    with concurrent.futures.ThreadPoolExecutor(len(arrivals)) as pool:
        list(pool.map(one, arrivals, click_delays))
    return tasks, clicks


def capacity_measured(duet, count=60, workers=8):
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda _: duet.ask(duet.new_image()), range(count)))
    return count / (time.monotonic() - begin)


def check(arguments):
    duet = RealDuet(arguments.gateway, arguments.detector_metrics, arguments.segmenter_metrics, arguments.images)
    times, idle_task, idle_click = measure(duet)
    parts = ", ".join(f"{field.name} {getattr(times, field.name) * 1e3:.0f}" for field in dataclasses.fields(times))
    print(f"idle, ms: {parts}; a task {idle_task * 1e3:.0f}, a click {idle_click * 1e3:.0f}\n")
    print("| tasks a second | segmenter busy | task p50, predicted / measured | task p90 | click p50 | click p90 |")
    print("|---|---|---|---|---|---|")
    for busy in arguments.busy:
        rate, draw = busy / (times.embed + times.boxes + times.click), random.Random(7)
        arrivals = list(itertools.accumulate(draw.expovariate(rate) for _ in range(arguments.tasks)))
        delays = [draw.uniform(0.5, 2) for _ in arrivals]
        model = predicted(times, arrivals, delays, arguments.cores)
        tasks, clicks = measured(duet, arrivals, delays)
        cells = [f"{percentile(model_values, share) * 1e3:.0f} / {percentile(real_values, share) * 1e3:.0f} ms"
                 for model_values, real_values in ((model.task_seconds, tasks), (model.click_seconds, clicks))
                 for share in (0.5, 0.9)]
        print(f"| {rate:.1f} | {busy:.0%} | {' | '.join(cells)} |", flush=True)
    print(f"\nat most {capacity_predicted(times, arguments.cores):.1f} tasks a second predicted, "
          f"{capacity_measured(duet):.1f} measured")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("plan")
    checking = commands.add_parser("check")
    for name in ("gateway", "detector_metrics", "segmenter_metrics"):
        checking.add_argument(f"--{name}", required=True)
    checking.add_argument("--busy", type=float, nargs="*", default=[0.3, 0.6, 0.8])
    checking.add_argument("--tasks", type=int, default=60)
    checking.add_argument("--cores", type=int, default=os.cpu_count(), help="that all processes and the load share")
    checking.add_argument("images", nargs="+")
    arguments = parser.parse_args()
    plan() if arguments.command == "plan" else check(arguments)


if __name__ == "__main__":
    main()
