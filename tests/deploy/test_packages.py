"""Debian packages, as CPack makes them of what is built, and the systemd units inside."""

import re
import shutil
import subprocess

import pytest

from conftest import ROOT, run
from test_images import brought_by, libraries_of

PROGRAMS = {"gateway": ["duet", "duet-gateway"], "detector": ["duet-detector"], "segmenter": ["duet-segmenter"],
            "trainer": ["duet-train", "duet-trainer"]}
# systemd-analyze counts from 0 (locked down) to 10. A service needs the network, and oneDNN and LibTorch write the code that they run.
LARGEST_EXPOSURE = 2.0


def version():
    return re.search(r"project\(duet VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())[1]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """{name: file}"""
    folder = tmp_path_factory.mktemp("packages")
    made = run("cpack", "--config", ROOT / "build/release/CPackConfig.cmake", "-B", folder, cwd=folder)
    assert made.returncode == 0, made.stdout + made.stderr
    architecture = run("dpkg", "--print-architecture").stdout.strip()
    files = {name: folder / f"duet-{name}_{version()}_{architecture}.deb" for name in PROGRAMS}
    assert {file.name for file in folder.glob("*.deb")} == {file.name for file in files.values()}
    return files


@pytest.fixture(scope="module")
def root(packages, tmp_path_factory):
    """Where all of them are unpacked."""
    folder = tmp_path_factory.mktemp("root")
    for file in packages.values():
        unpacked = run("dpkg-deb", "--extract", file, folder)
        assert unpacked.returncode == 0, unpacked.stderr
    return folder


def field(package, name):
    return run("dpkg-deb", "--field", package, name).stdout.strip()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_package_holds_its_programs_its_unit_and_the_licence(name, packages):
    listed = run("dpkg-deb", "--contents", packages[name]).stdout
    files = {line.split()[-1].removeprefix(".") for line in listed.splitlines() if not line.startswith("d")}

    assert files == {*(f"/usr/bin/{each}" for each in PROGRAMS[name]), f"/usr/lib/systemd/system/duet-{name}.service",
                     f"/usr/share/doc/duet-{name}/copyright"}
    assert field(packages[name], "Version") == version() and field(packages[name], "Description")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_package_depends_on_every_library_that_its_programs_name(name, packages):
    there = brought_by(re.findall(r"[a-z0-9][a-z0-9+.-]+", field(packages[name], "Depends")))

    for program in PROGRAMS[name]:
        libraries = libraries_of(program)
        owners = run("dpkg-query", "-S", *(f"*/{library}" for library in libraries)).stdout.splitlines()
        found = {path.rsplit("/", 1)[1] for package, path in (line.split(": ") for line in owners) if package.split(":")[0] in there}
        assert libraries <= found, program


def test_no_library_of_a_model_is_in_the_gateways_package(packages):
    assert not re.search(r"torch|dnnl|blas", field(packages["gateway"], "Depends"))


@pytest.mark.parametrize("program", sum(PROGRAMS.values(), []))
def test_what_is_unpacked_starts(program, root):
    printed = run(root / "usr/bin" / program, "--help")

    assert printed.returncode == 0 and printed.stdout, printed.stderr


def unit(name):
    """{key: [value, …]} of its [Service]."""
    found = {}
    text = (ROOT / f"deploy/systemd/duet-{name}.service").read_text()
    for key, value in re.findall(r"^(\w+)=(.*)$", text.split("[Service]")[1].split("[Install]")[0], re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_unit_sets_variables_that_its_program_reads(name, help_of):
    for variable in unit(name).get("Environment", []):
        assert f"env: {variable.partition('=')[0]})" in help_of(f"duet-{name}")
    assert unit(name)["ExecStart"] == [f"/usr/bin/duet-{name}"] and unit(name)["EnvironmentFile"] == [f"-/etc/duet/{name}.env"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_unit_is_left_longer_to_stop_than_it_drains(name, default_of):
    settings = dict(each.split("=", 1) for each in unit(name).get("Environment", []))
    drain_s = int(settings.get("DUET_DRAIN_TIMEOUT_S", default_of(f"duet-{name}", "drain_timeout_s")))
    assert int(unit(name)["TimeoutStopSec"][0]) > drain_s


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
class TestHardening:
    def exposure(self, file):
        printed = subprocess.run(["systemd-analyze", "security", "--offline=true", file], capture_output=True, text=True, timeout=60)
        return float(re.search(r"Overall exposure level for \S+: ([\d.]+)", printed.stdout)[1])

    @pytest.mark.parametrize("name", PROGRAMS)
    def test_a_unit_is_locked_down(self, name, root):
        assert self.exposure(root / f"usr/lib/systemd/system/duet-{name}.service") <= LARGEST_EXPOSURE

    def test_one_that_is_not_is_noticed(self, tmp_path):
        file = tmp_path / "duet-gateway.service"
        text = (ROOT / "deploy/systemd/duet-gateway.service").read_text()
        file.write_text(re.sub(r"^(CapabilityBoundingSet|SystemCallFilter|DynamicUser|User|Protect\w+)=.*\n", "", text, flags=re.MULTILINE))

        assert self.exposure(file) > LARGEST_EXPOSURE

    @pytest.mark.parametrize("name", PROGRAMS)
    def test_systemd_finds_no_fault_in_a_unit(self, name, root, tmp_path):
        """A key that it doesn't know, for instance. The program is where the package was unpacked."""
        file = tmp_path / f"duet-{name}.service"
        file.write_text((root / f"usr/lib/systemd/system/duet-{name}.service").read_text().replace("=/usr/bin", f"={root}/usr/bin"))

        verified = run("systemd-analyze", "verify", "--man=no", file)

        assert verified.returncode == 0 and f"duet-{name}" not in verified.stderr, verified.stderr
