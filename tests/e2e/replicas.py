"""Duet as a cluster runs it, on this machine: replicas behind names, gateways behind a load balancer, and a load."""

import concurrent.futures
import itertools
import os
import pathlib
import signal
import socket
import subprocess
import threading

import requests

from duet_command import ROOT
from service import PATIENCE_S, Service, predict, wait_until

TOOLS = ROOT / ".duet/tools"


class Names:
    """What /etc/hosts is to a machine, for the processes that get `environment`: names with several addresses."""

    def __init__(self, file):
        self.file = pathlib.Path(file)
        self.addresses = {}
        (library,) = (TOOLS / "debian").glob("usr/lib/*/libnss_wrapper.so")
        self.environment = {"LD_PRELOAD": str(library), "NSS_WRAPPER_HOSTS": str(self.file)}
        self._written = itertools.count(1)

    def set(self, name, addresses):
        self.addresses[name] = list(addresses)
        lines = [f"{address} {name}\n" for name, all_of_it in self.addresses.items() for address in all_of_it]
        replacement = self.file.with_suffix(".new")
        replacement.write_text("".join(lines))
        # It is read again when its time changes, by whole seconds.
        os.utime(replacement, (next(self._written),) * 2)
        replacement.replace(self.file)


def free_port(*addresses):
    """One port that is free at all of them."""
    while True:
        sockets = [socket.socket() for _ in addresses]
        try:
            sockets[0].bind((addresses[0], 0))
            port = sockets[0].getsockname()[1]
            for each, address in zip(sockets[1:], addresses[1:]):
                each.bind((address, port))
            return port
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()


class Replica:
    """One process at an address of its own; can be stopped, killed and started again in the same place."""

    def __init__(self, name, *flags, environment=None):
        self.name, self.flags, self.environment = name, flags, environment
        self.start()

    def start(self):
        self.service = Service(self.name, *self.flags, environment=self.environment)

    def ready(self):
        self.service.ready()
        return self

    def kill(self):
        self.service.kill()

    def stop(self):
        """Asks it to stop, waits for its end and returns the exit code."""
        self.service.process.send_signal(signal.SIGTERM)
        return self.service.process.wait(timeout=PATIENCE_S)

    def restart(self, until_ready):
        code = self.stop()
        self.start()
        self.service.ready()
        until_ready(self.service)
        return code

    def metrics(self):
        return self.service.metrics()


