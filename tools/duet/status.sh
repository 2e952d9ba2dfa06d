# shellcheck shell=bash
# ./duet status and label-config: what is asked of the processes that run.

help_status() {
  cat <<'TEXT'
usage: ./duet status [--json]

What runs: each process with its address, models and versions, options, what went wrong last, and what Label Studio says of
Duet's token.

  --json    one JSON object; docs/commands.md says what is in it

Exit code 0: all that has to run runs; 1: something does not; 2: asked wrongly.
Example: ./duet status --json
TEXT
}

cmd_status() {
  if asks_for_json './duet status --help' "$@"; then
    status_as_json
    return
  fi
  local name status=0
  for name in "${PROCESSES[@]}"; do
    if running "$name"; then
      printf '%-15s running  %-22s pid %s\n' "$name" "$(record_of "$name" where)" "$(record_of "$name" pid)"
      describe_running "$name"
    elif [[ $(record_of "$name" pid) ]]; then
      printf '%-15s %s: %s\n' "$name" "$(how_it_ended "$name")" "$(last_words_in "$LOG_DIRECTORY/$name.log")"
      detail "its log is $LOG_DIRECTORY/$name.log"
      status=1
    elif [[ $name != @(label-studio|duet-trainer) ]]; then
      printf '%-15s stopped\n' "$name"
      status=1
    fi
  done
  return "$status"
}

# status_as_json: the same for programs.
status_as_json() { facts_of_status | parse status; }

facts_of_status() {
  local name shown=()
  for name in "${PROCESSES[@]}"; do
    if running "$name"; then
      fact "$name.state" running
      facts_of_running "$name"
    elif [[ $(record_of "$name" pid) ]]; then
      fact "$name.state" ended
      fact "$name.ended" "$(how_it_ended "$name"): $(last_words_in "$LOG_DIRECTORY/$name.log")"
    elif [[ $name == @(label-studio|duet-trainer) ]]; then
      continue
    else
      fact "$name.state" stopped
    fi
    shown+=("$name")
    fact "$name.pid" "$(record_of "$name" pid)"
    fact "$name.where" "$(record_of "$name" where)"
    fact "$name.log" "$LOG_DIRECTORY/$name.log"
  done
  fact processes "${shown[*]}"
  fact gateway.url "$(gateway_url)"
  ! running duet-gateway || facts_of_gateway
}

# facts_of_running NAME
facts_of_running() {
  local process=${1#duet-} key where metrics
  case $process in
    label-studio)
      fact "$1.user" "$LABEL_STUDIO_USER"
      fact "$1.password_file" "$LABEL_STUDIO_HOME/password"
      where=http://$(record_of "$1" where)
      fact "$1.ready" "$(yes_if ask_own "$where/health" --fail --output /dev/null --max-time 2)"
      return
      ;;
    gateway) fact "$1.ready" "$(yes_if gateway_is_ready)" ;;
    *)
      fact "$1.ready" "$(yes_if model_is_ready "$process")"
      fact "$1.metrics" "$(metrics_url "$process")"
      ;;
  esac
  if [[ $process == @(detector|segmenter) ]]; then
    metrics=$(metrics_of "$process") || metrics=''
    for key in name version; do fact "$1.$key" "$(served_by "$key" <<<"$metrics")"; done
    for key in checkpoint device precision; do fact "$1.$key" "$(flag_of "$1" "$key")"; done
  fi
  fact "$1.arguments" "$(of_process "$1" cmdline)"
  fact "$1.secrets" "$(secrets_of "$1")"
}

# yes_if COMMAND...
yes_if() { if "$@" >/dev/null; then echo yes; else echo no; fi; }

# What the gateway says of the services and of what went wrong, and what Label Studio says of its token.
facts_of_gateway() {
  local url
  fact gateway.answer "$(ask_gateway / --max-time 2)"
  url=$(flag_of duet-gateway label_studio_url)
  [[ $url ]] || return 0
  fact label_studio.url "$url"
  fact label_studio.token "$(access_to "$url" "$(secret_of duet-gateway label_studio_api_key)" "$(trusted_by_gateway)")"
}

# detail TEXT: a line below a process's own.
detail() { printf '%-15s %s\n' '' "$1"; }

describe_running() {
  local process=${1#duet-} failure
  case $process in
    label-studio) detail "$LABEL_STUDIO_USER, password in $LABEL_STUDIO_HOME/password" ;;
    gateway) describe_gateway ;;
    trainer) describe_trainer ;;
    *) describe_model "$process" ;;
  esac
  describe_options "$1"
  failure=$(parse failures "$LOG_DIRECTORY/$1.log")
  [[ ! $failure ]] || detail "went wrong last: $failure"
}

# How many warnings about projects the gateway keeps (lib/prelabel/project_memory.cc).
readonly WARNINGS_KEPT=500
# Told of in other lines.
readonly SHOWN_FLAGS='@(bind|port|metrics_bind|metrics_port|checkpoint|device|precision|detector|segmenter|score_threshold|label_studio_url|trainer|model_root|work_dir)'

