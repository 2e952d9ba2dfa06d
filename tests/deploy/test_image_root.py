"""What a service's image is made of: what its programs load, of which packages, and nothing else that could be run."""

import os
import shutil
import sys

import pytest

from conftest import DEPLOY, ROOT, run

PROGRAMS = [ROOT / "build/release/bin" / name for name in ("duet-gateway", "duet-health-check")]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The gateway's, as deploy/Dockerfile makes it, of what is installed here."""
    folder = tmp_path_factory.mktemp("image") / "root"
    made = run(DEPLOY / "make-image-root", folder, *PROGRAMS)
    assert made.returncode == 0, made.stderr
    (folder / "usr/local/bin").mkdir(parents=True)
    for program in PROGRAMS:
        shutil.copy(program, folder / "usr/local/bin")
    return folder


def check(root):
    return run(sys.executable, ROOT / "tools/check_image_root.py", root)


def test_nothing_is_inside_that_should_not_be(root):
    checked = check(root)

    assert checked.returncode == 0 and not checked.stdout, checked.stdout + checked.stderr


@pytest.mark.parametrize("path, mode, said", [
    ("usr/bin/sh", 0o755, "a program that isn't Duet's"), ("usr/bin/curl", 0o644, "a program that isn't Duet's"),
    ("opt/busybox", 0o755, "a program that isn't Duet's"), ("usr/lib/helper", 0o4644, "setuid"), ("usr/lib/helper", 0o2644, "setgid"),
    ("etc/settings", 0o666, "everybody may write to it"), ("var/lib/dpkg/status.d/secret", 0o644, "without its licence")])
def test_what_should_not_be_inside_is_named(root, path, mode, said):
    file = root / path
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    file.chmod(mode)

    checked = check(root)
    file.unlink()

    assert checked.returncode == 1
    assert checked.stdout.startswith(f"/{path}" if "licence" not in said else "/usr/share/doc/secret") and said in checked.stdout


def test_the_loader_finds_everything_inside(root):
    """By a shell's exit code 127 or a sentence of the loader's otherwise."""
    if os.geteuid() != 0:
        pytest.skip("only root may chroot")
    for program in PROGRAMS:
        result = run("/usr/sbin/chroot", root, f"/usr/local/bin/{program.name}", "--version", env={})
        assert result.returncode == 0 and result.stdout.startswith(program.name), result.stderr


def test_each_file_is_of_a_package_that_the_image_names(root):
    named = {path.name for path in (root / "var/lib/dpkg/status.d").iterdir()}
    libraries = {str(path.resolve()) for path in map(lambda path: ROOT.root / path.relative_to(root), root.rglob("*.so*"))
                 if path.name != "ld.so.cache"}
    owners = {}
    for line in run("dpkg-query", "--search", *libraries, *(path.removeprefix("/usr") for path in libraries)).stdout.splitlines():
        package, path = line.split(": ")
        owners["/usr" + path.removeprefix("/usr")] = package.split(":")[0]

    assert owners.keys() == libraries
    assert named == {*owners.values(), "ca-certificates", "base-files"}
    assert "libcurl4" in named and "curl" not in named and "libtorch1.13" not in named


def test_a_library_that_is_not_there_is_named(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(PROGRAMS[1].read_bytes().replace(b"libcurl.so.4\0", b"libduet.so.4\0"))
    program.chmod(0o755)

    made = run(DEPLOY / "make-image-root", tmp_path / "root", program)

    assert made.returncode == 1 and "libduet.so.4 => not found" in made.stderr


def test_nothing_is_put_into_a_folder_that_is_there(tmp_path):
    made = run(DEPLOY / "make-image-root", tmp_path, *PROGRAMS)

    assert made.returncode == 1 and f"{tmp_path} is there already" in made.stderr and not list(tmp_path.iterdir())
