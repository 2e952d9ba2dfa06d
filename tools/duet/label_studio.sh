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
  # before the first login.
  ensure_running label-studio "127.0.0.1:$port" "$(signature "$venv/bin/label-studio" -- "$port")" \
    env PATH="$venv/bin:$PATH" HOME="$LABEL_STUDIO_HOME" \
    DJANGO_DB=sqlite \
    LABEL_STUDIO_BASE_DATA_DIR="$LABEL_STUDIO_HOME/data" \
    LABEL_STUDIO_HOST="http://127.0.0.1:$port" \
    LABEL_STUDIO_USERNAME="$LABEL_STUDIO_USER" \
    LABEL_STUDIO_PASSWORD="$password" \
    LABEL_STUDIO_USER_TOKEN="$token" \
    LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN=true \
    LABEL_STUDIO_ML_BLOCK_LOCAL_IP=false \
    LABEL_STUDIO_SSRF_PROTECTION_ENABLED=false \
    LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true \
    LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT="$LABEL_STUDIO_HOME/files" \
    LABEL_STUDIO_COLLECT_ANALYTICS=false \
    LABEL_STUDIO_LATEST_VERSION_CHECK=false \
    LABEL_STUDIO_SENTRY_DSN='' LABEL_STUDIO_FRONTEND_SENTRY_DSN='' \
    label-studio start --no-browser --internal-host 127.0.0.1 --port "$port"
  wait_for_label_studio "$port"
}

label_studio_token() { cat "$LABEL_STUDIO_HOME/token"; }

# Password and token are made once, for this installation alone.
label_studio_secrets() {
  mkdir -p "$LABEL_STUDIO_HOME/data" "$LABEL_STUDIO_HOME/files"
  local secret
  for secret in password token; do
    [[ -s $LABEL_STUDIO_HOME/$secret ]] ||
      (umask 077 && head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$LABEL_STUDIO_HOME/$secret")
  done
}

wait_for_label_studio() {
  local deadline=$((SECONDS + LABEL_STUDIO_READY_SECONDS))
  until curl --fail --silent --output /dev/null --max-time 2 "http://127.0.0.1:$1/health"; do
    require_alive label-studio
    ((SECONDS < deadline)) || die "Label Studio is not healthy within $LABEL_STUDIO_READY_SECONDS s"
    sleep 0.2
  done
}

# Which Label Studio Duet was told of, and the token: the next `up` need not be told again. In OPTION, as `up` parsed it.
readonly ACCESS_FILE=$DUET_STATE/label-studio-access

remember_access() {
  if [[ ${OPTION[label-studio-url]}${OPTION[label-studio-api-key]} ]]; then
    (umask 077 && printf '%s\n' "${OPTION[label-studio-url]}" "${OPTION[label-studio-api-key]}" >"$ACCESS_FILE")
  else
    rm -f "$ACCESS_FILE"
  fi
}

recall_access() {
  [[ -s $ACCESS_FILE && ! ${OPTION[label-studio-url]}${OPTION[label-studio-api-key]} ]] || return 0
  [[ ! ${GIVEN[label-studio-url]:-}${GIVEN[label-studio-api-key]:-} ]] || return 0
  { read -r "OPTION[label-studio-url]" && read -r "OPTION[label-studio-api-key]"; } <"$ACCESS_FILE" || true
}

# Says so if Label Studio is away or refuses the token; that hinders nobody from starting it later.
check_access() {
  local url=${OPTION[label-studio-url]%/} token=${OPTION[label-studio-api-key]} status
  status=$(
    if [[ $token == *.*.* ]]; then  # a personal access token: has to be exchanged
      curl_setting url "$url/api/token/refresh"
      curl_setting header "Content-Type: application/json"
      curl_setting data "{\"refresh\": \"$token\"}"
    else
      curl_setting url "$url/api/current-user/whoami"
      curl_setting header "Authorization: Token $token"
    fi | curl --config - --silent --insecure --max-time 10 --output /dev/null --write-out '%{http_code}'
  ) || true
  case $status in
    200) ;;
    401 | 403) warn "Label Studio at $url refuses that token: tasks will fail until Duet is given another" ;;
    000) warn "nothing answers at $url: tasks will fail until Label Studio runs there" ;;
    *) warn "$url answers $status to a question that Label Studio would answer; is the URL right?" ;;
  esac
}
