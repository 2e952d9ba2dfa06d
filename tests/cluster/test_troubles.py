"""What a Pod says that does not start: deploy/README.md's table, as somebody sees it who looks at the Pod."""

import pytest

from deployment import kustomization, pods, remove
from duet import weights, with_weights
from programs import wait_until


@pytest.fixture
def applied(cluster, node, tmp_path):
    def apply(*components, **literals):
        cluster.do("apply", "-k", kustomization(tmp_path, base="overlays/local", components=components, **with_weights(**literals)))
    yield apply
    remove(cluster)


def said_at_its_end(cluster, name):
    """By the first container of the Deployment's Pod that ended badly: its last line, as `kubectl describe` shows it."""
    def message():
        for pod in pods(cluster, name):
            for status in [*pod["status"].get("initContainerStatuses", []), *pod["status"].get("containerStatuses", [])]:
                for ended in (status["state"].get("terminated"), status["lastState"].get("terminated")):
                    if ended and ended["exitCode"]:
                        return ended.get("message", "(nothing)")
    return wait_until(message).strip().splitlines()[-1]


def waits_for(cluster, name):
    """The messages at the Pod: why its containers wait, why it has no node, and its events."""
    found = [each["message"] for each in cluster.items("events", "-n", "duet") if each["involvedObject"]["name"].startswith(name)]
    for pod in pods(cluster, name):
        found += [each["message"] for each in pod["status"].get("conditions", []) if "message" in each]
        found += [status["state"]["waiting"].get("message", "") for status in pod["status"].get("containerStatuses", [])
                  if "waiting" in status["state"]]
    return found


def test_weights_of_another_checksum_and_of_another_architecture(cluster, applied):
    url = weights("detector")[0]
    applied(detector=[url, "MODEL_SHA256=0123abcd"], segmenter=weights("detector"))

    said = said_at_its_end(cluster, "duet-detector")
    assert "gave a file with SHA-256" in said and "but it must start with 0123abcd" in said
    said = said_at_its_end(cluster, "duet-segmenter")
    assert "startup.failed" in said and "/models/model.pth" in said


def test_secrets_that_are_missing(cluster, applied):
    applied("label-studio", "redis")

    for name, secret in (("duet-gateway", "duet-label-studio"), ("duet-segmenter", "duet-redis")):
        wait_until(lambda: any(f'secret "{secret}" not found' in each for each in waits_for(cluster, name)))


def test_a_volume_that_is_missing(cluster, applied):
    applied("label-studio", "trainer")

    wait_until(lambda: any("unbound immediate PersistentVolumeClaims" in each for each in waits_for(cluster, "duet-trainer")))
