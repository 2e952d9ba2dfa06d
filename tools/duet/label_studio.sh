# shellcheck shell=bash
# A Label Studio for Duet on this machine: installed with pip below .duet/, data in .duet/label-studio/.

readonly LABEL_STUDIO_HOME=$DUET_STATE/label-studio
readonly LABEL_STUDIO_USER=duet@example.com
# The first start creates the database, 75 s on two cores.
readonly LABEL_STUDIO_READY_SECONDS=600

# start_label_studio PORT: starts it and waits until it is healthy.
start_label_studio() {
  local port=$1 venv
  venv=$(ensure_venv label-studio deploy/label_studio/requirements.txt)
  label_studio_secrets
  local password token
  password=$(<"$LABEL_STUDIO_HOME/password")
  token=$(label_studio_token)
  # The two switches let it call Duet and webhooks on this machine; legacy tokens let the token be known
  # before the first login. Without a LABEL_STUDIO_HOST its pages name what they need without a host; one that is opened at
  # another name than that, localhost for example, would load its scripts from a foreign origin, fail and load itself anew.
  # shellcheck disable=SC2034 # `launch` exports them
  VARIABLES=(
    [PATH]="$venv/bin:$PATH" [HOME]=$LABEL_STUDIO_HOME
    [DJANGO_DB]=sqlite
    [LABEL_STUDIO_BASE_DATA_DIR]=$LABEL_STUDIO_HOME/data
    [LABEL_STUDIO_HOST]=''
    [LABEL_STUDIO_USERNAME]=$LABEL_STUDIO_USER
    [LABEL_STUDIO_PASSWORD]=$password
    [LABEL_STUDIO_USER_TOKEN]=$token
    [LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN]=true
    [LABEL_STUDIO_ML_BLOCK_LOCAL_IP]=false
    [LABEL_STUDIO_SSRF_PROTECTION_ENABLED]=false
    [LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED]=true
    [LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT]=$LABEL_STUDIO_HOME/files
    [LABEL_STUDIO_COLLECT_ANALYTICS]=false
    [LABEL_STUDIO_LATEST_VERSION_CHECK]=false
    [LABEL_STUDIO_SENTRY_DSN]='' [LABEL_STUDIO_FRONTEND_SENTRY_DSN]=''
  )
  ensure_running label-studio "127.0.0.1:$port" "$(signature "$venv/bin/label-studio" -- "$port" 'at any name')" \
    "$venv/bin/label-studio" start --no-browser --internal-host 127.0.0.1 --port "$port"
  wait_for_label_studio "$port"
}

label_studio_token() { cat "$LABEL_STUDIO_HOME/token"; }

