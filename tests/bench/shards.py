#!/usr/bin/env python3
"""Into how many shards? A simulation of a bulk run on a cluster: Pods that start, slow machines, machines that are lost.

usage: tests/bench/shards.py [--images=10000000] [--pods=100] [--image_s=0.21] [--seeds=9]
           prints the table of docs/capacity.md: of so many simulations the median

What is simulated, as in deploy/k8s/components/bulk: indices begin in their order, so many Pods at a time; each Pod needs a
while until its model serves; an index's images cost more or less than the mean together, since neighbours are alike; some
machines are slow; a Pod may be lost at any moment, and its index begins anew at once on another machine, with its journal
(on a volume) or without (work folders that go with the Pod). Needs nothing but Python.
"""

import argparse
import dataclasses
import heapq
import math
import random
import statistics


@dataclasses.dataclass(frozen=True)
class Cluster:
    pods: int = 100              # at a time
    image_s: float = 0.21        # RTMDet-m at 640 px on two cores, fp32 (docs/capacity.md)
    start_s: float = 60.0        # from a Pod's creation to its first image: scheduling, weights, kernels, warming up
    spread: float = 0.2          # of the logarithm of what an index's images cost on average
    slow_share: float = 0.0      # of the machines
    slow_by: float = 2.0         # how much longer they take
    lost_per_hour: float = 0.0   # of a Pod's machine
    again_s: float = 10.0        # from a loss to the next Pod
    keeps_journal: bool = True
    unsynced_s: float = 2.0      # of work that a journal may lack


@dataclasses.dataclass
class Outcome:
    seconds: float = 0.0         # until the last index is done
    busy_s: float = 0.0          # of all Pods, starts and lost work among it
    repeated_s: float = 0.0      # work that was done again
    losses: int = 0


def simulate(cluster, images, shards, seed=1):
    chance = random.Random(seed)
    outcome = Outcome()
    # What each index has still to do, in seconds of a machine that isn't slow. The mean cost is one.
    left = [images / shards * cluster.image_s * chance.lognormvariate(-cluster.spread ** 2 / 2, cluster.spread)
            for _ in range(shards)]
    # When a Pod may begin, where, and with which index; None: the next one that nobody has begun.
    free = [(0.0, pod, None) for pod in range(cluster.pods)]
    heapq.heapify(free)

    def machine():
        return cluster.slow_by if chance.random() < cluster.slow_share else 1.0

    slowness = [machine() for _ in range(cluster.pods)]
    waiting = list(reversed(range(shards)))
    while free:
        begin, pod, index = heapq.heappop(free)
        if index is None:
            if not waiting:
                continue
            index = waiting.pop()
        takes = cluster.start_s + left[index] * slowness[pod]
        lost_after = chance.expovariate(cluster.lost_per_hour / 3600) if cluster.lost_per_hour else math.inf
        if lost_after >= takes:
            outcome.busy_s += takes
            outcome.seconds = max(outcome.seconds, begin + takes)
            heapq.heappush(free, (begin + takes, pod, None))
            continue
        done = max(0.0, lost_after - cluster.start_s) / slowness[pod]
        kept = max(0.0, done - cluster.unsynced_s) if cluster.keeps_journal else 0.0
        left[index] -= kept
        outcome.losses += 1
        outcome.busy_s += lost_after
        outcome.repeated_s += done - kept
        slowness[pod] = machine()
        heapq.heappush(free, (begin + lost_after + cluster.again_s, pod, index))
    return outcome


CASES = {
    "all goes well": {},
    "5 % of the machines take twice as long": {"slow_share": 0.05},
    "… and each is lost every 10 hours": {"slow_share": 0.05, "lost_per_hour": 0.1},
    "… and journals with it": {"slow_share": 0.05, "lost_per_hour": 0.1, "keeps_journal": False},
}


def hours(cluster, images, shards, seeds):
    return statistics.median(simulate(cluster, images, shards, seed).seconds for seed in range(seeds)) / 3600


def table(cluster, images, seeds):
    """Hours until the output can be merged, and by how much that is more than the computing alone, evenly shared."""
    shapes = [count for count in (100, 1_000, 10_000, 100_000) if count <= images]
    even = images * cluster.image_s / cluster.pods / 3600
    lines = ["| | " + " | ".join(f"{count:,} × {images // count:,}" for count in shapes) + " |",
             "|---|" + "---|" * len(shapes)]
    for name, changes in CASES.items():
        took = [hours(dataclasses.replace(cluster, **changes), images, count, seeds) for count in shapes]
        lines.append(f"| {name} | " + " | ".join(f"{each:.1f} h, +{100 * (each / even - 1):.0f} %" for each in took) + " |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000_000)
    parser.add_argument("--pods", type=int, default=Cluster.pods)
    parser.add_argument("--image_s", type=float, default=Cluster.image_s)
    parser.add_argument("--seeds", type=int, default=9)
    args = parser.parse_args()
    cluster = Cluster(pods=args.pods, image_s=args.image_s)
    print(f"{args.images * args.image_s / args.pods / 3600:.1f} hours of {args.pods} Pods are computing alone\n")
    print("\n".join(table(cluster, args.images, args.seeds)))


if __name__ == "__main__":
    main()
