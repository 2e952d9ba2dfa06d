# shellcheck shell=bash
# What ./duet up is told, and which process each word of it is for.
#
# An option has one name, in which - and _ are the same, and one meaning in each of three places: --name=value,
# DUET_NAME=value, and what the last `up` that succeeded was told, .duet/options. The first place that has it counts,
# then the default. --name= (nothing) stands for the default and forgets the rest.
#
# Every flag of the processes is an option. A name that several of them have is for all of them, but for those
# that only make sense for one: bind, port, score_threshold and tls_… are the gateway's. detector_FLAG,
# segmenter_FLAG and trainer_FLAG are for one of these alone. The processes themselves see no DUET_ variable but those of their secrets.

readonly OPTIONS_FILE=$DUET_STATE/options
# Go to a process by its environment, since a command line is there for everyone on this machine to read.
readonly SECRETS=(label_studio_api_key basic_auth_password settings_store embedding_store)
# `up`'s own, of no process.
readonly OWN_OPTIONS=(with_label_studio label_studio_port demo_project train)
# Those of them that are yes or no.
readonly SWITCHES=(with_label_studio demo_project train)
# DUET_ variables that are no options: of ./duet itself, its init container and its tests.
readonly OTHER_VARIABLES='DUET_@(STATE|ROOT|LIBRARY|UPDATE_*|BUILD_*|TEST_*|BENCH_*)'

# The options by their names, with defaults; and where each was told: said, variable or remembered. A default has no
# origin.
declare -A OPTION=() ORIGIN=()
# What --reset makes of what was remembered.
declare -A FORGOTTEN=()

# The token that was remembered, before another one was told.
KNOWN_KEY=''

# resolve_options [ARGUMENT...]: sets OPTION and ORIGIN from `up`'s arguments, the environment and what is remembered.
# Takes the variables out of the environment: what is started from here sees none of them.
resolve_options() {
  OPTION=(
    [bind]=127.0.0.1 [port]=8003 [detector_bind]=127.0.0.1 [segmenter_bind]=127.0.0.1 [trainer_bind]=127.0.0.1
    [detector_port]=50051 [segmenter_port]=50052 [trainer_port]=50053
    [detector_metrics_port]=9101 [segmenter_metrics_port]=9102 [trainer_metrics_port]=9103
    [label_studio_port]=8080
    [detector_checkpoint]=$DUET_ROOT/models/demo/rtmdet-demo.pth
    [segmenter_checkpoint]=$DUET_ROOT/models/demo/sam-demo.pth
    [kernel_plan]=$DUET_STATE/kernel_plan
  )
  ORIGIN=()
  local -A default=()
  local name
  for name in "${!OPTION[@]}"; do default[$name]=${OPTION[$name]}; done
  recall_options "$@"
  local known_url=${OPTION[label_studio_url]:-}
  # shellcheck disable=SC2034
  KNOWN_KEY=$(label_studio_key 2>/dev/null) || KNOWN_KEY=''
  take_variables
  local argument
  for argument; do
    name=$(option_name "$argument")
    case $argument in
      --reset | --reset=*) continue ;;
      --*=) forget_option "$name" "${default[$name]:-}" ;;
      --*=*) tell_option "$name" "${argument#*=}" said ;;
      *)
        [[ ! -v default[$name] ]] || refuse "$argument needs a value: $argument=…"
        tell_option "$name" true said
        ;;
    esac
  done
  for name in "${SWITCHES[@]}"; do settle_switch "$name"; done
  # Of two that say one thing, what was said in the stronger way counts.
  exclude label_studio_api_key label_studio_api_key_file
  exclude basic_auth_password basic_auth_password_file
  exclude with_label_studio label_studio_url
  exclude with_label_studio label_studio_api_key
  exclude with_label_studio label_studio_api_key_file
  [[ ! ${OPTION[train]:-} ]] || options_of_training
  # A token was given for one Label Studio, and no other gets it.
  if [[ ${OPTION[label_studio_url]:-} != "$known_url" ]]; then
    for name in label_studio_api_key label_studio_api_key_file; do
      [[ ${ORIGIN[$name]:-} != remembered ]] || forget_option "$name"
    done
  fi
}

# What a trainer needs, unless it was told otherwise: it begins from the detector's and the segmenter's models (its flag
# segmenter_checkpoint is called as the segmenter's option is), and leaves its models where all processes look for them.
options_of_training() {
  # The trainer reads the detector's file, but none of the flags that say what is in it.
  local name
  for name in detector_classes classes detector_config_file config_file; do
    [[ ! ${OPTION[$name]:-} ]] || refuse "$(called "$name"): not with --train, which knows only the classes and the config" \
      "that are in the file of --detector_checkpoint. Use one that has them."
  done
  [[ ${OPTION[trainer_checkpoint]:-} ]] || OPTION[trainer_checkpoint]=${OPTION[detector_checkpoint]}
  [[ ${OPTION[trainer_work_dir]:-${OPTION[work_dir]:-}} ]] || OPTION[trainer_work_dir]=$DUET_STATE/trainer
  if [[ ! ${OPTION[model_root]:-} ]]; then
    OPTION[model_root]=$DUET_STATE/models
    private_folder "$DUET_STATE/models"
  fi
}

