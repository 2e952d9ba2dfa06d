# shellcheck shell=bash
# What ./duet says while it works, and its help.

say() { printf '%s\n' "$*"; }

# A heading above a step that may take a while.
step() { printf '== %s\n' "$*"; }

warn() { printf 'duet: %s\n' "$*" >&2; }

die() {
  warn "$@"
  exit 1
}

# take_no_arguments COMMAND [ARGUMENT...]
take_no_arguments() { (($# == 1)) || die "./duet $1 takes no arguments, but was given '${*:2}'"; }

cmd_help() {
  cat <<'TEXT'
usage: ./duet COMMAND [ARGUMENT...]

  up                    install what is missing, build, and start Duet; ./duet up --help lists its options
  down                  stop what up started
  status                what runs, with which models and options, and what went wrong last
  label-config          a label config for Label Studio, from the loaded model's classes
  test                  install, build, and run the tests; ./duet test --help lists its parts
  models list|fetch     official weights, from their publishers
  export                annotations of Label Studio as COCO
  import                COCO as tasks for Label Studio
  revision              annotated images, split and frozen for a training
  bench NAME            runs the benchmarks of a layer

up, test, models, export, import and revision say more with --help. Duet runs on Debian 12 (bookworm), as root or with sudo.
TEXT
}
