"""A real API server takes every overlay and component, and its controllers make Pods of them, which need no node for it."""

import re

import pytest

from deployment import K8S, kustomization
from programs import ROOT, wait_until

OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
# Components that are in no overlay: what they need before them, and the base.
COMPONENTS = {"trainer": ["label-studio", "trainer"], "tls": ["label-studio", "trainer", "tls"], "bulk": ["bulk"],
              "bulk-masks": ["bulk", "bulk-masks"], "traces": ["label-studio", "trainer", "traces"], "weights-on-node": ["weights-on-node"],
              "keda": ["keda"]}
pytestmark = pytest.mark.usefixtures("others_kinds")


@pytest.fixture(scope="module", params=[*OVERLAYS, *COMPONENTS])
def folder(request, tmp_path_factory):
    if request.param in OVERLAYS:
        return K8S / "overlays" / request.param
    return kustomization(tmp_path_factory.mktemp("api"), components=COMPONENTS[request.param])


@pytest.fixture(scope="module")
def applied(cluster, folder):
    """It lies in the cluster, by the command of deploy/README.md; what that printed."""
    ended = cluster.kubectl("apply", "-k", folder)
    assert ended.returncode == 0, ended.stderr
    for each in cluster.items("hpa", "-n", "duet"):
        wait_until(lambda: replicas(cluster, each["metadata"]["name"]) >= each["spec"]["minReplicas"])
    yield ended
    cluster.do("delete", "-k", folder)


def replicas(cluster, name):
    return cluster.get("deployment", name, "-n", "duet")["spec"]["replicas"]


def contents(cluster, folder):
    """What each object says, with all that the server adds."""
    return {(each["kind"], each["metadata"]["name"]): {key: value for key, value in each.items() if key not in ("metadata", "status")}
            for each in cluster.items("-k", folder)}


def test_nothing_is_refused_or_warned_of(applied):
    assert applied.stderr == ""
    assert re.fullmatch(r"(\S+ created\n)+", applied.stdout), applied.stdout


def test_every_component_is_in_one_of_the_kustomizations():
    named = "".join((K8S / "overlays" / overlay / "kustomization.yaml").read_text() for overlay in OVERLAYS)
    there = set(re.findall(r"components/([\w-]+)", named)) | {each for needed in COMPONENTS.values() for each in needed}
    assert there == {path.name for path in (K8S / "components").iterdir()}


def test_applied_again_it_changes_nothing(cluster, applied, folder):
    before = contents(cluster, folder)

    again = cluster.do("apply", "-k", folder)

    # kubectl always sends a budget's selector, whatever it is.
    sent = [line for line in again.splitlines() if not line.endswith(" unchanged") and not line.startswith("poddisruptionbudget.")]
    assert not sent
    assert contents(cluster, folder) == before


def test_server_side_it_changes_nothing_either(cluster, applied, folder):
    """Nor does the server find that somebody else has set what the manifests say: a conflict is an error."""
    before = contents(cluster, folder)

    for _ in range(2):
        ended = cluster.kubectl("apply", "--server-side", "-k", folder)
        assert (ended.returncode, ended.stderr) == (0, "")

    assert contents(cluster, folder) == before


def test_pods_are_admitted_under_the_restricted_standard(cluster, applied):
    """Each Deployment's and each Job's, the suspended ones' too, once they are let begin."""
    for job in cluster.items("jobs", "-n", "duet"):
        if job["spec"].get("suspend"):
            cluster.do("patch", "job", job["metadata"]["name"], "-n", "duet", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    owners = {each["metadata"]["labels"]["app.kubernetes.io/name"] for each in cluster.items("deployments", "-n", "duet")}
    owners |= {each["metadata"]["name"] for each in cluster.items("jobs", "-n", "duet")}

    def with_pods():
        labels = [each["metadata"]["labels"] for each in cluster.items("pods", "-n", "duet")]
        return {each.get("job-name", each["app.kubernetes.io/name"]) for each in labels}

    def refused():
        return [each["message"] for each in cluster.items("events", "-n", "duet") if each["reason"] == "FailedCreate"]
    wait_until(lambda: refused() or with_pods() == owners, what=lambda: f"{with_pods()} of {owners} have Pods")
    assert not refused()


def test_the_standard_is_enforced(cluster, applied):
    refused = cluster.kubectl("run", "root", "--image=example", "-n", "duet")

    assert refused.returncode != 0
    assert 'violates PodSecurity "restricted:latest"' in refused.stderr


def test_applying_leaves_the_autoscalers_number_alone(cluster, applied, folder):
    scaled = [each["metadata"]["name"] for each in cluster.items("hpa", "-n", "duet")]
    for name in scaled:
        cluster.do("scale", "deployment", name, "-n", "duet", "--replicas=3")

    cluster.do("apply", "-k", folder)

    assert [replicas(cluster, name) for name in scaled] == [3] * len(scaled)


def test_argos_workflow_is_taken(cluster):
    cluster.do("create", "namespace", "argo-test")

    ended = cluster.kubectl("create", "-n", "argo-test", "-f", ROOT / "deploy/argo/bulk.yaml")

    assert (ended.returncode, ended.stderr) == (0, "")
    cluster.do("delete", "namespace", "argo-test")