# describe_options NAME: what else it was told, if it is one of Duet's own.
describe_options() {
  local argument name line=''
  [[ $1 == duet-* ]] || return 0
  while IFS= read -r argument; do
    name=${argument%%=*}
    # shellcheck disable=SC2053 # a pattern
    [[ ${name#--} == $SHOWN_FLAGS ]] || line+=" $argument"
  done < <(of_process "$1" cmdline | sed -n '2,$ s/^--/--/p')
  for name in $(secrets_of "$1"); do line+=" --$name=(kept)"; done
  [[ ! $line ]] || detail "options$line"
}

# secrets_of NAME: the flags that it was told by its environment.
secrets_of() { of_process "$1" environ | sed -n 's/^DUET_\([A-Z_]*\)=.*/\L\1/p' | sort; }

# describe_model detector|segmenter: the model by its own word, and what the gateway says if that is something else; the
# rest as it was started.
describe_model() {
  local metrics version announced
  metrics=$(metrics_of "$1") || metrics=''
  version=$(served_by version <<<"$metrics")
  if [[ $version ]]; then
    detail "model $(served_by name <<<"$metrics"), version $version"
    announced=$(ask_gateway / --max-time 2 | parse json_value "$1" version) || announced=none
    [[ $announced == "$version" ]] || detail "the gateway does not know it yet; it knows: $announced"
  else
    detail "model unknown: $1 does not answer"
  fi
  describe_names "$1"
  detail "$(flag_of "duet-$1" checkpoint), $(flag_of "duet-$1" device), $(flag_of "duet-$1" precision)"
}

# describe_names detector|segmenter: what it serves besides, below its model root.
describe_names() {
  local name version error
  while IFS=$'\t' read -r name version error; do
    if [[ $version == 0 ]]; then version='the default model'; else version="version $version"; fi
    detail "$name: $version${error:+, which a replica cannot load: $error}"
  done < <(ask_gateway / --max-time 2 | parse json_rows "$1.names" name stored_version error)
}

# served_by name|version <METRICS: of the model that a process serves by its own word; nothing if it does not say.
served_by() { sed -nE "s/^duet_model_info\{.*\b$1=\"([^\"]*)\".*\} 1\$/\1/p"; }

# metrics_of detector|segmenter|trainer
metrics_of() { ask_own "$(metrics_url "$1")" --fail --max-time 2; }

# metrics_url detector|segmenter|trainer: where it was told to show them.
metrics_url() {
  local bind where
  bind=$(flag_of "duet-$1" metrics_bind)
  where=$(reachable "${bind:-$(flag_of "duet-$1" bind)}" "$(flag_of "duet-$1" metrics_port)")
  echo "http://$where/metrics"
}

# describe_trainer: what it does, and where its models go.
describe_trainer() {
  local metrics
  metrics=$(metrics_of trainer) || true
  if [[ $metrics ]]; then
    detail "$(awk '
      $1 == "duet_trainer_job_running" { running = $2 }
      $1 == "duet_trainer_jobs_waiting" { waiting = $2 }
      match($1, /^duet_trainer_jobs_total\{end="/) { end = substr($1, RLENGTH + 1); sub(/".*/, "", end); ended[end] = $2 }
      END {
        printf "%s, %d wait; since its start: %d better, %d not better, %d undecided, %d failed",
          running ? "a training runs" : "no training runs", waiting, ended["better"], ended["not_better"],
          ended["undecided"], ended["failed"]
      }' <<<"$metrics")"
  else
    detail "it does not answer"
  fi
  detail "begins from $(flag_of duet-trainer checkpoint) and $(flag_of duet-trainer segmenter_checkpoint), models go to $(flag_of duet-trainer model_root)"
}

describe_gateway() {
  local answer url tasks project warning warned=0
  if answer=$(ask_gateway /readyz --max-time 2); then
    detail "ready; score threshold $(flag_of duet-gateway score_threshold)"
  else
    detail "not ready: $(parse json_value error <<<"$answer"); score threshold $(flag_of duet-gateway score_threshold)"
  fi
  while IFS=$'\t' read -r warning; do detail "$warning"; done < <(
    ask_gateway / --max-time 2 | parse json_rows problems problem)
  tasks=$({ ask_gateway /metrics --max-time 2 || true; } | sum_of_tasks)
  [[ ! $tasks ]] || detail "$tasks"
  while IFS=$'\t' read -r project warning; do
    detail "project $project in Label Studio: $warning"
    warned=$((warned + 1))
  done < <(ask_gateway / --max-time 2 | parse json_rows warnings project warning)
  ((warned < WARNINGS_KEPT)) || detail "it keeps $WARNINGS_KEPT warnings, so there may be more"
  url=$(flag_of duet-gateway label_studio_url)
  if [[ ! $url ]]; then
    detail "Label Studio: none given, so only images that need no token are fetched"
  else
    detail "Label Studio $url: $(access_to "$url" "$(secret_of duet-gateway label_studio_api_key)" "$(trusted_by_gateway)")"
  fi
}

# trusted_by_gateway: the file of certificates that it was told of; nothing if of none.
trusted_by_gateway() {
  local trusted
  trusted=$(flag_of duet-gateway ca_certificates)
  [[ $trusted ]] || trusted=$(of_process duet-gateway environ | sed -n 's/^SSL_CERT_FILE=//p')
  echo "$trusted"
}

# sum_of_tasks: what the gateway's metrics say became of the tasks of /predict, in one line; nothing without metrics.
sum_of_tasks() {
  awk '
    /^duet_gateway_tasks_total\{/ && match($0, /code="[^"]*"/) {
      code = substr($0, RSTART + 6, RLENGTH - 7)
      if (code == "OK") done += $NF; else if ($NF > 0) { failed += $NF; why[code] += $NF }
    }
    /^duet_gateway_pushed_total\{outcome="failed"\}/ { unstored = $NF }
    END {
      if (NR == 0) exit
      line = sprintf("since its start: %d tasks done, %d failed", done, failed)
      for (code in why) parts = parts sprintf("%s%d %s", parts ? ", " : "", why[code], code)
      if (parts) line = line " (" parts "; the log says why)"
      if (unstored > 0) line = line sprintf("; %d predictions could not be stored", unstored)
      print line
    }'
}

# flag_of NAME FLAG: of a running process, by its command line or its default.
flag_of() {
  local value
  value=$(of_process "$1" cmdline | sed -n "s/^--$2=//p" | tail -n 1)
  [[ $value ]] || value=$(default_of "${1#duet-}" "$2")
  printf '%s\n' "$value"
}

# secret_of NAME FLAG: likewise, by its environment or the file that it was given.
secret_of() {
  local secret file
  secret=$(of_process "$1" environ | sed -n "s/^DUET_${2^^}=//p")
  file=$(flag_of "$1" "$2_file")
  [[ $secret || ! $file ]] || secret=$(<"$file")
  trimmed "$secret"
}

# of_process NAME cmdline|environ: line by line; nothing if it does not run.
of_process() { { tr '\0' '\n' <"/proc/$(record_of "$1" pid)/$2"; } 2>/dev/null || true; }

# last_words_in LOG: why a process ended.
last_words_in() {
  local words
  words=$(parse last_error "$1")
  [[ $words ]] || words=$(tail -n 1 "$1" 2>/dev/null)
  printf '%s\n' "${words:-it said nothing}"
}

help_label_config() {
  cat <<'TEXT'
usage: ./duet label-config

Prints a label config for Label Studio, with the classes of the loaded detector in one list, for boxes, masks and smart tools:
what goes into Labeling Setup, Custom template, Code. Asks the gateway that ./duet up started.

Exit code 0; 1: the gateway does not run, or has no classes yet; 2: asked wrongly.
Example: ./duet label-config > label_config.xml
TEXT
}

cmd_label_config() {
  take_no_arguments label-config "$@"
  local answer status=0
  answer=$(ask_gateway /label-config --max-time 10) || status=$?
  case $status in
    0) say "$answer" ;;
    22) die "$(gateway_url)/label-config says: $answer" ;;
    *) die "no answer from $(gateway_url)/label-config; does Duet run? (./duet status)" ;;
  esac
}

