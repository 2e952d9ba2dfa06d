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

# print_label_studio_login URL
print_label_studio_login() {
  cat <<TEXT
1. Log in to Label Studio: $1
     $LABEL_STUDIO_USER, password $(<"$LABEL_STUDIO_HOME/password")
2. (Duet holds a token of this Label Studio already.)
TEXT
}
