# shellcheck shell=bash
# ./duet up, down, status, label-config: Duet's three processes on this machine.

# In the order of starting; stopped in the reverse, so that nothing loses what it calls.
readonly PROCESSES=(label-studio duet-detector duet-segmenter duet-gateway)
readonly READY_SECONDS=300
readonly BINARIES=build/release/bin

up_help() {
  cat <<'TEXT'
usage: ./duet up [OPTION...]

  --detector-checkpoint=FILE    default models/demo/rtmdet-demo.pth
  --segmenter-checkpoint=FILE   default models/demo/sam-demo.pth
  --device=cpu|cuda             for both models
  --precision=fp32|bf16         for both models
  --profiles=FILE               the gateway's profiles
  --label_studio_url=URL        where images of Label Studio's tasks are fetched,
  --label_studio_api_key=TOKEN  and with which token
  --with-label-studio           start a Label Studio too, set up for Duet
  --bind=ADDRESS                where the gateway listens; default 127.0.0.1
  --port=8003 --detector-port=50051 --segmenter-port=50052 --label-studio-port=8080
  --detector-metrics-port=9101 --segmenter-metrics-port=9102

What runs already with these very options is kept, what runs with others is started anew.
TEXT
}

# Sets the global OPTION table from `up`'s arguments and its defaults.
declare -A OPTION
parse_up() {
  OPTION=(
    [port]=8003 [bind]=127.0.0.1 [detector-port]=50051 [segmenter-port]=50052
    [detector-metrics-port]=9101 [segmenter-metrics-port]=9102 [label-studio-port]=8080
    [detector-checkpoint]=models/demo/rtmdet-demo.pth [segmenter-checkpoint]=models/demo/sam-demo.pth
    [device]='' [precision]='' [profiles]='' [label-studio-url]='' [label-studio-api-key]=''
    [with-label-studio]=''
  )
  local name
  while (($#)); do
    name=${1%%=*}
    name=${name#--}
    name=${name//_/-}
    case $1 in
      --with-label-studio) OPTION[$name]=yes ;;
      --*=*)
        [[ -v OPTION[$name] ]] || die "unknown option '$1'; ./duet up --help"
        OPTION[$name]=${1#*=}
        ;;
      *) die "unknown option '$1' (options are written --name=value); ./duet up --help" ;;
    esac
    shift
  done
  local model
  for model in detector segmenter; do
    [[ -f ${OPTION[$model-checkpoint]} ]] || die "${OPTION[$model-checkpoint]}: no such file, needed as --$model-checkpoint"
    OPTION[$model-checkpoint]=$(realpath "${OPTION[$model-checkpoint]}")
  done
}

cmd_up() {
  [[ ${1:-} != --help ]] || { up_help; return; }
  parse_up "$@"
  lock_processes
  local packages
  mapfile -t packages < <(packages_of build runtime)
  install_packages "${packages[@]}"
  build release bin/duet-detector bin/duet-segmenter bin/duet-gateway || die "the build failed"
  if [[ ${OPTION[with-label-studio]} ]]; then
    start_label_studio "${OPTION[label-studio-port]}"
    OPTION[label-studio-url]=http://127.0.0.1:${OPTION[label-studio-port]}
    OPTION[label-studio-api-key]=$(label_studio_token)
  fi
  start_duet
  wait_until_ready
  print_next_steps
}

start_duet() {
  # By the environment, since a command line is there for everyone to read.
  [[ -z ${OPTION[label-studio-api-key]} ]] || export DUET_LABEL_STUDIO_API_KEY=${OPTION[label-studio-api-key]}
  start_model detector
  start_model segmenter
  local arguments=("--port=${OPTION[port]}" "--bind=${OPTION[bind]}"
    "--detector=127.0.0.1:${OPTION[detector-port]}" "--segmenter=127.0.0.1:${OPTION[segmenter-port]}")
  add_option profiles profiles
  add_option label-studio-url label_studio_url
  start_binary duet-gateway "$(reachable "${OPTION[bind]}"):${OPTION[port]}"
}

# start_model detector|segmenter
start_model() {
  local checkpoint=${OPTION[$1-checkpoint]}
  local arguments=("--checkpoint=$checkpoint" "--port=${OPTION[$1-port]}" "--metrics_port=${OPTION[$1-metrics-port]}")
  add_option device device
  add_option precision precision
  start_binary "duet-$1" "127.0.0.1:${OPTION[$1-port]}" "$checkpoint"
}

# add_option OPTION FLAG: to the caller's `arguments`, if the option was given.
add_option() { [[ -z ${OPTION[$1]} ]] || arguments+=("--$2=${OPTION[$1]}"); }

# reachable BIND-ADDRESS: one at which this machine reaches what listens there.
reachable() {
  case $1 in
    0.0.0.0 | ::) echo 127.0.0.1 ;;
    *) echo "$1" ;;
  esac
}

