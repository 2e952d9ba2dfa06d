"""A node: containerd and runc, a kubelet, kube-proxy, and CoreDNS, which elsewhere is a Pod and here a process beside them."""

import ipaddress
import json
import pathlib
import subprocess

import yaml

from control_plane import NODE_ADDRESS, NODE_NAME, PODS, SERVER
from programs import ROOT, Program, tool

UNPACKED = ROOT / ".duet/tools/cluster"
SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "docker.io/library/duet-pause:local"
NODE_PODS = next(ipaddress.ip_network(PODS).subnets(new_prefix=24))
DOMAIN = "cluster.local"
BRIDGE = "pods0"


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

    @property
    def programs(self):
        return [self.containerd, self.names, self.kubelet, self.proxy]

    def kill(self, pod):
        """The first process of its first container, with SIGKILL."""
        container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        ended = self.ctr("--namespace=k8s.io", "task", "kill", "--signal=SIGKILL", container)
        assert ended.returncode == 0, ended.stderr

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