# settle_switch NAME: what was told of it becomes true, or no option at all; demo_project, which is on by default, the other
# way round.
settle_switch() {
  [[ -v OPTION[$1] ]] || return 0
  local told=true
  says_yes "--$1=${OPTION[$1]}" || told=no
  if [[ $told == true && $1 != demo_project || $told == no && $1 == demo_project ]]; then
    OPTION[$1]=$told
  else
    forget_option "$1"
  fi
}

# processes: those that `up` starts, in this order.
processes() { printf '%s\n' detector segmenter ${OPTION[train]:+trainer} gateway; }

# option_name ARGUMENT: --label-studio-url=… is label_studio_url.
option_name() {
  local name=${1%%=*}
  [[ $name == --?* ]] || refuse "unknown option '$name' (options are written --name=value); ./duet up --help"
  name=${name#--}
  printf '%s\n' "${name//-/_}"
}

# tell_option NAME VALUE ORIGIN
tell_option() {
  [[ $2 != *$'\n'* ]] || refuse "--$1 has a line break in its value"
  OPTION[$1]=$2
  ORIGIN[$1]=$3
}

# forget_option NAME [DEFAULT]
forget_option() {
  unset "ORIGIN[$1]"
  if [[ ${2:-} ]]; then OPTION[$1]=$2; else unset "OPTION[$1]"; fi
}

# recall_options [ARGUMENT...]: with --reset only what it was, in FORGOTTEN.
recall_options() {
  local name value reset=''
  for name; do
    [[ $name != --reset?(=*) ]] || if says_yes "$name"; then reset=yes; else reset=''; fi
  done
  [[ -s $OPTIONS_FILE ]] || return 0
  while IFS='=' read -r name value; do
    if [[ $reset ]]; then
      FORGOTTEN[$name]=$value
    else
      tell_option "$name" "$value" remembered
    fi
  done <"$OPTIONS_FILE"
}

take_variables() {
  local variable name
  for variable in "${!DUET_@}"; do
    # shellcheck disable=SC2053 # a pattern
    [[ ${!variable@a} == *x* && $variable != $OTHER_VARIABLES ]] || continue
    name=${variable#DUET_}
    [[ ! ${!variable} ]] || tell_option "${name,,}" "${!variable}" variable
    unset "$variable"
  done
  export -n DUET_STATE
}

# exclude NAME OTHER
exclude() {
  [[ -v OPTION[$1] && -v OPTION[$2] ]] || return 0
  local first second
  first=$(strength_of "$1")
  second=$(strength_of "$2")
  ((first != second)) || refuse "--$1 and --$2 exclude each other"
  if ((first > second)); then forget_option "$2"; else forget_option "$1"; fi
}

strength_of() {
  case ${ORIGIN[$1]:-} in
    said) echo 3 ;;
    variable) echo 2 ;;
    *) echo 1 ;;
  esac
}

# remember_options: all that was told, for the next `up`.
remember_options() {
  local name new
  new=$(umask 077 && mktemp "$OPTIONS_FILE.XXXXXX")
  for name in $(sorted "${!ORIGIN[@]}"); do printf '%s=%s\n' "$name" "${OPTION[$name]}"; done >"$new"
  mv -f "$new" "$OPTIONS_FILE"
}

