# shellcheck shell=bash
# ./duet up and down: Duet's processes on this machine.

# In the order of starting; stopped in the reverse, so that nothing loses what it calls.
readonly PROCESSES=(label-studio duet-detector duet-segmenter duet-trainer duet-gateway)
readonly READY_SECONDS=300
readonly BINARIES=build/release/bin

help_up() {
  cat <<'TEXT'
usage: ./duet up [OPTION...]

  --detector_checkpoint=FILE    default models/demo/rtmdet-demo.pth; or a name of ./duet models list, which is fetched
  --segmenter_checkpoint=FILE   default models/demo/sam-demo.pth; likewise
  --device=cpu|cuda             for both models; Debian's LibTorch is for CPUs only
  --precision=fp32|fp32-strict|bf16  for both models
  --score_threshold=0.5         detections above it become predictions
  --profiles=FILE               the gateway's profiles
  --label_studio_url=URL        where images of Label Studio's tasks are fetched,
  --label_studio_api_key_file=FILE  and the file of the token for that; without one, up asks for the token
  --with_label_studio           start a Label Studio too, set up for Duet, with a project of sample pictures
  --demo_project=no             without that project
  --train                       start the trainer too: models learn from what is annotated in that Label Studio
  --bind=ADDRESS                where the gateway listens; default 127.0.0.1. The models stay there, see below
  --port=8003 --detector_port=50051 --segmenter_port=50052 --trainer_port=50053 --label_studio_port=8080
  --detector_metrics_port=9101 --segmenter_metrics_port=9102 --trainer_metrics_port=9103
  --FLAG=VALUE                  any other flag of the processes (build/release/bin/duet-gateway --help, …);
                                every process that has such a flag gets it
  --detector_FLAG=VALUE --segmenter_FLAG=VALUE --trainer_FLAG=VALUE
                                only this process gets it; --bind, --port and --tls_… are the gateway's
  --reset                       forget all options of earlier times
  --json                        what runs then, as ./duet status --json; what is said meanwhile goes to stderr

Each option is also a variable, DUET_OPTION. up remembers both for the next time. The command line counts before the
variable, and the variable before what is remembered. --OPTION= (with nothing behind it) goes back to the default. In
names, - and _ mean the same.

up restarts only processes whose options, binary or model have changed. It first tries the new process beside the old
one: if the new one doesn't start, the old one runs on, and up says why.

Exit code 0: all runs and is ready; 1: it does not, and up says why; 2: asked wrongly, and nothing was changed.
Example: ./duet up --with_label_studio
TEXT
}

cmd_up() {
  hide_secrets "$@"
  local argument told=() as_json=''
  for argument; do
    case $argument in
      --json | --json=*) if says_yes "$argument"; then as_json=yes; else as_json=''; fi ;;
      *) told+=("$argument") ;;
    esac
  done
  if [[ $as_json ]]; then
    bring_up "${told[@]}" >&2
    status_as_json
  else
    bring_up "${told[@]}"
  fi
}

# bring_up ARGUMENT...
bring_up() {
  require_room
  lock_processes
  resolve_options "$@"
  say_what_is_remembered
  check_own_names
  check_ports
  fetch_named_models
  check_files
  ask_for_token "$@"
  check_token
  [[ ! ${OPTION[train]:-} || ${OPTION[with_label_studio]:-} || ${OPTION[label_studio_url]:-} ]] ||
    refuse "--train needs the Label Studio whose annotations are learned from: --label_studio_url=URL or --with_label_studio"
  local packages targets=(bin/duet-detector bin/duet-segmenter bin/duet-gateway bin/duet bin/duet-inspect-checkpoint)
  [[ ! ${OPTION[train]:-} ]] || targets+=(bin/duet-trainer bin/duet-train)
  mapfile -t packages < <(packages_of build runtime)
  install_packages "${packages[@]}"
  [[ -x $BINARIES/duet-gateway ]] || step "building, which takes 30 minutes on 2 cores, 5 on 16; later it takes seconds"
  build release "${targets[@]}" || die "the build failed"
  check_names
  if [[ ${OPTION[with_label_studio]:-} ]]; then
    start_label_studio "${OPTION[label_studio_port]}"
    OPTION+=(
      [label_studio_url]="http://127.0.0.1:${OPTION[label_studio_port]}"
      [label_studio_api_key]="$(label_studio_token)"
    )
  fi
  start_duet
  remember_options
  trap - HUP
  print_next_steps
}

