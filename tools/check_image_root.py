#!/usr/bin/env python3
"""Says what is in a service's image that should not be; nothing, and exit code 0, if it holds what its programs load and no more.

    python3 tools/check_image_root.py /path/of/the/mounted/image
"""

import pathlib
import re
import stat
import sys


def complaints(root):
    """One line for each."""
    for path in sorted(root.rglob("*")):
        inside = f"/{path.relative_to(root)}"
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            continue  # what it leads to is looked at where it is
        if mode & (stat.S_ISUID | stat.S_ISGID):
            yield f"{inside}: whoever runs it becomes somebody else (setuid, setgid)"
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield f"{inside}: everybody may write to it"
        if not stat.S_ISREG(mode):
            continue
        library = re.search(r"\.so(\.[\d.]+)?$", path.name)  # of which libc and its loader are executable
        if (path.parent.name in ("bin", "sbin") or mode & 0o111 and not library) and not inside.startswith("/usr/local/bin/duet"):
            yield f"{inside}: a program that isn't Duet's"
    packages = root / "var/lib/dpkg/status.d"
    if not packages.is_dir() or not any(packages.iterdir()):
        yield "/var/lib/dpkg/status.d: doesn't say which packages are inside"
        return
    for package in sorted(packages.iterdir()):
        if not (root / "usr/share/doc" / package.name / "copyright").exists():
            yield f"/usr/share/doc/{package.name}/copyright: the package is inside without its licence"


def main():
    if len(sys.argv) != 2 or not pathlib.Path(sys.argv[1]).is_dir():
        sys.exit("usage: check_image_root.py ROOT, where ROOT is the folder at which an image is mounted")
    found = list(complaints(pathlib.Path(sys.argv[1])))
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
