"""The images of others in deploy/: none with a fault that its makers have mended, and no Redis without a password."""

import os
import re
import subprocess

import pytest
import yaml

from conftest import DEPLOY, OVERLAYS, render, run, tool
from processes import free_port
from service import wait_until

# By release line, the first version in which a Lua script can no longer run code of its own (CVE-2025-49844). Later
# lines never had it; others were given up.
MENDED = {
    "redis": {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2},
    "valkey/valkey": {(7, 2): 11, (8, 0): 6, (8, 1): 4},
}


def is_mended(image):
    """Whether an image of Redis or Valkey is a version with that fault mended."""
    name, _, tag = image.removeprefix("docker.io/").removeprefix("library/").partition(":")
    lines = MENDED[name]
    version = re.match(r"(\d+)\.(\d+)\.(\d+)", tag)
    if not version:
        return False
    major, minor, patch = map(int, version.groups())
    return (major, minor) > max(lines) or patch >= lines.get((major, minor), patch + 1)


def is_redis(image):
    return re.search(r"(^|/)(redis|valkey)(-\w+)?(:|$)", image) is not None


@pytest.mark.parametrize("image, mended", [
    ("redis:7.4.2-bookworm", False), ("redis:7.4.6", True), ("redis:7.4", False), ("redis", False), ("redis:8.4.0", True),
    ("redis:7.0.15", False), ("valkey/valkey:8.1.3", False), ("valkey/valkey:8.1.4-alpine", True),
    ("docker.io/valkey/valkey:9.0.0", True), ("valkey/valkey:latest", False), ("docker.io/library/redis:8.2.1", False)])
def test_a_version_with_the_fault_is_told_from_one_without(image, mended):
    assert is_redis(image) and is_mended(image) == mended


def services():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def containers(overlay):
    for manifest in yaml.safe_load_all(render(overlay)):
        if manifest["kind"] == "Deployment":
            pod = manifest["spec"]["template"]["spec"]
            yield from pod["containers"] + pod.get("initContainers", [])


def images():
    """Of everywhere: {image}."""
    found = {service["image"] for service in services().values()}
    for overlay in OVERLAYS:
        found |= {container["image"] for container in containers(overlay)}
    return found


def test_every_redis_is_a_mended_version():
    found = [image for image in images() if is_redis(image)]

    assert found and all(is_mended(image) for image in found), found


def test_every_image_is_one_version():
    for image in images():
        tag = image.partition(":")[2]
        assert image.startswith("duet-") or re.match(r"v?\d+\.\d+", tag), f"{image} is another one tomorrow"


def start_commands():
    """How each Redis is started: {where: (command, environment's names)}. compose doubles a $ that is meant."""
    redis = services()["redis"]
    found = {"compose": ([*redis["entrypoint"], *(each.replace("$$", "$") for each in redis["command"])],
                         redis["environment"])}
    for overlay in OVERLAYS:
        for container in containers(overlay):
            if is_redis(container["image"]):
                found[overlay] = ([*container["command"], *container["args"]], [each["name"] for each in container["env"]])
    return found


def test_a_redis_is_started_in_compose_and_in_every_cluster():
    assert start_commands().keys() == {"compose", *OVERLAYS} - {"local"}


@pytest.mark.parametrize("where", sorted(start_commands()))
def test_redis_asks_for_the_secrets_password_which_no_command_line_has(where, tmp_path):
    """By the very command, on a real Redis."""
    command, names = start_commands()[where]
    port = free_port()
    (tmp_path / "valkey-server").symlink_to(tool("redis-server"))
    *shell, script = command
    script = script.replace("valkey-server -", f"valkey-server - --bind 127.0.0.1 --port {port}", 1)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **{name: "secret-4711" for name in names}}
    server = subprocess.Popen([*shell, script], env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answer(**environment):
        return run(tool("redis-cli"), "-p", port, "ping", env={"PATH": os.environ["PATH"], **environment}).stdout.strip()
    try:
        wait_until(lambda: server.poll() is not None or answer(REDISCLI_AUTH="secret-4711") == "PONG")
        assert server.poll() is None
        assert "NOAUTH" in answer() and answer(REDISCLI_AUTH="wrong") != "PONG"
        assert "secret-4711" not in open(f"/proc/{server.pid}/cmdline").read()
        memory = run(tool("redis-cli"), "-p", port, "config", "get", "maxmemory-policy",
                     env={"PATH": os.environ["PATH"], "REDISCLI_AUTH": "secret-4711"}).stdout
        assert "allkeys-lru" in memory
    finally:
        server.kill()
        server.wait()


def test_whoever_uses_compose_redis_has_its_password():
    users = {name: value for service in services().values() for name, value in (service.get("environment") or {}).items()
             if name in ("DUET_EMBEDDING_STORE", "DUET_SETTINGS_STORE")}

    assert len(users) == 2
    for name, value in users.items():
        assert re.fullmatch(r"redis://:\$\{REDIS_PASSWORD:\?[^}]+\}@redis:6379", value), name