sorted() { (($# == 0)) || printf '%s\n' "$@" | sort; }

# One line of what the user did not say this time.
say_what_is_remembered() {
  local name line=''
  for name in $(sorted "${!ORIGIN[@]}"); do
    [[ ${ORIGIN[$name]} == remembered ]] || continue
    if is_secret "$name"; then line+=" --$name=(kept)"; else line+=" --$name=${OPTION[$name]}"; fi
  done
  [[ ! $line ]] || say "as the last time:$line (--OPTION= forgets one, --reset all)"
  line=''
  for name in $(sorted "${!FORGOTTEN[@]}"); do
    [[ ! -v ORIGIN[$name] ]] || continue
    if is_secret "$name"; then line+=" --$name"; else line+=" --$name=${FORGOTTEN[$name]}"; fi
  done
  [[ ! $line ]] || say "forgotten:$line"
}

is_secret() {
  local name=${1#segmenter_}
  [[ " ${SECRETS[*]} " == *" ${name#trainer_} "* ]]
}

# hide_secrets ARGUMENT...: starts `up` anew with the secrets of its command line in its environment instead.
hide_secrets() {
  local argument name value rest=() hidden=()
  for argument; do
    name=$(option_name "$argument")
    value=${argument#*=}
    # The stores are URLs, which have a secret only if they have a password.
    if [[ $argument == *=?* ]] && is_secret "$name" && [[ $name != *_store || $value == *@* ]]; then
      export "DUET_${name^^}=$value"
      hidden+=("--$name")
    else
      rest+=("$argument")
    fi
  done
  ((${#hidden[@]})) || return 0
  warn "others on this machine can read command lines, and shells keep them: give ${hidden[*]} by a file" \
    "(--label_studio_api_key_file, --basic_auth_password_file) or by a DUET_ variable"
  cd "$CALLER_DIRECTORY" || exit
  exec "$DUET_ROOT/duet" up "${rest[@]}"
}

# known_names: of all that could be an option, by the reference of all flags, whether anything is built or not.
known_names() {
  local flags
  flags=$(sed -nE 's/^\| `--([a-z0-9_]+).*/\1/p' "$DUET_ROOT/docs/reference/flags.md" | sort -u)
  printf '%s\n' "${OWN_OPTIONS[@]}" reset json "$flags"
  printf '%s\n' "$flags" | sed 's/^/detector_/;p;s/^detector_/segmenter_/;p;s/^segmenter_/trainer_/'
}

# Names that can be no option whatever the processes' flags are.
check_own_names() {
  local name names
  names=$(known_names)
  for name in "${!ORIGIN[@]}"; do
    # check_names knows better, but only once everything is built.
    [[ ${ORIGIN[$name]} != said || $'\n'$names$'\n' == *$'\n'$name$'\n'* ]] ||
      refuse "--$name is no option; ./duet up --help lists them$(did_you_mean "$name" <<<"$names")"
    case $name in
      checkpoint | metrics_port) refuse "$(called "$name"): of which model? --detector_$name or --segmenter_$name" ;;
      trainer) refuse "$(called "$name"): up starts it itself, with --train" ;;
      detector | segmenter)
        refuse "$(called "$name"): up starts the $name itself; others are named in a profile (--profiles)" ;;
      detector_score_threshold)
        refuse "$(called "$name") would change no prediction, since the gateway asks with a threshold of its own:" \
          "--score_threshold" ;;
    esac
  done
}

# called NAME: as it was told.
called() {
  case ${ORIGIN[$1]:-} in
    variable) printf 'DUET_%s\n' "${1^^}" ;;
    remembered) printf -- '--%s (as the last time)\n' "$1" ;;
    *) printf -- '--%s\n' "$1" ;;
  esac
}

# Every option has somebody to take it. A variable may be somebody else's, and an update may take a flag away.
check_names() {
  local name why
  for name in "${!ORIGIN[@]}"; do
    ! is_option "$name" || continue
    why="is no option; ./duet up --help lists them"
    [[ $name != tls_* ]] || ! is_option "detector_$name" ||
      why="is no flag of the gateway's; of which model? --detector_$name or --segmenter_$name"
    case ${ORIGIN[$name]} in
      said) refuse "--$name $why$(known_names | did_you_mean "$name")" ;;
      variable) warn "DUET_${name^^} $why" ;;
      remembered) warn "--$name, given the last time, $why" ;;
    esac
    forget_option "$name"
  done
}

# is_option NAME
is_option() {
  [[ " ${OWN_OPTIONS[*]} " != *" $1 "* ]] || return 0
  ! has_flag gateway "$1" || return 0
  local process
  # Kept for the time when there is one again; only a trainer that is built says what its flags are.
  [[ ${OPTION[train]:-} || $1 != trainer_* ]] || return 0
  for process in $(processes); do
    [[ $process != gateway ]] || continue
    if [[ $1 == "${process}"_* ]] && has_flag "$process" "${1#"${process}"_}"; then return 0; fi
    if ! is_of_one_process "$1" && has_flag "$process" "$1"; then return 0; fi
  done
  return 1
}

# is_of_one_process FLAG: told without detector_, segmenter_ or trainer_ it is none of theirs.
is_of_one_process() { [[ $1 == @(bind|port|score_threshold|checkpoint|metrics_port|tls_*) ]]; }