class Cluster:
    """Detectors and segmenters behind one name each, gateways that know them by it, haproxy before the gateways."""

    def __init__(self, directory, checkpoints, detectors=2, segmenters=3, gateways=2):
        self.directory, self.checkpoints = pathlib.Path(directory), checkpoints
        self.names = Names(self.directory / "hosts")
        self.ports = {}
        self.numbers = {"detector": itertools.count(1), "segmenter": itertools.count(1)}
        self.detectors, self.segmenters, self.gateways = [], [], []
        self.balancer = None
        try:
            for _ in range(detectors):
                self.add("detector", self.detectors)
            for _ in range(segmenters):
                self.add("segmenter", self.segmenters)
            for replica in self.detectors + self.segmenters:
                replica.ready()
            self.publish()
            for _ in range(gateways):
                self.gateways.append(Replica(
                    "duet-gateway", f"--port={free_port('127.0.0.1')}", "--drain_grace_ms=1000",
                    f"--detector=detector.test:{self.ports['detector']}",
                    f"--segmenter=segmenter.test:{self.ports['segmenter']}", environment=self.names.environment))
            for gateway in self.gateways:
                gateway.ready()
            self._start_balancer()
            wait_until(lambda: self._answers(self.all_up_port))
        except BaseException:
            self.stop()
            raise

    def add(self, model, replicas):
        """Starts one more; nobody knows of it until `publish`."""
        third, number = {"detector": 1, "segmenter": 2}[model], next(self.numbers[model])
        if model not in self.ports:
            self.ports[model] = free_port(*(f"127.0.{third}.{last}" for last in range(1, 9)))
        replica = Replica(f"duet-{model}", f"--bind=127.0.{third}.{number}", f"--port={self.ports[model]}",
                          "--metrics_port=0", "--threads=1", f"--checkpoint={self.checkpoints[model]}")
        replica.address = f"127.0.{third}.{number}"
        replicas.append(replica)
        return replica

    def publish(self):
        self.names.set("detector.test", [each.address for each in self.detectors])
        self.names.set("segmenter.test", [each.address for each in self.segmenters])

    def restart_gateway(self, gateway):
        """Returns the exit code. The next gateway may go only when the load balancer has seen this one go and come."""
        code = gateway.stop()
        wait_until(lambda: not self._answers(self.all_up_port))
        gateway.start()
        gateway.ready()
        wait_until(lambda: self._answers(self.all_up_port))
        return code

    @staticmethod
    def _answers(port):
        try:
            return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).ok
        except requests.ConnectionError:
            return False

    def _start_balancer(self):
        self.port, self.all_up_port = free_port("127.0.0.1"), free_port("127.0.0.1")
        servers = "\n".join(f"  server gateway{number} 127.0.0.1:{gateway.service.port} check inter 100ms fall 1 rise 1"
                            for number, gateway in enumerate(self.gateways))
        file = self.directory / "haproxy.cfg"
        # As an ingress does it: by readiness, and what could not even connect goes to the next gateway.
        file.write_text(f"""
global
  maxconn 1000
defaults
  mode http
  timeout connect 5s
  timeout client 120s
  timeout server 120s
  timeout check 5s
  retries 3
  option redispatch
frontend duet
  bind 127.0.0.1:{self.port}
  default_backend gateways
frontend all_up
  bind 127.0.0.1:{self.all_up_port}
  monitor-uri /readyz
  monitor fail if {{ nbsrv(gateways) lt {len(self.gateways)} }}
backend gateways
  balance roundrobin
  option httpchk GET /readyz
{servers}
""")
        self.balancer = subprocess.Popen([TOOLS / "bin/haproxy", "-db", "-f", file], stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def replicas_known(self):
        """(detectors, segmenters) that every gateway knows; the least of them."""
        known = [requests.get(f"http://127.0.0.1:{gateway.service.port}/", timeout=5).json() for gateway in self.gateways]
        return tuple(min(each[model]["replicas"] for each in known) for model in ("detector", "segmenter"))

    def stop(self):
        if self.balancer:
            self.balancer.kill()
            self.balancer.wait()
        for replica in self.gateways + self.segmenters + self.detectors:
            replica.kill()


class Load:
    """Keeps asking for predictions, `workers` at once, until the `with` block ends or `most` requests were made.

    Afterwards `failures` holds every answer that was not a success with a whole result.
    """

    def __init__(self, cluster, images, label_config, workers=3, most=2000):
        self.cluster, self.label_config = cluster, label_config
        self.images, self.lock = itertools.cycle(images), threading.Lock()
        self.workers, self.left = workers, most
        self.answered, self.failures = 0, []
        self.stopping = threading.Event()

    def _work(self):
        while not self.stopping.is_set():
            with self.lock:
                self.left -= 1
                if self.left < 0:
                    return
                image = next(self.images)
            problem = self._ask(image)
            with self.lock:
                self.answered += 1
                if problem:
                    self.failures.append(problem)

    def _ask(self, image):
        try:
            answer = predict(self.cluster.port, [image], self.label_config)
        except requests.RequestException as error:
            return repr(error)
        if answer.status_code != 200:
            return f"{answer.status_code} {answer.text[:300]}"
        (task,) = answer.json()["results"]
        return None if task.get("result") else f"no result: {answer.text[:300]}"

    def __enter__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(self.workers)
        self.running = [self.pool.submit(self._work) for _ in range(self.workers)]
        self.after(3)
        return self

    def after(self, count):
        """Waits until so many more requests have been answered."""
        goal = self.answered + count
        wait_until(lambda: self.answered >= goal or self.left < 0)
        assert self.answered >= goal, "the load ended too early"

    def __exit__(self, *_):
        self.stopping.set()
        for each in self.running:
            each.result()
        self.pool.shutdown()
