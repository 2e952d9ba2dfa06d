"""The chart, by the commands of deploy/README.md and docs/operations.md: taken by the API server, and run by a node."""

import subprocess

import pytest

from deployment import DEPLOYMENTS, gateway_address, pods, remove, roll_out, template
from duet import serves, weights
from programs import ROOT, tool, wait_until

HELM = ROOT / "deploy/helm"
CHART = HELM / "duet"
KINDS = "deployments,services,configmaps,hpa,networkpolicies"


@pytest.fixture
def helm(cluster):
    def helm(*arguments):
        ended = subprocess.run([tool("helm"), f"--kubeconfig={cluster.admin}", "--namespace=duet", *map(str, arguments)],
                               capture_output=True, text=True)
        assert ended.returncode == 0, f"helm {' '.join(map(str, arguments))}: {ended.stderr}"
    yield helm
    remove(cluster)


def left(cluster):
    """Of the chart's objects; each namespace has a ConfigMap of Kubernetes' own."""
    return [each for each in cluster.items(KINDS, "-n", "duet") if each["metadata"]["name"] != "kube-root-ca.crt"]


def test_the_api_server_takes_every_part_of_a_large_cluster(cluster, others_kinds, helm):
    helm("install", "duet", CHART, "--create-namespace", f"--values={HELM}/cpu.yaml")
    assert left(cluster)

    helm("uninstall", "duet")

    assert not left(cluster)


def test_a_release_is_upgraded_and_rolled_back_on_a_node(cluster, node, helm):
    models = [f"--set={model}.model.{key}={literal.partition('=')[2]}"
              for model in ("detector", "segmenter") for key, literal in zip(("url", "sha256"), weights(model))]
    values = [f"--values={HELM}/local.yaml", *models]
    helm("install", "duet", CHART, "--create-namespace", *values)
    # The Pods of the upgrade are admitted under it.
    cluster.do("label", "namespace", "duet", "pod-security.kubernetes.io/enforce=restricted")
    roll_out(cluster)
    assert serves(gateway_address(cluster))
    before = template(cluster, "duet-segmenter")

    helm("upgrade", "duet", CHART, *values, "--set=segmenter.args={--log_level=debug}")
    roll_out(cluster)
    assert template(cluster, "duet-segmenter") != before and serves(gateway_address(cluster))

    helm("rollback", "duet")
    roll_out(cluster)
    assert template(cluster, "duet-segmenter") == before and serves(gateway_address(cluster))

    helm("uninstall", "duet")
    wait_until(lambda: not any(pods(cluster, name) for name in DEPLOYMENTS))
    assert not left(cluster)
