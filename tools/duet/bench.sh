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
  if declare -F "bench_beside_peers_$name" >/dev/null; then
    "bench_beside_peers_$name" "$@"
    return
  fi
  ! declare -F "bench_arguments_$name" >/dev/null || "bench_arguments_$name"
  for target in "${targets[@]}"; do
    "$(find build/release -type f -name "$target" -perm -u+x | head -n 1)" "${BENCH_ARGUMENTS[@]}" "$@"
  done
}

# What a benchmark needs besides itself; sets BENCH_ARGUMENTS.
BENCH_ARGUMENTS=()
bench_arguments_gateway() {
  build release bin/duet-gateway >&2
  local reference=$DUET_ROOT/tests/bench/gateway/reference venv
  venv=$(ensure_venv bench-gateway "$reference/requirements.txt")
  BENCH_ARGUMENTS=("--gateway=$BINARIES/duet-gateway" "--picture=tests/data/scenes/scene_0.jpg"
    "--gunicorn=$venv/bin/gunicorn" "--reference=$reference")
}

# Duet's detector beside ONNX Runtime and OpenVINO; with --torch also beside PyTorch and mmdet, which pip takes some
# gigabytes for.
bench_beside_peers_detector() {
  local here=tests/bench/detector venv
  local requirements=("$here/requirements.txt")
  if [[ ${1:-} == --torch ]]; then
    requirements+=("$here/requirements-torch.txt")
    shift
  fi
  venv=$(ensure_venv bench-detector "${requirements[@]}")
  "$venv/bin/python" "$here/side_by_side.py" "$(find build/release -type f -name bench_detector_turns)" "$@"
}
