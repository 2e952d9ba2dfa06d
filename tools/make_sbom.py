#!/usr/bin/env python3
"""Prints what an image holds, with versions and licences, as SPDX 2.3 (JSON): from Debian's package database inside of it.

    python3 tools/make_sbom.py --name=duet-gateway --root=/path/of/the/mounted/image
    python3 tools/make_sbom.py --name=duet-gateway --packages=deploy/packages/gateway.txt   # of what is installed here

With --packages only those and what they depend on. Licences are what Debian's copyright files say of all files together, where they say it in
a form that machines can read; what SPDX has no word for keeps Debian's. The files themselves are in the image.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import sys
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Debian's short names that are not SPDX's, in lower case.
LICENCES = {
    "expat": "MIT", "mit": "MIT", "apache-2.0": "Apache-2.0", "apache-2": "Apache-2.0", "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause", "bsd-4-clause": "BSD-4-Clause", "isc": "ISC", "zlib": "Zlib", "zlib/libpng": "Zlib", "bsl-1.0": "BSL-1.0",
    "boost": "BSL-1.0", "curl": "curl", "openssl": "OpenSSL", "mpl-2.0": "MPL-2.0", "libpng": "Libpng", "ijg": "IJG", "psf-2": "PSF-2.0",
    "artistic": "Artistic-1.0", "artistic-2.0": "Artistic-2.0", "cc0-1.0": "CC0-1.0", "unlicense": "Unlicense", "ofl-1.1": "OFL-1.1",
    "postgresql": "PostgreSQL", "libtiff": "libtiff", "x11": "X11", "ncsa": "NCSA", "cc0": "CC0-1.0",
    **{f"{kind.lower()}-{number}{plus}": f"{kind}-{number if '.' in number else number + '.0'}-{'or-later' if plus else 'only'}"
       for kind, numbers in (("GPL", ("1", "2", "3", "2.0", "3.0")), ("LGPL", ("2", "2.1", "3", "2.0", "3.0")), ("AGPL", ("3",)))
       for number in numbers for plus in ("", "+")},
}


def paragraphs(text):
    """Of a file of Debian's: [{field: value}], with lower-case names."""
    for each in re.split(r"\n\s*\n", text):
        fields = re.findall(r"^(\S+?):(.*(?:\n[ \t].*)*)", each, re.MULTILINE)
        if fields:
            yield {name.lower(): value.strip() for name, value in fields}


def installed(root):
    """{package: its fields}"""
    database = root / "var/lib/dpkg"
    # Of images without dpkg, a file a package (deploy/make-image-root).
    files = [file for file in (database / "status", *sorted(database.glob("status.d/*"))) if file.exists()]
    if not files:
        sys.exit(f"{database}/status does not exist, nor {database}/status.d: --root must be the root of a Debian system or image")
    return {each["package"]: each for file in files for each in paragraphs(file.read_text(encoding="utf-8"))
            if each.get("status", "").endswith(" installed")}


def with_dependencies(names, packages):
    """These and all that they depend on."""
    provided = {}
    for name, fields in packages.items():
        for each in re.findall(r"[a-z0-9][a-z0-9+.-]+", re.sub(r"\(.*?\)", "", fields.get("provides", ""))):
            provided.setdefault(each, name)
    found, new = set(), set(names)
    while new:
        found |= new
        wanted = set()
        for name in new:
            depends = ",".join(packages[name].get(field, "") for field in ("depends", "pre-depends"))
            for alternatives in re.sub(r"\(.*?\)|:any|\[.*?\]", "", depends).split(","):
                there = [packages.get(each.strip()) and each.strip() or provided.get(each.strip()) for each in alternatives.split("|")]
                wanted |= {each for each in there[:1] + there if each}
        new = wanted - found
    return sorted(found)


