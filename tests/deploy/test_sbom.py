"""What an image holds, as SPDX: by SPDX's own validator, and against what its package list brings."""

import json
import re
import shutil
import sys

import pytest
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from conftest import DEPLOY, ROOT, run

TOOL = ROOT / "tools/make_sbom.py"


def sbom(*arguments, **environment):
    return run(sys.executable, TOOL, "--name=duet-gateway", *arguments, env={"PATH": "/usr/bin:/bin", **environment})


def packages_of(text):
    return {each["name"]: each for each in json.loads(text)["packages"]}


@pytest.mark.parametrize("lists", [["gateway"], ["models"], ["models", "gateway"]], ids="+".join)
def test_it_is_valid_and_has_what_the_list_names(lists, tmp_path):
    printed = sbom(*(f"--packages={DEPLOY}/packages/{name}.txt" for name in lists))
    assert printed.returncode == 0, printed.stderr
    (tmp_path / "image.spdx.json").write_text(printed.stdout)

    assert not validate_full_spdx_document(parse_file(str(tmp_path / "image.spdx.json")))
    found = packages_of(printed.stdout)
    listed = {name for each in lists for name in re.findall(r"^[a-z].*", (DEPLOY / f"packages/{each}.txt").read_text(), re.MULTILINE)}
    assert listed | {"libc6", "duet-gateway"} <= found.keys()
    assert ("libtorch1.13" in found) == ("models" in lists)
    for name in listed:
        version = run("dpkg-query", "-W", "-f", "${Version}", name).stdout
        assert found[name]["versionInfo"] == version
        assert found[name]["externalRefs"][0]["referenceLocator"].startswith(f"pkg:deb/debian/{name.replace('+', '%2B')}@")
    relations = {each["relatedSpdxElement"] for each in json.loads(printed.stdout)["relationships"]}
    assert relations == {each["SPDXID"] for each in found.values()}


@pytest.fixture
def root(tmp_path):
    """A small image: a package whose licences are in order, one whose copyright file is prose, and one that was removed."""
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text("\n\n".join(
        f"Package: {name}\nStatus: {status}\nMaintainer: Some One <one@example.com>\nArchitecture: amd64\nVersion: 1:2+b\n{more}" for
        name, status, more in (("main", "install ok installed", "Depends: other (>= 1) | gone, virtual\n"),
                               ("other", "install ok installed", "Provides: virtual\n"), ("gone", "deinstall ok config-files", ""),
                               ("apart", "install ok installed", ""))))
    for name, text in (("main", "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: me\nLicense: "
                                "Expat or GPL-2+\n\nFiles: a b\nLicense: BSD-3-clause\n text\n\nFiles: c\nLicense: odd one+\n"),
                       ("other", "It is free.\n")):
        (tmp_path / "usr/share/doc" / name).mkdir(parents=True)
        (tmp_path / "usr/share/doc" / name / "copyright").write_text(text)
    return tmp_path


def test_licences_are_those_of_debians_files(root):
    text = sbom(f"--root={root}").stdout
    found = packages_of(text)

    assert found.keys() == {"duet-gateway", "main", "other", "apart"}
    assert found["main"]["licenseDeclared"] == "(MIT OR GPL-2.0-or-later) AND BSD-3-Clause AND LicenseRef-Debian-odd-one-or-later"
    assert found["other"]["licenseDeclared"] == found["apart"]["licenseDeclared"] == "NOASSERTION"
    assert [(each["licenseId"], each["name"]) for each in json.loads(text)["hasExtractedLicensingInfos"]] == [
        ("LicenseRef-Debian-odd-one-or-later", "odd one+")]
    assert found["main"]["externalRefs"][0]["referenceLocator"] == "pkg:deb/debian/main@1%3A2%2Bb?arch=amd64"


def test_an_image_without_dpkg_says_the_same(root):
    """Where its packages have a file each, as in images that are not Debian's whole system."""
    whole = sbom(f"--root={root}", SOURCE_DATE_EPOCH="1796000000").stdout
    status = root / "var/lib/dpkg/status"
    (root / "var/lib/dpkg/status.d").mkdir()
    for paragraph in status.read_text().split("\n\n"):
        (root / "var/lib/dpkg/status.d" / paragraph.split()[1]).write_text(paragraph)
    status.unlink()

    assert sbom(f"--root={root}", SOURCE_DATE_EPOCH="1796000000").stdout == whole


def test_dependencies_come_along_and_others_do_not(root, tmp_path):
    (tmp_path / "list.txt").write_text("# ours\nmain\n")

    assert packages_of(sbom(f"--root={root}", f"--packages={tmp_path}/list.txt").stdout).keys() == {"duet-gateway", "main", "other"}


def test_the_same_image_has_the_same_document(root):
    first, again = (sbom(f"--root={root}", SOURCE_DATE_EPOCH="1796000000").stdout for _ in range(2))
    shutil.rmtree(root / "usr/share/doc/main")

    assert first == again and "2026-11-30T" in first
    assert json.loads(sbom(f"--root={root}").stdout)["documentNamespace"] != json.loads(first)["documentNamespace"]


@pytest.mark.parametrize("arguments, said", [
    (["--root=/nowhere"], "/nowhere/var/lib/dpkg/status does not exist, nor"),
    (["--packages=/nowhere.txt"], "/nowhere.txt: No such file"),
])
def test_what_is_not_there_is_named(arguments, said):
    refused = sbom(*arguments)

    assert refused.returncode == 1 and said in refused.stderr and len(refused.stderr.splitlines()) == 1
