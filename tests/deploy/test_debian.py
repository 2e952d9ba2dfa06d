"""The lists of Debian packages in deploy/packages, and what tools/duet/packages.sh makes of this machine's apt."""

import os
import pathlib
import re

import pytest

from conftest import DEPLOY, ROOT, run

LISTS = sorted((DEPLOY / "packages").glob("*.txt"))


def names_in(file):
    return re.findall(r"^[a-z].*", file.read_text(), re.MULTILINE)


@pytest.mark.skipif(not any(pathlib.Path("/var/lib/apt/lists").glob("*_Packages*")), reason="apt knows of no package: apt-get update")
@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.stem)
def test_debian_has_what_a_list_names(file):
    names = names_in(file)
    found = set(re.findall(r"^Package: (.+)$", run("apt-cache", "show", "--no-all-versions", *names).stdout, re.MULTILINE))
    assert names and found == set(names)


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.stem)
def test_a_list_is_installed_by_something(file):
    asking = [*(ROOT / "tools/duet").glob("*.sh"), DEPLOY / "Dockerfile"]
    named = re.compile(rf"packages_of[a-z0-9 ]* {file.stem}\b|packages/{file.stem}\.txt")
    assert any(named.search(each.read_text()) for each in asking)


@pytest.mark.parametrize("name, text", [
    ("one.list", "# deb http://old.example/debian buster main\ndeb [arch=amd64] http://mirror.example/debian bookworm main\n"),
    ("one.sources", "Enabled: yes\nTypes: deb deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm-updates bookworm\nComponents: main\n"),
])
def test_the_mirror_is_found_however_it_is_written(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    (tmp_path / "apt.conf").write_text(f'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "{tmp_path}";\n')
    script = f'set -euo pipefail; source {ROOT}/tools/duet/packages.sh; debian_sources "$(debian_mirror)"'
    printed = run("bash", "-c", script, env={**os.environ, "APT_CONFIG": str(tmp_path / "apt.conf")})
    assert printed.stdout.splitlines() == [
        "deb http://mirror.example/debian bookworm main", "deb http://mirror.example/debian bookworm-updates main",
        "deb http://mirror.example/debian-security bookworm-security main"], printed.stderr
