# shellcheck shell=bash
# ./duet test --only=arm64: compiles everything for arm64 on this machine (cmake/arm64.cmake), and runs the unit tests of the rooms
# without LibTorch by qemu. Takes as long as a build of everything, and 5 GB.

readonly ARM64_HOME=$DUET_ROOT/.duet/arm64
# Not by qemu: what stands on LibTorch, whose kernels it would emulate one instruction at a time; Duet's own scripts, which run on
# the building machine; and the trainer's child process, whose limit of memory qemu doesn't set, since it would be its own.
readonly ARM64_ELSEWHERE='^unit\.((nn|detector_service|segmenter_service|trainer|tools)\.|trainer_service\.child$)'

test_part_arm64() {
  local packages
  mapfile -t packages < <(packages_of arm64)
  install_packages "${packages[@]}"
  if arm64_sysroot; then
    run_ctest arm64 arm64 --label-regex '^unit$' --exclude-regex "$ARM64_ELSEWHERE"
  else
    record arm64 0 1
  fi
}

# Unpacks the libraries that Duet is compiled against, for arm64, below .duet/arm64/sysroot. This apt knows one architecture and no
# installed package, so it finds everything that they need. The machine's own apt and dpkg are told of nothing.
arm64_sysroot() {
  local apt=$ARM64_HOME/apt sysroot=$ARM64_HOME/sysroot log=$DUET_STATE/logs/apt.log packages stamp deb link
  mapfile -t packages < <(packages_of build test models | grep -E '^lib|-dev$')
  packages+=(protobuf-compiler-grpc)  # gRPC's CMake files want its plugin to be there
  stamp=$sysroot/.$(printf '%s\n' "${packages[@]}" | sha256sum | cut -c 1-16)
  [[ ! -f $stamp ]] || return 0
  step "arm64: unpacking ${#packages[@]} packages and what they need"
  rm -rf "$apt" "$sysroot"
  mkdir -p "$apt"/{state/lists,cache/archives}/partial "$sysroot" "$DUET_STATE/logs"
  debian_sources "$(debian_mirror)" >"$apt/sources.list"
  : >"$apt/status"
  cat >"$apt/apt.conf" <<TEXT
APT::Architecture "arm64";
APT::Architectures "arm64";
APT::Sandbox::User "root";
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
TEXT
  if ! {
    APT_CONFIG=$apt/apt.conf apt-get -qq update &&
      APT_CONFIG=$apt/apt.conf apt-get -qq --yes --no-install-recommends --download-only install "${packages[@]}"
  } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    warn "arm64: apt-get failed; the whole log is $log"
    return 1
  fi
  for deb in "$apt"/cache/archives/*.deb; do
    dpkg --fsys-tarfile "$deb" | tar --extract --directory="$sysroot" --exclude=./usr/share/{doc,man,locale} || return
  done
  # A link that leads from the root leads from the sysroot.
  while IFS= read -r link; do
    ln --symbolic --force --no-dereference --relative "$sysroot$(readlink "$link")" "$link"
  done < <(find "$sysroot" -type l -lname '/*')
  # As update-alternatives would have it, were they installed.
  ln --symbolic --relative "$sysroot"/usr/lib/aarch64-linux-gnu/{openblas-openmp/lib*.so.?,}
  rm -rf "$apt"
  touch "$stamp"
}
