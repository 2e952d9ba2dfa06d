#!/usr/bin/env bash
# usage: check_format.sh SOURCE_DIRECTORY: fails if clang-format would change a tracked C++ file.
set -euo pipefail
cd "$1"
git ls-files -z '*.h' '*.cc' | xargs -0 clang-format-14 --dry-run --Werror
