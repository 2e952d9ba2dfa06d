# shellcheck shell=bash
# ./duet test --only=images: builds deploy/Dockerfile's targets and starts them as a cluster would: not as
# root, with a read-only root, no capabilities, and the models mounted. Needs root and 5 GB; takes about 20 minutes, less
# where ccache has the objects of this tree.
#
# No container engine and no image registry: buildah builds, podman runs, and the base image is made by debootstrap
# from the Debian mirror that apt uses here.

readonly IMAGES_HOME=$DUET_ROOT/.duet/images
readonly IMAGES_BASE=docker.io/library/debian:bookworm-slim
readonly IMAGES_SERVICES=(detector segmenter gateway trainer)

test_part_images() {
  step "images"
  if [[ $EUID -ne 0 ]]; then
    warn "images: needs root"
    record images 0 1
    return
  fi
  local packages passed=0 failed=0 target
  mapfile -t packages < <(packages_of images)
  install_packages "${packages[@]}"
  images_configure
  images_base
  for target in "${IMAGES_SERVICES[@]}"; do
    if images_build "$target" && images_inspect "$target"; then ((++passed)); else ((++failed)); fi
  done
  if images_build fetch-model && images_fetch; then ((++passed)); else ((++failed)); fi
  if images_start && images_confined; then ((++passed)); else ((++failed)); fi
  if images_stop; then ((++passed)); else ((++failed)); fi
  record images "$passed" "$failed"
}

# Settings that need neither systemd nor the right to raise limits.
images_configure() {
  mkdir -p "$IMAGES_HOME"
  cat >"$IMAGES_HOME/containers.conf" <<'TEXT'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "host"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
TEXT
  cat >"$IMAGES_HOME/storage.conf" <<TEXT
[storage]
driver = "overlay"
graphroot = "$IMAGES_HOME/storage"
runroot = "$IMAGES_HOME/run"
TEXT
  export CONTAINERS_CONF=$IMAGES_HOME/containers.conf CONTAINERS_STORAGE_CONF=$IMAGES_HOME/storage.conf
}

images_base() {
  buildah inspect --type image "$IMAGES_BASE" >/dev/null 2>&1 && return
  local container mount mirror
  mirror=$(debian_mirror)
  container=$(buildah from scratch)
  mount=$(buildah mount "$container")
  debootstrap --variant=minbase bookworm "$mount" "$mirror" >"$IMAGES_HOME/debootstrap.log" 2>&1
  debian_sources "$mirror" >"$mount/etc/apt/sources.list"
  buildah umount "$container" >/dev/null
  buildah config --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit --quiet "$container" "$IMAGES_BASE" >/dev/null
  buildah rm "$container" >/dev/null
}

images_build() {
  local cache home=~root  # which is the same in the image
  cache=$(ccache --get-config cache_dir)
  mkdir -p "$cache"
  buildah bud --pull-never --layers --format docker --isolation chroot --network host --volume "$cache:$home/.cache/ccache" \
    --file deploy/Dockerfile --target "$1" --tag "duet-$1:test" .
}

# What is inside: only what the programs load, and, as SPDX, of which packages: .duet/images/duet-TARGET.spdx.json.
images_inspect() {
  local container root status=0
  container=$(buildah from --pull-never "duet-$1:test")
  root=$(buildah mount "$container")
  python3 tools/check_image_root.py "$root" || status=1
  python3 tools/make_sbom.py --name="duet-$1" --root="$root" >"$IMAGES_HOME/duet-$1.spdx.json" || status=1
  say "duet-$1: $(du --summarize --block-size=1M "$root" | cut -f 1) MiB"
  buildah rm "$container" >/dev/null
  return "$status"
}

# The one image with a shell: a file arrives, whose checksum is right.
images_fetch() {
  local sum
  sum=$(sha256sum models/demo/sam-demo.pth)
  podman run --rm --read-only --tmpfs /out:mode=1777 --cap-drop all --security-opt no-new-privileges \
    --volume "$DUET_ROOT/models/demo:/models:ro" duet-fetch-model:test file:///models/sam-demo.pth /out/sam.pth "${sum%% *}"
}

# Ports of their own, so that a Duet that is up is not disturbed.
images_start() {
  images_run detector --port=15051 --metrics_port=19101 --checkpoint=/models/rtmdet-demo.pth &&
    images_run segmenter --port=15052 --metrics_port=19102 --checkpoint=/models/sam-demo.pth &&
    images_run gateway --port=18003 --detector=127.0.0.1:15051 --segmenter=127.0.0.1:15052 &&
    curl --fail --silent --retry 120 --retry-delay 1 --retry-all-errors --output /dev/null http://127.0.0.1:18003/readyz
}

# What each process may, as the kernel has it: not root, no capability, a root that can't be written to. And the check that compose
# asks it with answers, while there is nothing else that could be run in its place.
images_confined() {
  local target status failed=0
  local -A port=([detector]=19101 [segmenter]=19102 [gateway]=18003)
  for target in "${!port[@]}"; do
    status=/proc/$(podman inspect --format '{{.State.Pid}}' "duet-test-$target")
    if ! grep -q $'^Uid:\t10001\t10001\t10001\t10001$' "$status/status" || ! grep -q $'^CapEff:\t0*$' "$status/status" ||
      ! grep -q ' / overlay ro[, ]' "$status/mounts"; then
      warn "duet-test-$target: may do more than it should: $(grep -hE '^(Uid|CapEff)| / ' "$status/status" "$status/mounts")"
      failed=1
    fi
    podman exec "duet-test-$target" duet-health-check "http://127.0.0.1:${port[$target]}/readyz" || failed=1
    if podman exec "duet-test-$target" sh -c true 2>/dev/null; then
      warn "duet-test-$target: has a shell"
      failed=1
    fi
  done
  return "$failed"
}

images_run() {
  local target=$1
  shift
  podman run --detach --replace --name "duet-test-$target" --read-only --tmpfs /tmp --cap-drop all \
    --security-opt no-new-privileges --volume "$DUET_ROOT/models/demo:/models:ro" "duet-$target:test" "$@"
}

# Whether SIGTERM reached each process and was followed by an orderly end.
images_stop() {
  local target code failed=0
  for target in gateway segmenter detector; do
    podman stop --time 40 "duet-test-$target" >/dev/null 2>&1 || true
    code=$(podman inspect --format '{{.State.ExitCode}}' "duet-test-$target" 2>/dev/null || echo absent)
    say "duet-test-$target: exit code $code"
    [[ $code == 0 ]] || failed=1
    podman rm --force "duet-test-$target" >/dev/null 2>&1 || true
  done
  return "$failed"
}
