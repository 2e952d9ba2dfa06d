# shellcheck shell=bash
# Python: what parses for ./duet, and virtual environments for what Debian doesn't have.

# parse MODULE [ARGUMENT...]: runs tools/duet/MODULE.py, which reads a format for ./duet. Neither the environment (-E, -s) nor
# the caller's folder changes what it does; the modules beside it are what it may import.
parse() { /usr/bin/python3 -B -E -s "$DUET_ROOT/tools/duet/$1.py" "${@:2}"; }

# ensure_venv NAME REQUIREMENTS-FILE...: prints the folder of the environment, below .duet/venv/, once it holds what the
# files ask for. It is kept until they change.
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
    step "installing ${file} with pip, which takes a minute or two" >&2
    if ! "$venv/bin/pip" install --disable-pip-version-check --quiet -r "$file" >"$log" 2>&1; then
      tail -n 20 "$log" >&2
      die "pip failed; the whole log is $log"
    fi
    touch "$stamp"
  done
  echo "$venv"
}
