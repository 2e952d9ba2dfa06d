# shellcheck shell=bash
# ./duet up, down, status, label-config: Duet's three processes on this machine.

# In the order of starting; stopped in the reverse, so that nothing loses what it calls.
readonly PROCESSES=(label-studio duet-detector duet-segmenter duet-gateway)
readonly READY_SECONDS=300
readonly BINARIES=build/release/bin

help_up() {
  cat <<'TEXT'
usage: ./duet up [OPTION...]

  --detector-checkpoint=FILE    default models/demo/rtmdet-demo.pth
  --segmenter-checkpoint=FILE   default models/demo/sam-demo.pth
  --device=cpu|cuda             for both models; Debian's LibTorch is for CPUs only
  --precision=fp32|bf16         for both models
  --profiles=FILE               the gateway's profiles
  --label_studio_url=URL        where images of Label Studio's tasks are fetched,
  --label_studio_api_key=TOKEN  and with which token; both are kept for the next time, =(nothing) forgets them
  --with-label-studio           start a Label Studio too, set up for Duet
  --bind=ADDRESS                where the gateway listens; default 127.0.0.1
  --port=8003 --detector-port=50051 --segmenter-port=50052 --label-studio-port=8080
  --detector-metrics-port=9101 --segmenter-metrics-port=9102
  --FLAG=VALUE                  any other flag of the three processes (build/release/bin/duet-gateway --help, …),
                                for all that have it; in the environment each is DUET_FLAG. Secrets are better there.

- and _ in names are the same. What runs already with these very options is kept, what runs with others is started anew.
TEXT
}

