#!/usr/bin/env bash
# usage: check_format.sh SOURCE_DIRECTORY: fails if clang-format would change a tracked C++ file, or if a comment is wider
# than 100 columns. clang-format leaves comments as they are (ReflowComments: false), so their width is looked at here.
# Of code, only what it cannot break is wider: literals.
set -euo pipefail
cd "$1"
git ls-files -z '*.h' '*.cc' | xargs -0 clang-format-14 --dry-run --Werror
if git ls-files -z '*.h' '*.cc' | LC_ALL=C.UTF-8 xargs -0 grep -nHP '^(?=.{101})(.*\s)?//'; then
  echo "comments wider than 100 columns" >&2
  exit 1
fi
