# shellcheck shell=bash
# ./duet logs: what the processes that `up` started have written.

help_logs() {
  cat <<'TEXT'
usage: ./duet logs [NAME...] [-f] [--failures] [--lines=100] [--json]

Shows the logs of the processes that ./duet up started, by time. NAME is gateway, detector, segmenter, trainer or
label-studio; without one, those of Duet's own.

  -f            goes on with what is written from now on, until Ctrl+C
  --failures    only what went wrong: warnings and errors, with their reasons
  --lines=100   how many lines of before; 0: all
  --json        the lines as they are written, one JSON object each

Exit code 0; 1: there is no such log; 2: asked wrongly.
Example: ./duet logs gateway --failures -f
TEXT
}

cmd_logs() {
  local argument told=()
  for argument; do
    case $argument in
      --failures=* | --json=*) ! says_yes "$argument" || told+=("${argument%%=*}") ;;
      *) told+=("$argument") ;;
    esac
  done
  parse logs "$LOG_DIRECTORY" "${told[@]}"
}
