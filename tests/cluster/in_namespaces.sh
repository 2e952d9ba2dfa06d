#!/usr/bin/env bash
# usage: in_namespaces.sh STATE-FOLDER COMMAND [ARGUMENT...]
# Runs COMMAND as the only user of a machine within this one: namespaces of its own for processes, mounts, the network and
# cgroups, so that a Kubernetes cluster can live in it. When COMMAND ends, so does everything that it started, and of its mounts,
# addresses and cgroups nothing is left. STATE-FOLDER/log is the /var/log that COMMAND saw; its /var/lib is begun and ends empty.
# Needs root and cgroup v1.
set -euo pipefail

# What a kubelet would set on the whole machine; here it finds it so.
readonly KERNEL_SETTINGS=(vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000)

# controllers: a line for each hierarchy of cgroup v1: its controllers, a space, this process' group in it.
controllers() { sed -nE 's/^[1-9][0-9]*:([a-z,]+):(.*)$/\1 \2/p' /proc/self/cgroup; }

outside() {
  local state=$1 name=duet-cluster-$$ controller group folder code=0 made=()
  rm -rf "${state:?}"/{lib,log}
  mkdir -p "$state"/{lib,log}
  while read -r controller group; do
    folder=/sys/fs/cgroup/$controller${group%/}/$name
    mkdir "$folder"
    made+=("$folder")
    if [[ $controller == cpuset ]]; then
      cat "${folder%/*}/cpuset.cpus" >"$folder/cpuset.cpus"
      cat "${folder%/*}/cpuset.mems" >"$folder/cpuset.mems"
    fi
    echo $$ >"$folder/cgroup.procs"
  done < <(controllers)
  ((${#made[@]})) || { echo "in_namespaces.sh: this machine has no controller of cgroup v1, which this needs" >&2; exit 1; }
  trap '' INT TERM  # what is inside ends by itself; then the groups go
  unshare --mount --net --pid --uts --ipc --cgroup --fork --kill-child --mount-proc -- bash "$0" --inside "$@" || code=$?
  for folder in "${made[@]}"; do
    echo $$ >"${folder%/*}/cgroup.procs"
    find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
  rm -rf "${state:?}/lib"
  exit "$code"
}

inside() {
  local state=$1 controller setting
  shift
  trap - INT TERM
  umount --recursive /sys
  mount -t sysfs sysfs /sys
  mount -t tmpfs tmpfs /sys/fs/cgroup
  while read -r controller _; do
    mkdir "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
  done < <(controllers)
  local folder
  for folder in lib log; do
    mount --bind "$state/$folder" "/var/$folder"
  done
  mount -t tmpfs tmpfs /run
  mkdir /run/lock /run/settings
  for setting in "${KERNEL_SETTINGS[@]}"; do
    echo "${setting#*=}" >"/run/settings/${setting//[\/=]/-}"
    mount --bind "/run/settings/${setting//[\/=]/-}" "/proc/sys/${setting%=*}"
  done
  mount --make-rshared /
  hostname duet-node
  ip link set lo up
  ip link add node0 type veth peer name node1
  ip address add 10.10.0.2/24 dev node0
  ip link set node0 up
  ip link set node1 up
  ip route add default via 10.10.0.1
  echo 1 >/proc/sys/net/ipv4/ip_forward
  echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
  # Not exec: somebody has to wait for the processes whose parents have gone.
  "$@"
}

if [[ $1 == --inside ]]; then inside "${@:2}"; else outside "$@"; fi