# Password and token are made once, for this installation alone.
label_studio_secrets() {
  private_folder "$LABEL_STUDIO_HOME" "$LABEL_STUDIO_HOME/data" "$LABEL_STUDIO_HOME/files"
  local secret
  for secret in password token; do
    [[ -s $LABEL_STUDIO_HOME/$secret ]] ||
      (umask 077 && head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$LABEL_STUDIO_HOME/$secret")
  done
}

wait_for_label_studio() {
  local deadline=$((SECONDS + LABEL_STUDIO_READY_SECONDS))
  until ask_own "http://127.0.0.1:$1/health" --fail --output /dev/null --max-time 2; do
    require_alive label-studio
    ((SECONDS < deadline)) || die "Label Studio is not healthy within $LABEL_STUDIO_READY_SECONDS s"
    sleep 0.2
  done
}

# The token that `up` was told, by itself or by a file.
label_studio_key() {
  local key=${OPTION[label_studio_api_key]:-}
  [[ $key || ! ${OPTION[label_studio_api_key_file]:-} ]] || key=$(<"${OPTION[label_studio_api_key_file]}")
  trimmed "$key"
}

trimmed() {
  local text=${1#"${1%%[![:space:]]*}"}
  printf '%s\n' "${text%"${text##*[![:space:]]}"}"
}

# ask_for_token ARGUMENT...: if a Label Studio is named this time and no token, and there is somebody to ask.
ask_for_token() {
  [[ ${ORIGIN[label_studio_url]:-} == said && ! $(label_studio_key) && -t 0 && -t 2 ]] || return 0
  local argument key
  # To be without one was said.
  for argument; do [[ $argument != --label?studio?api?key?(?file)= ]] || return 0; done
  read -rsp "Token of ${OPTION[label_studio_url]} (Account & Settings → Personal Access Token; nothing: none): " key
  say >&2
  [[ ! $key ]] || tell_option label_studio_api_key "$key" said
}

# A token goes to one Label Studio, so it is useless without.
check_token() {
  local key
  key=$(label_studio_key)
  [[ $key != *[[:space:]]* ]] || refuse "--label_studio_api_key_file=${OPTION[label_studio_api_key_file]:-} holds no token," \
    "which is one word"
  [[ ! $key || ${OPTION[label_studio_url]:-} ]] ||
    refuse "a token was given, but not of which Label Studio: --label_studio_url=URL"
  [[ $key != @(TOKEN|YOUR_*|\<*\>) ]] ||
    refuse "the token '$key' only stands for one: Account & Settings → Personal Access Token in Label Studio makes one"
  keep_good_token "$key"
}

# keep_good_token KEY: ends rather than replace a token that Label Studio accepts by one that it refuses.
keep_good_token() {
  local url=${OPTION[label_studio_url]:-} ca=${OPTION[ca_certificates]:-${SSL_CERT_FILE:-}}
  [[ $1 && $KNOWN_KEY && $1 != "$KNOWN_KEY" && $url ]] || return 0
  [[ $(access_to "$url" "$1" "$ca") == refuses* && $(access_to "$url" "$KNOWN_KEY" "$ca") == accepts* ]] || return 0
  die "Label Studio at $url refuses the new token, and accepts the one that Duet has, which is kept"
}

# Says so if Label Studio is away or refuses the token; that hinders nobody from starting it later.
check_access() {
  local access
  access=$(access_to "${OPTION[label_studio_url]}" "$(label_studio_key)" \
    "${OPTION[ca_certificates]:-${SSL_CERT_FILE:-}}")
  if [[ $access == *accepts* ]]; then
    say "Duet fetches images from ${OPTION[label_studio_url]}, which $access that it was given."
    warn_of_label_configs "$LABEL_CONFIG_SECONDS"
  else
    warn "Label Studio at ${OPTION[label_studio_url]}: $access"
  fi
}

# access_to URL TOKEN CA-FILE: what Label Studio says of it, as a sentence. Like the gateway without a proxy, and
# the token goes to nobody whose certificate is not trusted.
access_to() {
  local url=${1%/} token=$2 status=0 code trusted=()
  [[ ! $3 ]] || trusted=(--cacert "$3")
  [[ $token ]] || { say "no token was given: tasks whose images need one will fail"; return; }
  code=$(
    if is_personal_token "$token"; then
      token_exchange "$url" "$token"
    else
      curl_setting url "$url/api/current-user/whoami"
      curl_setting header "Authorization: Token $token"
    fi | curl --config - --noproxy '*' "${trusted[@]}" --silent --max-time 10 --output /dev/null --write-out '%{http_code}'
  ) || status=$?
  case $status:$code in
    0:200) say "accepts the token" ;;
    0:401 | 0:403) say "refuses that token: tasks will fail until Duet is given another" ;;
    35:* | 51:* | 58:* | 60:*)
      say "its certificate is not trusted, so the token was not sent: name its CA by --ca_certificates" ;;
    0:*) say "answers $code to a question that Label Studio would answer; is the URL right?" ;;
    *) say "nothing answers at $url: tasks will fail until Label Studio runs there$(own_label_studio_at "$url")" ;;
  esac
}