# Files and folders get their full path, for the processes run elsewhere.
check_files() {
  local name path
  for name in "${!OPTION[@]}"; do
    names_a_path "$name" || continue
    path=$(cd "$CALLER_DIRECTORY" && realpath -m -- "${OPTION[$name]}")
    # A work folder and a plan are made.
    [[ -f $path || -d $path || $name == @(*work_dir|*kernel_plan) ]] || refuse "$(called "$name")=${OPTION[$name]}: there is no file $path$(no_model "$name")"
    OPTION[$name]=$path
  done
  # A file, if there is one of that name; else the names themselves.
  for name in classes detector_classes; do
    [[ -v OPTION[$name] ]] || continue
    path=$(cd "$CALLER_DIRECTORY" && realpath -m -- "${OPTION[$name]}")
    [[ ! -f $path ]] || OPTION[$name]=$path
  done
}

# no_model OPTION: what else would be taken for a checkpoint.
no_model() {
  [[ $1 == *checkpoint ]] || return 0
  local kind='^[^s]'
  [[ $1 != *segmenter_checkpoint ]] || kind='^segmenter$'
  printf '%s' ", and no model of that name (./duet models list)$(names_of_models "$kind" | did_you_mean "${OPTION[$1]}")"
}

names_a_path() { [[ $1 == @(profiles|*kernel_plan|*work_dir|*duet_train|*checkpoint|*_file|*_root|*_ca|*_certificate|ca_certificates|*tls_key|*backend_key) ]]; }

# The options that are ports.
readonly PORTS=(port detector_port segmenter_port trainer_port detector_metrics_port segmenter_metrics_port
  trainer_metrics_port label_studio_port)

# is_port_of_nobody NAME: of a process that isn't started.
is_port_of_nobody() {
  [[ $1 == trainer_* && ! ${OPTION[train]:-} ]] || [[ $1 == label_studio_port && ! ${OPTION[with_label_studio]:-} ]]
}

# bind_of NAME: the address that goes with the port.
bind_of() {
  local bind=${1%port}bind  # detector_port's is detector_bind
  bind=${bind/metrics_/}
  printf '%s\n' "${OPTION[$bind]:-127.0.0.1}"
}

# Before anything is built or stopped: are the ports numbers, different, and free, or ours?
check_ports() {
  local name port
  local -A owner
  for name in "${PORTS[@]}"; do
    port=${OPTION[$name]}
    ! is_port_of_nobody "$name" || continue
    [[ $port =~ ^[1-9][0-9]{0,4}$ && $port -lt 65536 ]] || refuse "--$name=$port is no port: 1 to 65535 is needed"
    [[ ! -v owner[$port] ]] || refuse "--$name and --${owner[$port]} are both $port"
    owner[$port]=$name
  done
  for port in "${!owner[@]}"; do
    name=${owner[$port]}
    holds_port "$port" || require_free_port "--$name" "$(reachable "$(bind_of "$name")" "$port")" "$(bind_of "$name"):$port"
  done
}

# reachable BIND-ADDRESS PORT: HOST:PORT at which this machine reaches what listens there.
reachable() {
  local host=$1
  case $host in
    0.0.0.0) host=127.0.0.1 ;;
    ::) host=::1 ;;
  esac
  [[ $host != *:* ]] || host="[$host]"
  printf '%s:%s\n' "$host" "$2"
}

# flag_table PROCESS: a line for each of its flags, the name, a tab, the default. Kept until the binary is built anew,
# since LibTorch takes a second to load.
flag_table() {
  local binary=$BINARIES/duet-$1 kept=$DUET_STATE/flags/duet-$1.tsv
  if [[ ! $kept -nt $binary ]]; then
    mkdir -p "${kept%/*}"
    "$binary" --help=json | parse flag_table >"$kept.new" && mv -f "$kept.new" "$kept"
  fi
  cat "$kept"
}

# flags_of PROCESS: their names.
flags_of() { flag_table "$1" | cut -f 1; }

# has_flag PROCESS FLAG
has_flag() { flags_of "$1" | grep -x -- "$2" >/dev/null; }

# default_of PROCESS FLAG
default_of() { flag_table "$1" | awk -F '\t' -v flag="$2" '$1 == flag { print $2 }'; }

# arguments_for PROCESS: sets ARGUMENTS and VARIABLES to what was told of its flags.
declare -a ARGUMENTS=()
# `launch` exports them.
declare -A VARIABLES=()
arguments_for() {
  local process=$1 flag name
  ARGUMENTS=()
  VARIABLES=()
  for flag in $(flags_of "$process"); do
    name=${process}_$flag
    if [[ ! -v OPTION[$name] ]]; then
      [[ $process == gateway ]] || ! is_of_one_process "$flag" || continue
      name=$flag
    fi
    [[ -v OPTION[$name] ]] || continue
    if is_secret "$flag"; then
      # shellcheck disable=SC2034
      VARIABLES[DUET_${flag^^}]=${OPTION[$name]}
    else
      ARGUMENTS+=("--$flag=${OPTION[$name]}")
    fi
  done
}
