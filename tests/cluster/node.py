"""A node: containerd and runc, a kubelet, kube-proxy, and what clusters have beside them: names, NetworkPolicies, metrics.

CoreDNS, kube-router and metrics-server are processes of the node, where other clusters have Pods of them.
"""

import ipaddress
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import requests
import yaml

from control_plane import NODE_ADDRESS, NODE_NAME, PODS, SERVER, SERVICES
from programs import ROOT, Program, tool, wait_until

UNPACKED = ROOT / ".duet/tools/cluster"
SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "docker.io/library/duet-pause:local"
NODE_PODS = next(ipaddress.ip_network(PODS).subnets(new_prefix=24))
DOMAIN = "cluster.local"
BRIDGE = "pods0"
METRICS_PORT = 4443


class Node:
    """Ready once made, with the images of `archive`."""

    def __init__(self, plane, folder, logs, archive):
        self.plane, self.folder, self.logs = plane, pathlib.Path(folder), logs
        self.folder.mkdir()
        self.containerd = Program(logs, tool("containerd"), "--config", self._containerd_config())
        self.containerd.wait_until(lambda: self.ctr("version").returncode == 0)
        loaded = self.ctr("--namespace=k8s.io", "images", "import", archive)
        assert loaded.returncode == 0, loaded.stderr
        server = f"IP:{NODE_ADDRESS},DNS:{NODE_NAME}"
        self.serving = plane.authority.issue("kubelet-server", f"/CN={NODE_NAME}", server)
        self.names = Program(logs, tool("coredns"), "-conf", self._corefile())
        self.kubelet = Program(logs, tool("kubelet"), f"--config={self._kubelet_config()}", f"--hostname-override={NODE_NAME}",
                               f"--node-ip={NODE_ADDRESS}",
                               f"--kubeconfig={self._kubeconfig('kubelet', f'/O=system:nodes/CN=system:node:{NODE_NAME}')}")
        self.proxy = Program(logs, tool("kube-proxy"), f"--config={self._proxy_config()}")
        self.kubelet.wait_until(self._is_ready)
        administrator = self._kubeconfig("node-services", "/O=system:masters/CN=node-services")
        self.policies = Program(logs, tool("kube-router"), f"--kubeconfig={administrator}", f"--hostname-override={NODE_NAME}",
                                "--run-firewall=true", "--run-router=false", "--run-service-proxy=false",
                                f"--service-cluster-ip-range={SERVICES}")
        self.metrics = Program(logs, tool("metrics-server"), f"--kubeconfig={administrator}",
                               f"--authentication-kubeconfig={administrator}", f"--authorization-kubeconfig={administrator}",
                               f"--secure-port={METRICS_PORT}", f"--cert-dir={self.folder}/metrics-server", "--kubelet-insecure-tls",
                               "--kubelet-preferred-address-types=InternalIP", "--metric-resolution=15s")
        self.announce("metrics.k8s.io", {"name": "metrics-server", "namespace": "kube-system"}, METRICS_PORT)

    @property
    def programs(self):
        return [self.containerd, self.names, self.kubelet, self.proxy, self.policies, self.metrics]

    def announce(self, group, service, port):
        """To the API server: one of the node's processes, which serves `group`, is asked at the address of a new Service."""
        self.plane.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": service, "spec": {"ports": [{"name": "https", "port": 443, "targetPort": port}]}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
             "metadata": {**service, "labels": {"kubernetes.io/service-name": service["name"]}},
             "ports": [{"name": "https", "port": port}], "endpoints": [{"addresses": [NODE_ADDRESS]}]},
            {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": f"v1beta1.{group}"},
             "spec": {"group": group, "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                      "insecureSkipTLSVerify": True, "service": service}})

    def kill(self, pod):
        """The first process of its first container, with SIGKILL."""
        ended = self.ctr("--namespace=k8s.io", "task", "kill", "--signal=SIGKILL", container(pod))
        assert ended.returncode == 0, ended.stderr

    def connects(self, pod, address, port):
        """Whether a connection from the Pod's network is taken."""
        tasks = dict(line.split()[:2] for line in self.ctr("--namespace=k8s.io", "task", "list").stdout.splitlines())
        program = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)"
        return subprocess.run(["nsenter", f"--net=/proc/{tasks[container(pod)]}/ns/net", sys.executable, "-c", program, address, str(port)],
                              capture_output=True).returncode == 0

    def lose_power(self):
        """Nothing is told to go, neither the programs nor the Pods; of memory, mounts and the network nothing is left."""
        for program in [*self.plane.programs, *self.programs]:
            program.kill()
        wait_until(lambda: not kill_pods())
        for target in reversed(mounts()):
            subprocess.run(["umount", "--lazy", target], check=True)
        for controller in pathlib.Path("/sys/fs/cgroup").iterdir():
            subprocess.run(["find", controller / "kubepods", "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"], stderr=subprocess.DEVNULL)
        for folder in ("containerd", "netns"):
            shutil.rmtree(f"/run/{folder}", ignore_errors=True)
        subprocess.run(["ip", "link", "delete", BRIDGE], check=True)
        for table in ("filter", "nat", "mangle"):
            for action in ("--flush", "--delete-chain"):
                subprocess.run(["iptables", "--table", table, action], check=True)
        subprocess.run(["ipset", "destroy"], check=True)

    def power_on(self):
        self.plane.start()
        for program in self.programs:
            program.start()
        wait_until(self._runs)

    def _runs(self):
        """The kubelet ends where containerd isn't ready yet, and is started again, as a machine's init would do it."""
        if self.kubelet.process.poll() is not None:
            self.kubelet.start()
        try:
            return requests.get("http://127.0.0.1:10248/healthz", timeout=5).ok
        except requests.RequestException:
            return False

    def ctr(self, *arguments):
        return subprocess.run([tool("ctr"), f"--address={SOCKET}", *map(str, arguments)], capture_output=True, text=True)

    def _is_ready(self):
        said = self.plane.kubectl("get", "node", NODE_NAME, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}")
        return said.stdout == "True"

    def _kubeconfig(self, name, subject):
        return self.plane.authority.kubeconfig(name, subject, SERVER)

    def _file(self, name, text):
        (self.folder / name).write_text(text)
        return self.folder / name

    def _containerd_config(self):
        networks = self.folder / "networks"
        networks.mkdir()
        (networks / "10-bridge.conflist").write_text(json.dumps({
            "cniVersion": "1.0.0", "name": "bridge", "plugins": [
                {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": {
                    "type": "host-local", "ranges": [[{"subnet": str(NODE_PODS)}]], "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": str(self.folder / "addresses")}}]}))
        return self._file("containerd.toml", f"""
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{UNPACKED}/usr/lib/cni"
conf_dir = "{networks}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "/usr/sbin/runc"
""")

    def _kubelet_config(self):
        resolv = self._file("resolv.conf", "")
        certificate, key = self.serving
        return self._file("kubelet.yaml", yaml.safe_dump({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(self.plane.authority.certificate)}},
            "tlsCertFile": str(certificate), "tlsPrivateKeyFile": str(key),
            "cgroupDriver": "cgroupfs", "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "clusterDNS": [NODE_ADDRESS], "clusterDomain": DOMAIN, "resolvConf": str(resolv),
            "volumePluginDir": str(self.folder / "volume-plugins"), "oomScoreAdj": 0, "failSwapOn": False,
            # No image could be fetched again.
            "imageGCHighThresholdPercent": 100, "evictionHard": {"memory.available": "100Mi"}}))

    def _proxy_config(self):
        kubeconfig = self._kubeconfig("kube-proxy", "/CN=system:kube-proxy")
        return self._file("kube-proxy.yaml", yaml.safe_dump({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables",
            "clientConnection": {"kubeconfig": str(kubeconfig)}, "clusterCIDR": PODS, "hostnameOverride": NODE_NAME, "oomScoreAdj": 0,
            # The kernel's, which are the whole machine's.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}}))

    def _corefile(self):
        """With the times of kubeadm's: a Pod's name outlives it by up to 30 s wherever it was asked for. There are no other names."""
        kubeconfig = self._kubeconfig("names", "/O=system:masters/CN=names")
        return self._file("Corefile", f"""
{DOMAIN} in-addr.arpa ip6.arpa {{
  bind {NODE_ADDRESS}
  errors
  kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
    kubeconfig {kubeconfig}
    pods insecure
    ttl 30
  }}
  cache 30 {{
    disable success {DOMAIN}
    disable denial {DOMAIN}
  }}
}}
. {{
  bind {NODE_ADDRESS}
  template ANY ANY {{
    rcode NXDOMAIN
  }}
}}
""")


def container(pod):
    return pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")


def kill_pods():
    """How many processes of Pods and of what holds them there were; all of them are killed."""
    found = {int(line) for file in pathlib.Path("/sys/fs/cgroup/pids").glob("kubepods/**/cgroup.procs") for line in file.read_text().split()}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().startswith("containerd-shim"):
                found.add(int(process.name))
        except OSError:
            pass  # has ended
    for process in found:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return len(found)


def mounts():
    """Those of containers, their networks and their volumes, in the order in which they were made."""
    targets = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    return [each for each in targets if each.startswith(("/run/containerd/", "/run/netns", "/var/lib/kubelet/", "/var/lib/containerd/"))]