# All that is to be started anew is tried before anything is stopped. From then on it goes through to the end, even if the
# terminal is closed.
start_duet() {
  local process
  for process in $(processes); do
    describe_process "$process"
    try_out "duet-$process" "$SIGNATURE" "${COMMAND[@]}"
  done
  trap '' HUP
  for process in $(processes); do
    describe_process "$process"
    ensure_running "duet-$process" "$WHERE" "$SIGNATURE" "${COMMAND[@]}"
  done
  [[ ${OPTION[train]:-} ]] || stop duet-trainer
  wait_until_ready
}

# describe_process detector|segmenter|trainer|gateway: sets WHERE, COMMAND, VARIABLES and SIGNATURE to how it is to run. Another
# version of its binary or weights, and another variable that it reads, start it anew.
describe_process() {
  local files=("$PWD/$BINARIES/duet-$1") settings=() name
  arguments_for "$1"
  if [[ $1 == gateway ]]; then
    WHERE=$(reachable "${OPTION[bind]}" "${OPTION[port]}")
    [[ ! ${OPTION[tls_certificate]:-} ]] || WHERE=https://$WHERE
    ARGUMENTS+=("--detector=$(reachable "${OPTION[detector_bind]}" "${OPTION[detector_port]}")"
      "--segmenter=$(reachable "${OPTION[segmenter_bind]}" "${OPTION[segmenter_port]}")")
    if [[ ${OPTION[train]:-} ]] && has_flag gateway trainer; then
      ARGUMENTS+=("--trainer=$(reachable "${OPTION[trainer_bind]}" "${OPTION[trainer_port]}")")
    fi
    for name in "${!AWS_@}" "${!SSL_CERT_@}"; do settings+=("$name=${!name}"); done
  else
    WHERE=$(reachable "${OPTION[$1_bind]}" "${OPTION[$1_port]}")
    files+=("${OPTION[$1_checkpoint]}")
  fi
  if [[ $1 == trainer ]]; then
    files+=("$PWD/$BINARIES/duet-train" "${OPTION[trainer_segmenter_checkpoint]:-${OPTION[segmenter_checkpoint]}}")
    for name in "${!AWS_@}" "${!SSL_CERT_@}"; do settings+=("$name=${!name}"); done
  fi
  for name in $(sorted "${!VARIABLES[@]}"); do settings+=("$name=${VARIABLES[$name]}"); done
  COMMAND=("${files[0]}" "${ARGUMENTS[@]}")
  SIGNATURE=$(signature "${files[@]}" -- "${ARGUMENTS[@]}" "${settings[@]}")
}

# try_out NAME SIGNATURE COMMAND...: if a NAME runs that was started otherwise, starts another one beside it, on free
# ports, and ends with its own words unless it comes up. It is gone afterwards.
try_out() {
  local name=$1 signature=$2 log=$LOG_DIRECTORY/$1.trial.log deadline=$((SECONDS + READY_SECONDS)) ports=(--port=0)
  shift 2
  if ! running "$name" || [[ $(record_of "$name" signature) == "$signature" ]]; then return; fi
  say "trying $name with the new options"
  [[ $name == duet-gateway ]] || ports+=(--metrics_port=0)
  # Two trainers don't work in one folder.
  [[ $name != duet-trainer ]] || ports+=("--work_dir=$DUET_STATE/trainer.trial")
  rm -f "$log"
  launch "$log" "$RUN_DIRECTORY/$name.trial" "$@" "${ports[@]}" --log_level=info
  # Should memory be short, it is this one that the kernel ends.
  echo 1000 >"/proc/$LAUNCHED/oom_score_adj" || true
  # shellcheck disable=SC2064 # this process, whatever is launched later
  trap "kill -KILL -- -$LAUNCHED 2>/dev/null || kill -KILL $LAUNCHED 2>/dev/null || true" EXIT
  until grep -qs '"event":"serving"' "$log"; do
    alive "$LAUNCHED" ||
      die "$name does not start with these options, so what runs was left as it is: $(last_words_in "$log")"
    ((SECONDS < deadline)) ||
      die "$name is not ready within $READY_SECONDS s with these options, so what runs was left as it is; see $log"
    sleep 0.05
  done
  kill -TERM -- "-$LAUNCHED" || true
  while alive "$LAUNCHED"; do sleep 0.02; done
  trap - EXIT
  rm -rf "$DUET_STATE/trainer.trial" "$RUN_DIRECTORY/$name.trial" "$RUN_DIRECTORY/$name.trial.pid"
}