# ask_own URL [CURL-ARGUMENT...]: of a process of this machine's, never through a proxy.
ask_own() {
  local url=$1
  shift
  curl --noproxy '*' --silent "$@" "$url"
}

# ask_gateway PATH [CURL-ARGUMENT...]. Its certificate is for the name that Label Studio knows it by, not for this
# machine's inside, so what is checked is that it has the very key of the certificate that it was started with. User and
# password go by a pipe, since a command line is there for everyone to read.
ask_gateway() {
  local path=$1
  shift
  ask_own "$(gateway_url)$path" --config - --fail-with-body "$@" < <(gateway_settings)
}

# gateway_settings: curl's, for that.
gateway_settings() {
  local user
  if [[ $(gateway_url) == https://* ]]; then
    printf 'insecure\n'
    # Without it no key fits.
    curl_setting pinnedpubkey "sha256//$(key_of_certificate "$(flag_of duet-gateway tls_certificate)")"
  fi
  running duet-gateway || return 0
  user=$(flag_of duet-gateway basic_auth_user)
  [[ ! $user ]] || curl_setting user "$user:$(secret_of duet-gateway basic_auth_password)"
}

# key_of_certificate FILE: the SHA-256 of its public key, in base64.
key_of_certificate() {
  openssl x509 -in "$1" -noout -pubkey 2>/dev/null | openssl pkey -pubin -outform der 2>/dev/null |
    openssl dgst -sha256 -binary | base64
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