# start_binary NAME WHERE [FILE...], with the caller's `arguments`; another version of a FILE starts it anew.
start_binary() {
  local name=$1 where=$2 binary=$PWD/$BINARIES/$1
  shift 2
  ensure_running "$name" "$where" "$(signature "$binary" "$@" -- "${arguments[@]}")" "$binary" "${arguments[@]}"
}

wait_until_ready() {
  local deadline=$((SECONDS + READY_SECONDS)) name
  until curl --fail --silent --output /dev/null --max-time 2 "$(gateway_url)/readyz"; do
    for name in duet-detector duet-segmenter duet-gateway; do require_alive "$name"; done
    ((SECONDS < deadline)) || die "not ready within $READY_SECONDS s; the logs are in $LOG_DIRECTORY"
    sleep 0.1
  done
}

# Where the gateway answers: that of the last `up`, else the default.
gateway_url() {
  local where
  where=$(record_of duet-gateway where)
  echo "http://${where:-127.0.0.1:8003}"
}

print_next_steps() {
  cat <<TEXT

Duet is up. Backend URL for Label Studio: $(gateway_url)

TEXT
  if [[ ${OPTION[with-label-studio]} ]]; then
    print_label_studio_login "${OPTION[label-studio-url]}"
  else
    cat <<'TEXT'
1. Start your Label Studio with these variables, else it refuses backends on its own machine:
     LABEL_STUDIO_ML_BLOCK_LOCAL_IP=false LABEL_STUDIO_SSRF_PROTECTION_ENABLED=false label-studio start
2. Give Duet a token to fetch images with: in Label Studio, Account & Settings → Personal Access Token →
   Create; then
     ./duet up --label_studio_url=http://localhost:8080 --label_studio_api_key=TOKEN
TEXT
  fi
  cat <<TEXT
3. Create a project. Labeling Setup → Custom template → Code: paste what this prints,
     ./duet label-config
   a label config with the loaded model's classes and with smart tools.
4. Settings → Model → Connect Model: the URL above; switch "Interactive preannotations" on;
   Validate and Save. It says Connected.
5. Import images and open one.

./duet status shows what runs, ./duet down stops it.
TEXT
}

cmd_down() {
  lock_processes
  local index
  for ((index = ${#PROCESSES[@]} - 1; index >= 0; index--)); do
    stop "${PROCESSES[index]}"
  done
}

cmd_status() {
  local name status=0
  for name in "${PROCESSES[@]}"; do
    if running "$name"; then
      printf '%-15s running  %-22s pid %s\n' "$name" "$(record_of "$name" where)" "$(record_of "$name" pid)"
    elif [[ $name != label-studio ]]; then
      printf '%-15s stopped\n' "$name"
      status=1
    fi
  done
  return "$status"
}

cmd_label_config() {
  curl --fail-with-body --silent --show-error --max-time 10 "$(gateway_url)/label-config" ||
    die "no answer from $(gateway_url)/label-config; does Duet run? (./duet status)"
}
