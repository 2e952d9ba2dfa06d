# shellcheck shell=bash
# ./duet completion: what a shell needs to complete ./duet's commands and flags.

help_completion() {
  cat <<'TEXT'
usage: ./duet completion bash|zsh

Prints a script for the shell: with it the Tab key completes ./duet's commands and their flags, which are those of the
programs that are built now.

Exit code 0; 1: nothing is built yet; 2: another shell.
Examples: source <(./duet completion bash)
          source <(./duet completion zsh)
TEXT
}

cmd_completion() {
  [[ $# == 1 && $1 == @(bash|zsh) ]] || refuse "which shell is '$*'? ./duet completion bash, or zsh"
  [[ -x $BINARIES/duet ]] || die "nothing is built yet; ./duet up builds it"
  local command
  {
    for command in $(all_commands); do
      printf '%s\t' "$command"
      if [[ $command == up ]]; then
        resolve_options
        { printf '%s\n' "${!OPTION[@]}" "${OWN_OPTIONS[@]}" reset json help; all_flags; } | sort -u | tr '\n' ' '
      else
        flags_in_help "$command" | sort -u | tr '\n' ' '
      fi
      printf '\t%s\n' "$(words_after "$command")"
    done
    printf 'models fetch\tbase_url dir table help\t%s\n' "$(names_of_models .)"
    printf 'models inspect\ttensors json help\t\n'
    printf '=detector_checkpoint\t%s\n' "$(names_of_models '^[^s]')"
    printf '=trainer_checkpoint\t%s\n' "$(names_of_models '^[^s]')"
    printf '=segmenter_checkpoint\t%s\n' "$(names_of_models '^segmenter$')"
    printf '=trainer_segmenter_checkpoint\t%s\n' "$(names_of_models '^segmenter$')"
    printf '=%s\tyes no\n' "${SWITCHES[@]}"
  } | parse completion "$1"
}

# words_after COMMAND: what may come next, if these are known words.
words_after() {
  case $1 in
    models) echo list fetch inspect rollback delete ;;
    completion) echo bash zsh ;;
    logs) echo gateway detector segmenter trainer label-studio ;;
  esac
}

# names_of_models PATTERN: of those whose kind (boxes, segmenter, …) it matches.
names_of_models() { awk -F '\t' -v kind="$1" 'NR > 1 && $5 ~ kind { printf "%s ", $1 }' "$MODELS_TABLE"; }

# all_commands: those that are functions of this shell, and those of the program.
all_commands() {
  {
    declare -F | sed -n 's/^declare -f cmd_//p' | tr _ -
    printf '%s\n' "${PROGRAM_COMMANDS[@]}"
  } | sort -u
}

# all_flags: of the processes that are built, and as options for one of them alone.
all_flags() {
  local process
  for process in detector segmenter trainer gateway; do
    [[ -x $BINARIES/duet-$process ]] || continue
    flags_of "$process"
    [[ $process == gateway ]] || flags_of "$process" | sed "s/^/${process}_/"
  done
}

# flags_in_help COMMAND: by its own help.
flags_in_help() {
  local function=help_${1//-/_}
  {
    if declare -F "$function" >/dev/null; then "$function"; fi
    if "$BINARIES/duet" --help | grep -q "^  $1 "; then "$BINARIES/duet" "$1" --help; fi
  } | sed -nE 's/^ +--([a-z][a-z_-]*).*/\1/p'
  echo help
}
