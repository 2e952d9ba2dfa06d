# shellcheck shell=bash
# ./duet bench NAME [ARGUMENT...]: builds and runs every benchmark of a layer, tests/bench/NAME. Arguments go to it.

cmd_bench() {
  local name=${1:-}
  local known
  known=$(cd tests/bench && printf '%s ' */)
  [[ $name && -d tests/bench/$name ]] || die "which benchmark? There are: ${known//\//}"
  shift
  local -x WITH_TESTS=yes
  install_test_packages >&2
  local targets target
  mapfile -t targets < <(grep -oP "add_executable\(\Kbench_\w+" "tests/bench/$name/CMakeLists.txt")
  build release "${targets[@]}" >&2
  for target in "${targets[@]}"; do
    "$(find build/release -type f -name "$target" -perm -u+x | head -n 1)" "$@"
  done
}
