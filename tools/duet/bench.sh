# shellcheck shell=bash
# ./duet bench NAME [ARGUMENT...]: builds and runs every benchmark of a layer, tests/bench/NAME. Arguments go to it.

help_bench() {
  cat <<'TEXT'
usage: ./duet bench NAME [ARGUMENT...]

Builds and runs every benchmark of a layer, tests/bench/NAME. Arguments go to them.

Exit code 0: all ran; 1: one failed; 2: there is no such layer.
Example: ./duet bench gateway
TEXT
}

cmd_bench() {
  local name=${1:-}
  local known
  known=$(cd tests/bench && printf '%s ' */)
  [[ $name && -d tests/bench/$name ]] || refuse "no benchmarks of '$name'; there are: ${known//\//}"
  shift
  local -x WITH_TESTS=yes
  local targets target packages
  mapfile -t packages < <(packages_of build runtime test)
  install_packages "${packages[@]}" >&2
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

# side_by_side NAME REQUIREMENTS... -- ARGUMENT...: a layer's script, in an environment that has its peers.
side_by_side() {
  local name=$1 here=tests/bench/$1 requirements=() venv
  shift
  while [[ $1 != -- ]]; do
    requirements+=("$here/$1")
    shift
  done
  venv=$(ensure_venv "bench-$name" "${requirements[@]}")
  "$venv/bin/python" "$here/side_by_side.py" "$(find build/release -type f -name "bench_${name}_turns")" "${@:2}"
}

# Duet's detector beside ONNX Runtime and OpenVINO; with --torch also beside PyTorch and mmdet, which pip takes some
# gigabytes for.
bench_beside_peers_detector() {
  local requirements=(requirements.txt)
  if [[ ${1:-} == --torch ]]; then
    requirements+=(requirements-torch.txt)
    shift
  fi
  side_by_side detector "${requirements[@]}" -- "$@"
}

# Duet's segmenter beside the official code (which brings PyTorch along), ONNX Runtime and OpenVINO.
bench_beside_peers_segmenter() {
  side_by_side segmenter requirements.txt -- "$@"
}

# How fast training images are made; and an iteration of training beside mmdet's, whose PyTorch pip takes some gigabytes
# for.
bench_beside_peers_trainer() {
  "$(find build/release -type f -name bench_trainer_augment)"
  side_by_side trainer requirements.txt -- "$@"
}

# duet prelabel beside its detector's batch rate; with --torch also beside a Python loop with mmdet, which pip takes some
# gigabytes for.
bench_beside_peers_bulk() {
  build release bin/duet bin/duet-detector >&2
  local requirements=(requirements.txt)
  if [[ ${1:-} == --torch ]]; then
    requirements+=(../detector/requirements-torch.txt)
    shift
  fi
  side_by_side bulk "${requirements[@]}" -- "$@"
}