def licences(root, name):
    """Debian's names of the licences of all files of the package; None if its copyright file is prose."""
    file = root / "usr/share/doc" / name / "copyright"
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if not re.match(r"\s*Format(-Specification)?:", text):
        return None
    return sorted({fields["license"].split("\n")[0].strip() for fields in paragraphs(text) if {"license", "files"} <= fields.keys()} - {""})


def reference(text):
    """A name of our own for a licence that SPDX has none for."""
    return f"LicenseRef-Debian-{re.sub(r'[^a-zA-Z0-9.]+', '-', text.replace('+', '-or-later')).strip('-')}"


def expression(text):
    """SPDX's words for "GPL-2+ or Expat"; None if it doesn't have them."""
    words = []
    for word in re.split(r",?\s+(and|or|and/or)\s+|,\s*", text, flags=re.IGNORECASE):
        if word is None or not word:
            continue
        if word.lower() in ("and", "or", "and/or"):
            words.append("AND" if word.lower() == "and" else "OR")
        elif word.lower() in LICENCES:
            if words and words[-1] not in ("AND", "OR"):
                words.append("AND")
            words.append(LICENCES[word.lower()])
        else:
            return None
    return None if {"AND", "OR"} <= set(words) or not words else " ".join(words)


def package(root, name, fields):
    named = licences(root, name)
    known = [expression(each) or reference(each) for each in named or []]
    declared = sorted({part for each in known for part in ([f"({each})"] if " OR " in each else each.split(" AND "))})
    return {
        "SPDXID": f"SPDXRef-{re.sub(r'[^a-zA-Z0-9.-]', '-', name)}", "name": name, "versionInfo": fields["version"],
        "supplier": f"Organization: {fields['maintainer'].split('<')[0].strip()}", "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION", "copyrightText": "NOASSERTION",
        "licenseDeclared": " AND ".join(declared) or "NOASSERTION",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                          "referenceLocator": f"pkg:deb/debian/{name.replace('+', '%2B')}@{fields['version'].replace('+', '%2B').replace(':', '%3A')}"
                                              f"?arch={fields['architecture']}"}]}


def document(name, root, names):
    packages = installed(root)
    unknown = [each for each in names if each not in packages]
    if unknown:
        sys.exit(f"{', '.join(unknown)}: not installed in {root}")
    version = re.search(r"project\(duet VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())[1]
    inside = [package(root, each, packages[each]) for each in (with_dependencies(names, packages) if names else sorted(packages))]
    own = {"SPDXID": "SPDXRef-Duet", "name": name, "versionInfo": version, "supplier": "Organization: Duet",
           "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0",
           "copyrightText": "NOASSERTION", "primaryPackagePurpose": "APPLICATION"}
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch else datetime.datetime.now(datetime.UTC)
    names = {each for package in inside for each in licences(root, package["name"]) or [] if not expression(each)}
    others = {reference(each): each for each in sorted(names)}
    content = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([own, inside], sort_keys=True))
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"{name}-{version}",
        "documentNamespace": f"urn:uuid:{content}",
        "creationInfo": {"created": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: duet-make_sbom"]},
        "packages": [own, *inside],
        "hasExtractedLicensingInfos": [
            {"licenseId": each, "name": known, "extractedText": "As Debian's copyright files call it; the text is in /usr/share/doc/PACKAGE/copyright."}
            for each, known in others.items()],
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-Duet"},
                          *({"spdxElementId": "SPDXRef-Duet", "relationshipType": "DEPENDS_ON", "relatedSpdxElement": each["SPDXID"]}
                            for each in inside)]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--name", required=True, help="of the image")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("/"), help="the root folder of the image; default: this machine's")
    parser.add_argument("--packages", type=pathlib.Path, action="append", default=[], help="a list of Debian packages, one a line")
    flags = parser.parse_args()
    try:
        text = "\n".join(file.read_text() for file in flags.packages)
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
    names = re.findall(r"^[a-z0-9][a-z0-9+.-]+", text, re.MULTILINE)
    print(json.dumps(document(flags.name, flags.root, names), indent=1))


if __name__ == "__main__":
    main()
