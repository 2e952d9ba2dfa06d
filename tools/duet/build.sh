# shellcheck shell=bash
# CMake, by the presets of CMakePresets.json. Output goes to build/PRESET.

# configure PRESET: only if it was never done or what it depends on changed; Ninja sees every other change itself.
# With the caller's WITH_TESTS=yes the tree has the tests, which need packages of their own; one that has them keeps them.
configure() {
  local tree=build/$1 tests=OFF
  if [[ ${WITH_TESTS:-} ]] || has_tests "$tree" ON; then tests=ON; fi
  if [[ ! -f $tree/build.ninja || CMakePresets.json -nt $tree/build.ninja ]] || ! has_tests "$tree" "$tests"; then
    cmake --preset "$1" -DDUET_BUILD_TESTS=$tests --log-level=WARNING
  fi
}

# Those of build/release/bin/duet.
readonly PROGRAM_COMMANDS=(embed export import merge models predict prelabel review revision train)

# pass_on COMMAND [ARGUMENT...]: runs a command of build/release/bin/duet, which works on files and is none of ours. Paths are
# the caller's. Returns if it has no such command, or isn't built.
pass_on() {
  local binary=$DUET_ROOT/build/release/bin/duet
  [[ " ${PROGRAM_COMMANDS[*]} " == *" $1 "* ]] || return 0
  [[ -x $binary ]] || die "'$1' isn't built yet; ./duet up builds it"
  [[ $1 != embed ]] || name_services segmenter -- "${@:2}"
  [[ $1 != prelabel ]] || name_services detector segmenter -- "${@:2}"
  [[ $1 != predict ]] || {
    name_services detector segmenter -- "${@:2}"
    share_kernel_plan
  }
  cd "$CALLER_DIRECTORY" || die "$CALLER_DIRECTORY: cannot be entered any more"
  exec "$binary" "$@"
}

# name_services SERVICE... -- ARGUMENT...: what `duet prelabel`, `predict` or `embed` is to use, as variables of its flags, unless the
# arguments or variables name the first service: each service that `up` has started and that runs, else the model that `up` would
# start, for one of its own.
name_services() {
  local model name services=()
  while [[ $1 != -- ]]; do
    services+=("$1")
    shift
  done
  name=DUET_${services[0]^^}
  local checkpoint=${name}_CHECKPOINT
  [[ " $*" != *" --${services[0]}"* && ! ${!name:-}${!checkpoint:-} ]] || return 0
  for model in "${services[@]}"; do
    name=DUET_${model^^}
    if running "duet-$model"; then
      export "$name=$(record_of "duet-$model" where)"
    else
      export "${name}_CHECKPOINT=$(resolve_options >/dev/null && echo "${OPTION[${model}_checkpoint]}")"
    fi
  done
}

# share_kernel_plan: services that a command starts find the kernels that `up` has measured, and leave theirs for it.
share_kernel_plan() {
  mkdir -p "$DUET_STATE"
  export DUET_KERNEL_PLAN=${DUET_KERNEL_PLAN:-$DUET_STATE/kernel_plan}
}

# has_tests TREE ON|OFF
has_tests() { grep -qs "^DUET_BUILD_TESTS:BOOL=$2\$" "$1/CMakeCache.txt"; }

# build PRESET [TARGET...]: all targets if none is named.
build() {
  local preset=$1
  shift
  local targets=()
  (($#)) && targets=(--target "$@")
  configure "$preset" && cmake --build --preset "$preset" "${targets[@]}"
}
