"""components/bulk on a node: the Jobs as docs/bulk_on_clusters.md has them, with Pods that are killed on the way."""

import copy
import os
import pathlib
import shutil

import pytest

from deployment import add, kustomization, patch, pod_name, remove
from duet import with_weights
from programs import ROOT, wait_until

VOLUME = pathlib.Path("/var/lib/cluster/volumes/bulk")
SCENES = sorted((ROOT / "tests/data/scenes").glob("scene_?.jpg"))
SHARDS, IMAGES = 4, 400
DUET_USER = 10001


@pytest.fixture
def volume(cluster, node):
    """What a class with ReadWriteMany would provide, with images in it."""
    images = VOLUME / "images"
    images.mkdir(parents=True)
    for number in range(IMAGES):
        shutil.copy(SCENES[number % len(SCENES)], images / f"{number:04}.jpg")
    os.chown(VOLUME, DUET_USER, DUET_USER)
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "bulk"}, "spec": {
        "capacity": {"storage": "200Gi"}, "accessModes": ["ReadWriteMany"], "storageClassName": "nfs", "hostPath": {"path": str(VOLUME)}}})
    yield VOLUME
    remove(cluster)
    cluster.do("delete", "pv", "bulk")


@pytest.fixture
def applied(cluster, volume, tmp_path):
    """The plan is at work, the shards and the merge wait for it."""
    cpu = "/spec/template/spec/initContainers/{}/resources/requests/cpu"
    cluster.do("apply", "-k", kustomization(
        tmp_path, base="overlays/local", components=["bulk"], **with_weights(),
        images=[{"name": f"duet-{name}", "newTag": "local"} for name in ("detector", "gateway", "fetch-model")],
        replicas=[{"name": f"duet-{name}", "count": 0} for name in ("detector", "segmenter", "gateway")],
        patches=[
            patch("ConfigMap", "duet-bulk", ("/data/SOURCE", "/bulk/images")),
            add("PersistentVolumeClaim", "duet-bulk", "/spec/storageClassName", "nfs"),
            patch("Job", "duet-bulk", ("/spec/completions", SHARDS), ("/spec/maxFailedIndexes", SHARDS), ("/spec/parallelism", 2),
                  ("/spec/template/spec/containers/0/args/2", f"--shard=job/{SHARDS}"), (cpu.format(0), "500m")),
            patch("Job", "duet-bulk-plan", (cpu.format(1), "500m"))]))


def let_begin(cluster, job):
    cluster.do("patch", "job", job, "-n", "duet", "--type=merge", "-p", '{"spec": {"suspend": false}}')


def wait_for(cluster, job):
    cluster.do("wait", f"job/{job}", "-n", "duet", "--for=condition=complete", "--timeout=9m")


def single_run(cluster):
    """The same Pod as a shard's, for all images at once."""
    template = copy.deepcopy(cluster.get("job", "duet-bulk", "-n", "duet")["spec"]["template"])
    template["metadata"] = {"labels": {"app.kubernetes.io/name": "duet-bulk"}}
    template["spec"]["containers"][0]["args"] = ["prelabel", "$(SOURCE)", "--out=/bulk/single.json", "--detector=127.0.0.1:50051"]
    cluster.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "single", "namespace": "duet"},
                   "spec": {"template": template}})
    wait_for(cluster, "single")
    return (VOLUME / "single.json").read_bytes()


def at_work(cluster, spared):
    """A shard's Pod that has results of some images and not yet of all, of none of the indices `spared`; and its index."""
    for pod in cluster.items("pods", "-n", "duet", "-l", "job-name=duet-bulk"):
        index = int(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"])
        journals = list((VOLUME / "results").glob(f"{index:05}-*.journal/journal"))
        if index not in spared and pod["status"]["phase"] == "Running" and any(each.stat().st_size for each in journals):
            return pod, index
    return None


def test_shards_whose_pods_are_killed_give_a_single_runs_bytes(cluster, node, volume, applied):
    wait_for(cluster, "duet-bulk-plan")
    single = single_run(cluster)
    let_begin(cluster, "duet-bulk")

    deleted, index = wait_until(lambda: at_work(cluster, spared=()))
    cluster.do("delete", "pod", pod_name(deleted), "-n", "duet", "--force", "--grace-period=0")
    killed, _ = wait_until(lambda: at_work(cluster, spared={index}))
    node.kill(killed)
    wait_for(cluster, "duet-bulk")
    let_begin(cluster, "duet-bulk-merge")
    wait_for(cluster, "duet-bulk-merge")

    status = cluster.get("job", "duet-bulk", "-n", "duet")["status"]
    assert status["completedIndexes"] == f"0-{SHARDS - 1}" and status["failed"]
    assert (volume / "found.json").read_bytes() == single
