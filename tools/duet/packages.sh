# shellcheck shell=bash
# Debian packages. The lists are in deploy/packages/, which the Dockerfile reads too.

# packages_of LIST...: the names in deploy/packages/LIST.txt, without comments.
packages_of() {
  local list
  for list in "$@"; do
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$DUET_ROOT/deploy/packages/$list.txt"
  done
}

# missing_packages NAME...: those that are not installed.
missing_packages() {
  local installed
  installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' | sed -n 's/^ii //p')
  comm -23 <(printf '%s\n' "$@" | sort -u) <(sort -u <<<"$installed")
}

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "installing packages needs root or sudo: $*"
  fi
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@" </dev/null
}

# install_packages NAME...: installs what is missing; a machine that has it all is left alone.
install_packages() {
  command -v dpkg-query apt-get >/dev/null ||
    die "no apt here: Duet is built on Debian 12 (bookworm), with the packages in deploy/packages/"
  local missing
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  step "installing ${#missing[@]} packages: ${missing[*]}"
  mkdir -p "$DUET_STATE/logs"
  local log=$DUET_STATE/logs/apt.log
  if ! { apt_get update && apt_get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "apt-get failed; the whole log is $log"
  fi
}

# The mirror that apt gets Debian from here, however that is written down.
debian_mirror() {
  apt-get update --print-uris | awk -F "'" '!found && sub("/dists/bookworm/InRelease$", "", $2) { print $2; found = 1 }'
}

# debian_sources MIRROR: the sources.list of a Debian that isn't this machine's.
debian_sources() {
  printf 'deb %s bookworm main\ndeb %s bookworm-updates main\ndeb %s-security bookworm-security main\n' "$1" "$1" "$1"
}
