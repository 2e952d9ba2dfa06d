# shellcheck shell=bash
# CMake, by the presets of CMakePresets.json. Output goes to build/PRESET.

# configure PRESET: only if it was never done or the presets changed; Ninja sees every other change itself.
configure() {
  local tree=build/$1
  [[ -f $tree/build.ninja && ! CMakePresets.json -nt $tree/build.ninja ]] ||
    cmake --preset "$1" --log-level=WARNING
}

# build PRESET [TARGET...]: all targets if none is named.
build() {
  local preset=$1
  shift
  local targets=()
  (($#)) && targets=(--target "$@")
  configure "$preset" && cmake --build --preset "$preset" "${targets[@]}"
}
