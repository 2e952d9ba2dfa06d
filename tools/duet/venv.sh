# shellcheck shell=bash
# Python tools that Debian doesn't have: virtual environments below .duet/, kept until their requirements change.

# ensure_venv NAME REQUIREMENTS-FILE...: prints the environment's folder once it holds what the files ask for.
ensure_venv() {
  local venv=$DUET_ROOT/.duet/venv/$1
  shift
  local python=/usr/bin/python3 log=$DUET_STATE/logs/pip.log file stamp
  mkdir -p "$DUET_ROOT/.duet/venv" "$DUET_STATE/logs"
  if [[ ! -x $venv/bin/pip ]]; then
    install_packages python3 python3-venv >&2
    "$python" -m venv "$venv"
  fi
  for file in "$@"; do
    stamp=$venv/installed-$(sha256sum "$file" | cut -c 1-16)
    [[ -f $stamp ]] && continue
    step "installing ${file} with pip" >&2
    if ! "$venv/bin/pip" install --disable-pip-version-check --quiet -r "$file" >"$log" 2>&1; then
      tail -n 20 "$log" >&2
      die "pip failed; the whole log is $log"
    fi
    touch "$stamp"
  done
  echo "$venv"
}
