# shellcheck shell=bash
# What ./duet says while it works, and its help.

# A terminal that was closed is no reason to stop in the middle of something, nor is a closed pipe (outlive_readers).
say() { printf '%s\n' "$*" 2>/dev/null || true; }

# A heading above a step that may take a while.
step() { printf '== %s\n' "$*"; }

warn() { printf 'duet: %s\n' "$*" >&2 || true; }

die() {
  warn "$@"
  exit 1
}

# refuse: likewise, what was asked wrongly, which changes nothing.
refuse() {
  warn "$@"
  exit 2
}

# outlive_readers: who reads what ./duet says may stop reading, as in `./duet up | head -1`. That would end it, or what it
# calls, in the middle of a change. So what goes into a pipe goes through a process that reads on to the end.
outlive_readers() {
  local one_pipe=''
  [[ ! /dev/fd/1 -ef /dev/fd/2 ]] || one_pipe=yes  # 2>&1, whose order is kept
  if may_break 1; then exec > >(pass_along); fi
  if may_break 2; then
    if [[ $one_pipe ]]; then exec 2>&1; else exec 2> >(pass_along >&2); fi
  fi
}

# may_break DESCRIPTOR
may_break() { [[ -p /dev/fd/$1 || -S /dev/fd/$1 ]]; }

# pass_along: ends when nobody is left who could say anything. It becomes a program of its own, since a shell would keep the
# command line, which may have a secret (hide_secrets).
pass_along() {
  trap '' INT TERM HUP
  exec tee --output-error=warn-nopipe /dev/null 2>/dev/null
}

# wants_help COMMAND [ARGUMENT...]: benchmarks, and what is passed on to another program, have a help of their own.
wants_help() {
  local argument command=$1
  shift
  [[ $command != @(bench|models) ]] || set -- "${@:1:1}"
  for argument; do
    [[ $argument != @(-h|--help) ]] || return 0
  done
  return 1
}

# wants_version COMMAND [ARGUMENT...]: likewise.
wants_version() {
  local argument command=$1
  shift
  [[ $command != bench ]] || set --
  for argument; do
    [[ $argument != --version ]] || return 0
  done
  return 1
}

help_version() {
  cat <<'TEXT'
usage: ./duet version

Prints which Duet this checkout is, as every command does with --version.

Exit code 0; 2: asked wrongly.
Example: ./duet version
TEXT
}

# The programs that are built here say the same.
cmd_version() {
  take_no_arguments version "$@"
  sed -nE 's/^project\(duet VERSION ([^ ]+) .*/duet \1/p' "$DUET_ROOT/CMakeLists.txt"
}

# says_yes ARGUMENT: of a switch, --NAME or --NAME=VALUE, with the values that the programs' flags take; nothing behind the = is
# the default, no.
says_yes() {
  local value=yes
  [[ $1 != *=* ]] || value=${1#*=}
  case ${value,,} in
    true | t | yes | y | 1) return 0 ;;
    false | f | no | n | 0 | '') return 1 ;;
    *) refuse "$1: must be yes or no" ;;
  esac
}

# asks_for_json HINT [ARGUMENT...]: of a command that takes nothing but --json. HINT says where its usage is.
asks_for_json() {
  local argument hint=$1 as_json=''
  for argument in "${@:2}"; do
    [[ $argument == --json?(=*) ]] || refuse "unknown argument '$argument'; $hint$(did_you_mean "$argument" <<<'--json --help')"
    if says_yes "$argument"; then as_json=yes; else as_json=''; fi
  done
  [[ $as_json ]]
}

# take_no_arguments COMMAND [ARGUMENT...]
take_no_arguments() { (($# == 1)) || refuse "./duet $1 takes no arguments, but was given '${*:2}'"; }

cmd_help() {
  cat <<'TEXT'
usage: ./duet COMMAND [ARGUMENT...]

  up                    install what is missing, build, and start Duet; ./duet up --help lists its options
  down                  stop what up started
  status                what runs, with which models and options, and what went wrong last
  doctor                whether all is as it has to be, and how to mend what is not
  logs                  what the processes have written; -f goes on, --failures shows what went wrong
  label-config          a label config for Label Studio, from the loaded model's classes
  test                  install, build, and run the tests; ./duet test --help lists its parts
  models list|fetch     official weights, from their publishers
  models inspect        what is in a file of weights
  models rollback|delete  trained models; models list --model_root=DIR shows them
  embed                 images encoded before somebody clicks into them: a project, a folder
  export                annotations of Label Studio as COCO
  import                COCO as tasks for Label Studio
  predict               what is in a few pictures: a list, drawn, as JSON
  prelabel              the objects of very many images: a folder, a list, a COCO file
  merge                 what several machines did of that, put together
  review                annotations that the project's model contradicts, by a gateway with a token
  revision              annotated images, split and frozen for a training
  train                 trains on what is annotated in Label Studio, by a gateway that has a trainer
  completion bash|zsh   a script by which the shell completes commands and flags
  bench NAME            runs the benchmarks of a layer
  version               which Duet this is, as every command's --version

Each says more with --help. Exit code 0: done; 1: something failed, or is wrong; 2: asked wrongly, or nothing could be done.
Duet runs on Debian 12 (bookworm), as root or with sudo.
Example: ./duet up --with_label_studio
TEXT
}

# did_you_mean WRITTEN <NAMES: how a sentence about a name that there isn't ends, if one of NAMES is near.
did_you_mean() { parse nearest_name "$1"; }