# Sets the global OPTION table from `up`'s arguments and its defaults, GIVEN to what was named, and FLAGS to what is
# meant for the processes.
declare -A OPTION GIVEN FLAGS
parse_up() {
  OPTION=(
    [port]=8003 [bind]=127.0.0.1 [detector-port]=50051 [segmenter-port]=50052
    [detector-metrics-port]=9101 [segmenter-metrics-port]=9102 [label-studio-port]=8080
    [detector-checkpoint]=$DUET_ROOT/models/demo/rtmdet-demo.pth
    [segmenter-checkpoint]=$DUET_ROOT/models/demo/sam-demo.pth
    [device]='' [precision]='' [profiles]='' [with-label-studio]=''
    [label-studio-url]=${DUET_LABEL_STUDIO_URL:-} [label-studio-api-key]=${DUET_LABEL_STUDIO_API_KEY:-}
  )
  local name value
  while (($#)); do
    [[ $1 == --* ]] || die "unknown option '$1' (options are written --name=value); ./duet up --help"
    name=${1%%=*}
    name=${name#--}
    name=${name//_/-}
    case $1 in
      *=*) value=${1#*=} ;;
      --with-label-studio | --with_label_studio) value=yes ;;
      *) value=true ;;
    esac
    if [[ -v OPTION[$name] ]]; then
      [[ $1 == *=* || $name == with-label-studio ]] || die "$1 needs a value: $1=…"
      OPTION[$name]=$value
      # shellcheck disable=SC2034
      GIVEN[$name]=yes
    elif [[ $name == @(checkpoint|metrics-port) ]]; then
      die "--$name: of which model? --detector-$name or --segmenter-$name"
    else
      FLAGS[${name//-/_}]=$value
    fi
    shift
  done
  [[ ! -v FLAGS[help] && ! -v FLAGS[h] ]] || { help_up; exit; }
  check_files
  check_ports
}

# Files get their full path.
check_files() {
  local name file
  for name in detector-checkpoint segmenter-checkpoint profiles; do
    file=${OPTION[$name]}
    [[ $name == profiles && ! $file ]] && continue
    [[ $file ]] || die "--$name= names no file"
    file=$(cd "$CALLER_DIRECTORY" && realpath -m "$file")
    [[ -f $file ]] || die "--$name=${OPTION[$name]}: there is no file $file"
    OPTION[$name]=$file
  done
}

# Before anything is built or stopped: are the ports numbers, different, and free, or ours?
check_ports() {
  local name port host
  local -A owner
  for name in port detector-port segmenter-port detector-metrics-port segmenter-metrics-port label-studio-port; do
    port=${OPTION[$name]}
    [[ $name != label-studio-port || ${OPTION[with-label-studio]} ]] || continue
    [[ $port =~ ^[1-9][0-9]{0,4}$ && $port -lt 65536 ]] || die "--$name=$port is no port: 1 to 65535 is needed"
    [[ ! -v owner[$port] ]] || die "--$name and --${owner[$port]} are both $port"
    owner[$port]=$name
  done
  for port in "${!owner[@]}"; do
    host=127.0.0.1
    [[ ${owner[$port]} != port ]] || host=$(reachable "${OPTION[bind]}")
    holds_port "$port" || require_free_port "--${owner[$port]}" "$host:$port"
  done
}

cmd_up() {
  parse_up "$@"
  lock_processes
  local packages
  mapfile -t packages < <(packages_of build runtime)
  install_packages "${packages[@]}"
  build release bin/duet-detector bin/duet-segmenter bin/duet-gateway || die "the build failed"
  check_flags
  if [[ ${OPTION[with-label-studio]} ]]; then
    start_label_studio "${OPTION[label-studio-port]}"
    OPTION[label-studio-url]=http://127.0.0.1:${OPTION[label-studio-port]}
    OPTION[label-studio-api-key]=$(label_studio_token)
  else
    recall_access
  fi
  start_duet
  wait_until_ready
  remember_access
  print_next_steps
}

# flags_of NAME: the names of a process's flags, by its own help. Kept until it is built anew, since LibTorch takes a
# second to load.
flags_of() {
  local binary=$BINARIES/$1 kept=$DUET_STATE/flags/$1
  if [[ ! $kept -nt $binary ]]; then
    mkdir -p "${kept%/*}"
    "$binary" --help | grep -oP '^  --\K\w+' >"$kept"
  fi
  cat "$kept"
}

# Every flag has somebody to take it.
check_flags() {
  local name known
  known=$(for name in duet-detector duet-segmenter duet-gateway; do flags_of "$name"; done)
  for name in "${!FLAGS[@]}"; do
    grep -qx "$name" <<<"$known" || die "unknown option '--$name'; ./duet up --help"
  done
}

start_duet() {
  start_model detector
  start_model segmenter
  start_gateway
}

start_gateway() {
  # By the environment, since a command line is there for everyone to read.
  local -x DUET_LABEL_STUDIO_API_KEY=${OPTION[label-studio-api-key]}
  local arguments=("--port=${OPTION[port]}" "--bind=${OPTION[bind]}"
    "--detector=127.0.0.1:${OPTION[detector-port]}" "--segmenter=127.0.0.1:${OPTION[segmenter-port]}")
  add_option profiles profiles
  add_option label-studio-url label_studio_url
  local where scheme=''
  where=$(reachable "${OPTION[bind]}"):${OPTION[port]}
  [[ ! ${FLAGS[tls_certificate]:-${DUET_TLS_CERTIFICATE:-}} ]] || scheme=https://
  start_binary duet-gateway "$scheme$where"
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

# start_binary NAME WHERE [FILE...], with the caller's `arguments` and those of FLAGS that it has; another version of a
# FILE, and another DUET_ variable for one of its flags, start it anew.
start_binary() {
  local name=$1 where=$2 binary=$PWD/$BINARIES/$1 flag
  local variables=()
  shift 2
  for flag in $(flags_of "$name"); do
    [[ ! -v FLAGS[$flag] ]] || arguments+=("--$flag=${FLAGS[$flag]}")
    [[ ! -v DUET_${flag^^} ]] || variables+=("$(declare -p "DUET_${flag^^}")")
  done
  ensure_running "$name" "$where" "$(signature "$binary" "$@" -- "${arguments[@]}" "${variables[@]}")" \
    "$binary" "${arguments[@]}"
}

# Each model by its own word, then the gateway, which may have been there before.
wait_until_ready() {
  local deadline=$((SECONDS + READY_SECONDS)) model
  for model in detector segmenter; do
    await_process "duet-$model" model_is_ready "${OPTION[$model-metrics-port]}"
  done
  await_process duet-gateway gateway_is_ready
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

model_is_ready() { curl --fail --silent --max-time 2 "http://127.0.0.1:$1/metrics" | grep '^duet_ready 1$' >/dev/null; }

gateway_is_ready() { ask_gateway /readyz --output /dev/null --max-time 2; }

# ask_gateway PATH [CURL-ARGUMENT...]. Its certificate is for the name that Label Studio knows it by, not for this
# machine's inside; user and password go by a pipe, since a command line is there for everyone to read.
ask_gateway() {
  local path=$1
  shift
  curl --config - --insecure --fail-with-body --silent "$@" "$(gateway_url)$path" < <(
    [[ ! ${DUET_BASIC_AUTH_USER:-} ]] ||
      curl_setting user "$DUET_BASIC_AUTH_USER:${DUET_BASIC_AUTH_PASSWORD:-}"
  )
}

# curl_setting NAME VALUE: a line of a configuration for curl.
curl_setting() {
  local value=${2//\\/\\\\}
  printf '%s = "%s"\n' "$1" "${value//\"/\\\"}"
}

# Where the gateway answers: that of the last `up`, else the default.
gateway_url() {
  local where
  where=$(record_of duet-gateway where)
  where=${where:-127.0.0.1:8003}
  [[ $where == *://* ]] || where=http://$where
  echo "$where"
}

print_next_steps() {
  local step=0
  say
  say "Duet is up. Backend URL for Label Studio: $(gateway_url)"
  [[ ${OPTION[bind]} != @(0.0.0.0|::) ]] || say "(from other machines: this machine's name or address instead)"
  say
  if [[ ${OPTION[with-label-studio]} ]]; then
    next_step "Log in to Label Studio: ${OPTION[label-studio-url]}
     $LABEL_STUDIO_USER, password $(<"$LABEL_STUDIO_HOME/password")
   Duet holds a token of it already."
  elif [[ ${OPTION[label-studio-url]} && ${OPTION[label-studio-api-key]} ]]; then
    say "Duet fetches images from ${OPTION[label-studio-url]} with the token that it was given."
    check_access
    say
  else
    next_step "Start your Label Studio with these variables, else it refuses backends on its own machine:
     LABEL_STUDIO_ML_BLOCK_LOCAL_IP=false LABEL_STUDIO_SSRF_PROTECTION_ENABLED=false label-studio start"
    next_step "Give Duet a token to fetch images with: in Label Studio, Account & Settings → Personal Access Token →
   Create; then
     ./duet up --label_studio_url=http://localhost:8080 --label_studio_api_key=TOKEN"
  fi
  next_step "Create a project. Labeling Setup → Custom template → Code: paste what this prints,
     ./duet label-config
   a label config with the loaded model's classes and with smart tools."
  next_step "Settings → Model → Connect Model: the URL above; switch \"Interactive preannotations\" on;
   Validate and Save. It says Connected."
  next_step "Import images and open one."
  say
  say "./duet status shows what runs, ./duet down stops it."
}

# next_step TEXT: numbered by the caller's `step`.
next_step() { printf '%d. %s\n' $((++step)) "$1"; }

cmd_down() {
  take_no_arguments down "$@"
  lock_processes
  local index
  for ((index = ${#PROCESSES[@]} - 1; index >= 0; index--)); do
    stop "${PROCESSES[index]}"
  done
}

cmd_status() {
  take_no_arguments status "$@"
  local name status=0
  for name in "${PROCESSES[@]}"; do
    if running "$name"; then
      printf '%-15s running  %-22s pid %s\n' "$name" "$(record_of "$name" where)" "$(record_of "$name" pid)"
      [[ $name != label-studio ]] || say "                $LABEL_STUDIO_USER, password in $LABEL_STUDIO_HOME/password"
    elif [[ $(record_of "$name" pid) ]]; then
      printf '%-15s stopped by itself; its log is %s\n' "$name" "$LOG_DIRECTORY/$name.log"
      status=1
    elif [[ $name != label-studio ]]; then
      printf '%-15s stopped\n' "$name"
      status=1
    fi
  done
  return "$status"
}

cmd_label_config() {
  take_no_arguments label-config "$@"
  local answer status=0
  answer=$(ask_gateway /label-config --max-time 10) || status=$?
  case $status in
    0) say "$answer" ;;
    22) die "$(gateway_url)/label-config says: $answer${answer:+ }(with basic authentication, ./duet reads DUET_BASIC_AUTH_USER and DUET_BASIC_AUTH_PASSWORD)" ;;
    *) die "no answer from $(gateway_url)/label-config; does Duet run? (./duet status)" ;;
  esac
}
