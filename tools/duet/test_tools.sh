# shellcheck shell=bash
# Programs that the tests of deploy/ use, below .duet/tools/: bin/NAME starts each.

readonly TOOLS_DIRECTORY=.duet/tools

# What is built here needs Go 1.26 or later, and Debian 12 has 1.19, which can fetch a later one: as a Go module, whose
# checksum it checks.
readonly GO_MODULE=golang.org/toolchain@v0.0.1-go1.26.8.linux

# new_enough_go: prints the path of a go command.
new_enough_go() {
  ensure_go
  if [[ ! $(go version) =~ go1\.(1[0-9]|2[0-5])([. ]|$) ]]; then
    command -v go
    return
  fi
  local folder
  folder=$(go_module "$GO_MODULE-$(go env GOARCH)")
  chmod -R +x "$folder/bin" "$folder/pkg/tool"  # modules have no executable files
  echo "$folder/bin/go"
}

ensure_go() { command -v go >/dev/null || install_packages golang-go >&2; }

# go_module MODULE@VERSION: fetches it, which needs no compiler, and prints its folder.
go_module() {
  local folder
  folder=$(GOFLAGS='' GOTOOLCHAIN=local go mod download -json "$1" | parse json_value Dir)
  [[ -d $folder ]] || die "go could not fetch $1"
  echo "$folder"
}

# ensure_go_modules LIST-FILE: lines of "NAME MODULE@VERSION"; modules/NAME leads to the module's files.
ensure_go_modules() {
  local modules=$DUET_ROOT/$TOOLS_DIRECTORY/modules name module
  mkdir -p "$modules"
  while read -r name module; do
    [[ -d $modules/$name && $(cat "$modules/.$name.version" 2>/dev/null) == "$module" ]] && continue
    ensure_go
    ln -sfn "$(go_module "$module")" "$modules/$name"
    echo "$module" >"$modules/.$name.version"
  done < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1")
}

