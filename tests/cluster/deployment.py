"""Kustomizations of the tests' own on top of the tree's, put on the cluster."""

import shutil

import yaml

from programs import ROOT

K8S = ROOT / "deploy/k8s"
DEPLOYMENTS = ["duet-detector", "duet-segmenter", "duet-gateway"]


def kustomization(folder, base="base", components=(), **more):
    """Written as deploy/README.md says to write one. Returns its folder."""
    shutil.copytree(K8S, folder / "k8s", dirs_exist_ok=True)
    mine = folder / "k8s/overlays/mine"
    mine.mkdir(exist_ok=True)
    (mine / "kustomization.yaml").write_text(yaml.safe_dump({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": "duet", "resources": [f"../../{base}"],
        "components": [f"../../components/{name}" for name in components], **more}))
    return mine


def patch(kind, name, *operations):
    """For a kustomization: `operations` are (path, value)."""
    return {"target": {"kind": kind, "name": name},
            "patch": yaml.safe_dump([{"op": "replace", "path": path, "value": value} for path, value in operations])}


def add(kind, name, path, value):
    """A patch, too; a path that ends in - is a list's end."""
    return {"target": {"kind": kind, "name": name}, "patch": yaml.safe_dump([{"op": "add", "path": path, "value": value}])}


def small():
    """Patches that make several replicas fit on a machine of two cores."""
    requests = "/spec/template/spec/containers/0/resources/requests"
    return [patch("Deployment", "duet-(detector|segmenter|gateway)", (f"{requests}/cpu", "100m"), (f"{requests}/memory", "512Mi"))]


def roll_out(cluster, *names):
    cluster.do("rollout", "status", "-n", "duet", "--timeout=10m", *[f"deployment/{name}" for name in names or DEPLOYMENTS])


def template(cluster, name):
    """What the Deployment's Pods are made from."""
    return cluster.get("deployment", name, "-n", "duet")["spec"]["template"]


def remove(cluster):
    """All of Duet, its Pods first: a namespace with Pods in it that have a minute to end looks only then whether they are gone."""
    cluster.do("delete", "deployment,job", "--all", "-n", "duet", "--cascade=foreground")
    cluster.do("delete", "namespace", "duet")


def gateway_address(cluster):
    return f"{cluster.get('service', 'duet-gateway', '-n', 'duet')['spec']['clusterIP']}:8003"


def pods(cluster, name):
    """Those that nobody has told to go."""
    return [each for each in cluster.items("pods", "-n", "duet", "-l", f"app.kubernetes.io/name={name}")
            if "deletionTimestamp" not in each["metadata"]]


def pod_name(pod):
    return pod["metadata"]["name"]