# Each model by its own word, then the gateway, which may have been there before: only once it has heard of these very
# models does everything that is asked of it, and every warning, concern them.
wait_until_ready() {
  local deadline=$((SECONDS + READY_SECONDS)) model
  for model in detector segmenter; do
    await_process "duet-$model" model_is_ready "$model"
  done
  [[ ! ${OPTION[train]:-} ]] || await_process duet-trainer model_is_ready trainer
  await_process duet-gateway gateway_is_ready
  for model in detector segmenter; do
    await_process duet-gateway gateway_knows "$model" "$(metrics_of "$model" | served_by version)"
  done
  for model in detector segmenter; do require_alive "duet-$model"; done
}

# await_process NAME CONDITION...: until the caller's `deadline`, or the process's death.
await_process() {
  local name=$1
  shift
  until "$@"; do
    require_alive "$name"
    ((SECONDS < deadline)) || die "$name is not ready within $READY_SECONDS s; its log is $LOG_DIRECTORY/$name.log"
    sleep 0.1
  done
  require_alive "$name"
}

model_is_ready() { metrics_of "$1" | grep '^duet_ready 1$' >/dev/null; }

# gateway_knows detector|segmenter VERSION: that this is what it serves.
gateway_knows() { [[ $(ask_gateway / --max-time 2 | parse json_value "$1" version) == "$2" ]]; }

gateway_is_ready() { ask_gateway /readyz --output /dev/null --max-time 2; }

print_next_steps() {
  local step=0 connected unlabelled=''
  say
  say "Duet is up. Backend URL for Label Studio: $(gateway_url)"
  [[ ${OPTION[bind]} != @(0.0.0.0|::) ]] || say "(from other machines: this machine's name or address instead)"
  say "In a browser that URL shows a page, where the models can be tried and what goes wrong is seen."
  say
  if [[ ${OPTION[with_label_studio]:-} ]]; then
    next_step "Log in to Label Studio: ${OPTION[label_studio_url]}
     $LABEL_STUDIO_USER, password $(<"$LABEL_STUDIO_HOME/password")
   Duet holds a token of it already."
    show_demo_project
    warn_of_label_configs "$LABEL_CONFIG_SECONDS"
  elif [[ ${OPTION[label_studio_url]:-} && $(label_studio_key) ]]; then
    check_access
    say
  elif running label-studio; then
    next_step "The Label Studio that Duet started still runs, but Duet fetches no images from it. So that it does:
     ./duet up --with_label_studio"
  else
    local url=${OPTION[label_studio_url]:-${FORGOTTEN[label_studio_url]:-}}
    next_step "Start your Label Studio${url:+ ($url)} with these variables, else it refuses backends on its own machine:
     LABEL_STUDIO_ML_BLOCK_LOCAL_IP=false LABEL_STUDIO_SSRF_PROTECTION_ENABLED=false label-studio start"
    next_step "Give Duet a token to fetch images with: in Label Studio, Account & Settings → Personal Access Token →
   Create; then
     ./duet up --label_studio_url=${url:-http://localhost:8080}
   which asks for it."
  fi
  # The project of sample pictures is none that could be used then.
  if connected=$(connected_projects) && ((connected > 0)) && [[ ! $unlabelled || $connected != 1 ]]; then
    say "Label Studio has $connected connected $( ((connected == 1)) && echo project || echo projects); ./duet doctor looks at them."
    say "./duet status shows what runs, ./duet down stops it."
    return
  fi
  next_step "Create a project. Labeling Setup → Custom template → Code: paste what this prints,
     ./duet label-config
   a label config with the loaded model's classes in one list, for boxes, masks and smart tools."
  next_step "Settings → Model → Connect Model: Name Duet, and the URL above; switch \"Interactive preannotations\" on;
   Validate and Save. It says Connected."
  if [[ ${OPTION[detector_checkpoint]} == "$DUET_ROOT/models/demo/"* ]]; then
    next_step "Import images and open one. The demo models know those of tests/data/scenes; begin with scene_3.jpg."
  else
    next_step "Import images and open one."
  fi
  say
  say "./duet status shows what runs, ./duet down stops it."
}

# connected_projects: how many have asked the gateway lately, as warn_of_label_configs has made them do.
connected_projects() { ask_gateway /ui/projects --max-time 5 | parse json_rows projects project | sort -u | wc -l; }

# next_step TEXT: numbered by the caller's `step`.
next_step() { printf '%d. %s\n' $((++step)) "$1"; }

help_down() {
  cat <<'TEXT'
usage: ./duet down

Stops what ./duet up started, Label Studio too. What runs is let finish what it works on, up to a minute.

Exit code 0: nothing runs any more; 2: asked wrongly.
Example: ./duet down
TEXT
}

cmd_down() {
  take_no_arguments down "$@"
  lock_processes
  local index
  for ((index = ${#PROCESSES[@]} - 1; index >= 0; index--)); do
    stop "${PROCESSES[index]}"
  done
}