# ensure_go_tools LIST-FILE: lines of "NAME PACKAGE@VERSION"; builds those that are not there in that version.
ensure_go_tools() {
  local bin=$DUET_ROOT/$TOOLS_DIRECTORY/bin log=$DUET_STATE/logs/go.log name package scratch go
  mkdir -p "$bin" "$DUET_STATE/logs"
  while read -r name package; do
    [[ -x $bin/$name && $(cat "$bin/.$name.version" 2>/dev/null) == "$package" ]] && continue
    go=${go:-$(new_enough_go)}
    step "building $name (${package##*@}) with go" >&2
    scratch=$(mktemp -d)
    if ! GOBIN=$scratch CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS='' \
      "$go" install -trimpath -ldflags '-s -w' "$package" >"$log" 2>&1; then
      tail -n 20 "$log" >&2
      rm -rf "$scratch"
      die "go could not build $package; the whole log is $log"
    fi
    mv "$scratch"/* "$bin/$name"
    rmdir "$scratch"
    echo "$package" >"$bin/.$name.version"
  done < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1")
}

# ensure_collector: OpenTelemetry's collector of the parts in tests/deploy/collector.yaml, as bin/otelcol.
ensure_collector() {
  local parts=tests/deploy/collector.yaml bin=$DUET_ROOT/$TOOLS_DIRECTORY/bin log=$DUET_STATE/logs/go.log version go scratch
  version=$(sha256sum "$parts" | cut -c 1-16)
  [[ ! -x $bin/otelcol || $(cat "$bin/.otelcol.version" 2>/dev/null) != "$version" ]] || return 0
  ensure_go_tools tests/deploy/collector_tools.txt
  go=$(new_enough_go)
  step "building OpenTelemetry's collector" >&2
  scratch=$(mktemp -d)
  sed "s|^dist:|&\n  output_path: $scratch/built|" "$parts" >"$scratch/parts.yaml"
  if ! PATH=${go%/*}:$PATH CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS='' "$bin/ocb" --config="$scratch/parts.yaml" \
    >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -rf "$scratch"
    die "ocb could not build the collector; the whole log is $log"
  fi
  mv "$scratch/built/otelcol" "$bin/otelcol"
  rm -rf "$scratch"
  echo "$version" >"$bin/.otelcol.version"
}

# ensure_go_build NAME FOLDER PACKAGE STAMP [SYMBOLS]: builds bin/NAME of the module in FOLDER as the main one, unless it is there with
# that STAMP. "go install" refuses modules whose go.mod replaces others. SYMBOLS are what the linker sets.
ensure_go_build() {
  local name=$1 folder=$2 package=$3 stamp=$4 symbols=${5:-}
  local bin=$DUET_ROOT/$TOOLS_DIRECTORY/bin log=$DUET_STATE/logs/go.log go
  [[ ! -x $bin/$name || $(cat "$bin/.$name.version" 2>/dev/null) != "$stamp" ]] || return 0
  mkdir -p "$bin" "$DUET_STATE/logs"
  go=$(new_enough_go)
  step "building $name with go" >&2
  if ! (cd -P "$folder" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly "$go" build -trimpath -o "$bin/$name.new" \
    -ldflags "-s -w $symbols" "$package") >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "go could not build $package; the whole log is $log"
  fi
  mv -f "$bin/$name.new" "$bin/$name"
  echo "$stamp" >"$bin/.$name.version"
}

# ensure_keda: KEDA's operator and metrics server as bin/keda-operator and bin/keda-adapter, of the module that ensure_go_modules has
# fetched.
ensure_keda() {
  local modules=$DUET_ROOT/$TOOLS_DIRECTORY/modules program
  for program in operator adapter; do
    ensure_go_build "keda-$program" "$modules/keda" "./cmd/$program" "$(cat "$modules/.keda.version")"
  done
}

# kubernetes_version FOLDER: the one that the go.mod in it requires.
kubernetes_version() { sed -nE 's/^require k8s.io\/kubernetes (v[^ ]+).*/\1/p' "$1/go.mod"; }

# ensure_kubernetes FOLDER: builds the tools that the go.mod in FOLDER lists, into bin/; etcd is what its server package builds.
ensure_kubernetes() {
  local folder=$1 package name stamp
  stamp=$(cat "$folder/go.mod" "$folder/go.sum" | sha256sum | cut -c 1-16)
  while read -r package; do
    name=${package##*/}
    [[ $package != */etcd/server/v* ]] || name=etcd
    ensure_go_build "$name" "$folder" "$package" "$stamp" "-X k8s.io/component-base/version.gitVersion=$(kubernetes_version "$folder")"
  done < <(sed -nE '/^tool \(/,/^\)/s/^\t//p' "$folder/go.mod")
}

# ensure_unpacked LIST-FILE [FOLDER]: Debian packages, one a line, unpacked and not installed, below .duet/tools/FOLDER (debian).
# bin/ gets a starter for every program among them that finds its libraries beside it.
ensure_unpacked() {
  local list=$1 root=$DUET_ROOT/$TOOLS_DIRECTORY/${2:-debian} bin=$DUET_ROOT/$TOOLS_DIRECTORY/bin
  local stamp packages deb program name
  stamp=$root/.$(sha256sum "$list" | cut -c 1-16)
  [[ ! -f $stamp ]] || return 0
  mapfile -t packages < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$list")
  step "unpacking ${packages[*]}" >&2
  rm -rf "$root"
  mkdir -p "$root/archives" "$bin" "$DUET_STATE/logs"
  local log=$DUET_STATE/logs/apt.log
  if ! (cd "$root/archives" && { apt-get -qq download "${packages[@]}" ||
    { apt_get update && apt-get -qq download "${packages[@]}"; }; }) >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "apt-get failed; the whole log is $log"
  fi
  for deb in "$root"/archives/*.deb; do dpkg -x "$deb" "$root"; done
  rm -rf "$root/archives"
  for program in "$root"/usr/bin/* "$root"/usr/sbin/*; do
    [[ -f $program && -x $program ]] || continue
    name=${program##*/}
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$root/usr/lib/$(uname -m)-linux-gnu" "$program" \
      >"$bin/$name"
    chmod +x "$bin/$name"
  done
  touch "$stamp"
}