# own_label_studio_at URL: how to start it again if it is Duet's own that was there.
own_label_studio_at() {
  local where
  where=$(record_of label-studio where)
  if [[ $where && ${1##*:} == "${where##*:}" ]]; then
    say "; Duet's own one $(how_it_ended label-studio): ./duet up --with_label_studio starts it again"
  fi
}

# A personal access token has to be exchanged for one that lasts some minutes.
is_personal_token() { [[ $1 == *.*.* ]]; }

# token_exchange URL TOKEN: curl's settings for that.
token_exchange() {
  curl_setting url "$1/api/token/refresh"
  curl_setting header "Content-Type: application/json"
  curl_setting data "{\"refresh\": \"$2\"}"
}

# label_studio_settings: curl's, to ask Label Studio with the token that Duet has, and trust as in access_to. Fails if it
# refuses that token or is away.
label_studio_settings() {
  local url=${OPTION[label_studio_url]%/} token ca=${OPTION[ca_certificates]:-${SSL_CERT_FILE:-}}
  local trusted=()
  [[ ! $ca ]] || trusted=(--cacert "$ca")
  token=$(label_studio_key)
  if is_personal_token "$token"; then
    token=$(token_exchange "$url" "$token" |
      curl --config - --noproxy '*' "${trusted[@]}" --silent --fail --max-time 10 | parse json_value access) || return 1
    curl_setting header "Authorization: Bearer $token"
  else
    curl_setting header "Authorization: Token $token"
  fi
  curl_setting noproxy '*'
  curl_setting max-time 10
  [[ ! $ca ]] || curl_setting cacert "$ca"
}

# How long `up` waits for what Label Studio says of its projects, how many it is asked about at once, and how many warnings
# are printed.
readonly LABEL_CONFIG_SECONDS=30
readonly PROJECTS_AT_ONCE=8
readonly WARNINGS_SHOWN=10

# warn_of_label_configs SECONDS: has Label Studio ask the gateway about the label configs of its projects, the latest
# first, by looking at their backends, and says what the gateway found suspect: that a config has no label for any class of
# the model, say. For about so many seconds; what is left then is said.
warn_of_label_configs() {
  local deadline=$((SECONDS + $1)) settings projects=() total checked project warning shown=0
  settings=$(label_studio_settings) || return 0
  mapfile -t projects < <(list_projects "$deadline" <<<"$settings")
  ((${#projects[@]})) || return 0
  total=${projects[0]}
  checked=$(look_at_backends "$deadline" "${projects[@]:1}" <<<"$settings")
  ((checked >= total)) ||
    warn "$checked of Label Studio's $total projects were checked; whether Duet can serve the label configs of the others" \
      "is said when they are opened (./duet status)"
  while IFS=$'\t' read -r project warning; do
    ((++shown <= WARNINGS_SHOWN)) || continue
    warn "project $project in Label Studio: $warning"
  done < <(ask_gateway / --max-time 10 | parse json_rows warnings project warning)
  ((shown <= WARNINGS_SHOWN)) || warn "$((shown - WARNINGS_SHOWN)) more such projects: ./duet status"
}

# list_projects DEADLINE: how many there are and then, a line each, the ids of those that could be listed until then, the
# latest first. Reads curl's settings.
list_projects() {
  local settings url=${OPTION[label_studio_url]%/} answer page=0 listed=0 total=0 ids=()
  settings=$(cat)
  while ((page == 0 || listed < total)) && ((SECONDS < $1)); do
    page=$((page + 1))
    answer=$({ say "$settings"; curl_setting url "$url/api/projects/?page=$page&page_size=100&fields=id"; } |
      curl --config - --silent --fail) || break
    if ((page == 1)); then
      total=$(parse json_value count <<<"$answer") || return 0
      is_number "$total" || return 0
      say "$total"
    fi
    mapfile -t ids < <(parse json_rows results id <<<"$answer" | grep -xE '[0-9]+')
    ((${#ids[@]})) || break
    printf '%s\n' "${ids[@]}"
    listed=$((listed + ${#ids[@]}))
  done
}

# is_number TEXT: before it is calculated with, for the shell would run commands in what somebody else sent.
is_number() { [[ $1 =~ ^[0-9]{1,9}$ ]]; }

# look_at_backends DEADLINE PROJECT...: several at once; prints of how many it was heard until then. Reads curl's settings.
look_at_backends() {
  local left=$(($1 - SECONDS)) url=${OPTION[label_studio_url]%/} project
  shift
  ((left > 0 && $# > 0)) || { say 0; return; }
  {
    cat
    for project; do
      curl_setting url "$url/api/ml/?project=$project"
      curl_setting output /dev/null
    done
  } | {
    # Line by line, so that those before the end of the time are not lost.
    timeout "$left" stdbuf -oL curl --config - --silent --parallel --parallel-immediate \
      --parallel-max "$PROJECTS_AT_ONCE" --write-out '%{http_code}\n' 2>/dev/null || true
  } | grep -c '^200$' || true
}

# show_demo_project: the sample pictures with predictions, for whoever has no project yet. Made once, with the demo's models. If
# the model that serves now has no class in common with it, the caller's `unlabelled` becomes some of its classes.
show_demo_project() {
  local made=$LABEL_STUDIO_HOME/demo_project address why
  [[ ${OPTION[demo_project]:-} != no ]] || return 0
  if [[ ! -e $made && ${OPTION[detector_checkpoint]} == "$DUET_ROOT/models/demo/"* ]]; then
    say "making a project of sample pictures"
    if address=$(facts_of_demo_project | parse demo_project 2>"$made.log"); then
      printf '%s\n' "$address" >"$made"
    else
      why=$(<"$made.log")
      warn "the project of sample pictures was not made: $why"
    fi
    rm -f "$made.log"
  fi
  [[ -s $made ]] || return 0
  address=$(<"$made")
  unlabelled=$({ facts_of_demo_project; fact address "$address"; } | parse demo_project --unlabelled 2>/dev/null) || unlabelled=''
  if [[ $unlabelled ]]; then
    say "   The project of sample pictures has no label for what this detector finds ($unlabelled): nothing is predicted there."
  else
    next_step "Open a sample picture, with predictions: $address"
  fi
}

facts_of_demo_project() {
  local file
  fact url "${OPTION[label_studio_url]}"
  fact token "$(label_studio_token)"
  fact backend "$(gateway_url)"
  fact label_config "$(ask_gateway /label-config --max-time 10)"
  # Those first that the demo models get right.
  for file in "$DUET_ROOT"/tests/data/scenes/scene_{3,1,2,0}.jpg; do fact file "$file"; done
}
