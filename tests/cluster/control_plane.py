"""etcd, the API server, the controllers and the scheduler: all of a cluster but its nodes.

Ports are the usual ones: tests/cluster/in_namespaces.sh gives them a network of their own.
"""

import json
import pathlib
import subprocess

import requests
import yaml

from certificates import Authority, openssl
from programs import Program, tool

# What in_namespaces.sh has given this machine.
NODE_NAME, NODE_ADDRESS = "duet-node", "10.10.0.2"
SERVER = f"https://{NODE_ADDRESS}:6443"
SERVICES, API_SERVICE, PODS = "10.96.0.0/16", "10.96.0.1", "10.244.0.0/16"


class ControlPlane:
    """Ready once made. `folder` is for what it keeps, `logs` for its logs."""

    def __init__(self, folder, logs):
        folder = pathlib.Path(folder)
        self.authority = authority = Authority(folder / "certificates")
        self.admin = authority.kubeconfig("admin", "/O=system:masters/CN=admin", SERVER)
        openssl("genrsa", "-out", authority.folder / "accounts.key", "2048")
        self.etcd = Program(logs, tool("etcd"), f"--data-dir={folder}/etcd", "--unsafe-no-fsync",
                            "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
                            "--listen-peer-urls=http://127.0.0.1:2380")
        self.server = self._server(logs)
        self.server.wait_until(self._serves)
        controllers = authority.kubeconfig("controllers", "/CN=system:kube-controller-manager", SERVER)
        self.controllers = Program(
            logs, tool("kube-controller-manager"), f"--kubeconfig={controllers}", "--leader-elect=false", "--allocate-node-cidrs",
            f"--cluster-cidr={PODS}", f"--service-cluster-ip-range={SERVICES}", "--use-service-account-credentials",
            f"--service-account-private-key-file={authority.folder}/accounts.key", f"--root-ca-file={authority.certificate}")
        scheduler = authority.kubeconfig("scheduler", "/CN=system:kube-scheduler", SERVER)
        self.scheduler = Program(logs, tool("kube-scheduler"), f"--kubeconfig={scheduler}", "--leader-elect=false")

    @property
    def programs(self):
        return [self.etcd, self.server, self.controllers, self.scheduler]

    def start(self):
        """Anew, after all of them were killed."""
        self.etcd.start()
        self.server.start()
        self.server.wait_until(self._serves)
        self.controllers.start()
        self.scheduler.start()

    def _server(self, logs):
        authority = self.authority
        serving = authority.issue("server", "/CN=kube-apiserver",
                                  f"IP:{NODE_ADDRESS},IP:{API_SERVICE},IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc")
        to_kubelets = authority.issue("to-kubelets", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        to_aggregated = authority.issue("front-proxy", "/CN=front-proxy")
        return Program(
            logs, tool("kube-apiserver"), "--etcd-servers=http://127.0.0.1:2379", f"--advertise-address={NODE_ADDRESS}",
            f"--tls-cert-file={serving[0]}", f"--tls-private-key-file={serving[1]}", f"--client-ca-file={authority.certificate}",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
            f"--service-cluster-ip-range={SERVICES}", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={authority.folder}/accounts.key",
            f"--service-account-signing-key-file={authority.folder}/accounts.key",
            f"--kubelet-client-certificate={to_kubelets[0]}", f"--kubelet-client-key={to_kubelets[1]}",
            "--kubelet-preferred-address-types=InternalIP",
            # Servers of its own API groups, such as metrics-server.
            f"--requestheader-client-ca-file={authority.certificate}", "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-", f"--proxy-client-cert-file={to_aggregated[0]}",
            f"--proxy-client-key-file={to_aggregated[1]}", "--enable-aggregator-routing")

    def _serves(self):
        try:
            return requests.get(f"{SERVER}/readyz", timeout=5, verify=str(self.authority.certificate)).ok
        except requests.RequestException:
            return False

    def kubectl(self, *arguments, text=None):
        """Ends well or badly: its CompletedProcess."""
        return subprocess.run([tool("kubectl"), f"--kubeconfig={self.admin}", *map(str, arguments)], input=text,
                              capture_output=True, text=True, timeout=600)

    def do(self, *arguments, text=None):
        """What it printed; it has to end well."""
        ended = self.kubectl(*arguments, text=text)
        assert ended.returncode == 0, f"kubectl {' '.join(map(str, arguments))}: {ended.stderr}"
        return ended.stdout

    def get(self, *arguments):
        return json.loads(self.do("get", *arguments, "-o", "json"))

    def items(self, *arguments):
        return self.get(*arguments)["items"]

    def apply(self, *manifests):
        """Objects of the tests' own."""
        return self.do("apply", "--server-side", "-f", "-", text=yaml.safe_dump_all(manifests))
