# shellcheck shell=bash
# ./duet test --only=cluster: a real API server with its controllers on this machine, and Duet's manifests on it. Needs root
# and cgroup v1.
#
# Kubernetes and etcd come as Go modules. All of it runs in namespaces of its own (tests/cluster/in_namespaces.sh) and ends with
# the tests.

readonly CLUSTER_HOME=$DUET_ROOT/.duet/cluster

test_part_cluster() {
  step "cluster"
  if [[ $EUID -ne 0 ]]; then
    warn "cluster: needs root"
    record cluster 0 1
    return
  fi
  local venv packages
  mapfile -t packages < <(packages_of cluster)
  install_packages "${packages[@]}"
  venv=$(ensure_venv deploy tests/deploy/requirements.txt)
  ensure_go_modules tests/deploy/go_modules.txt
  ensure_go_modules tests/cluster/go_modules.txt
  ensure_kubernetes tests/cluster/kubernetes
  # shellcheck disable=SC2034  # run_pytest's
  local INSIDE=(tests/cluster/in_namespaces.sh "$CLUSTER_HOME")
  run_pytest cluster "$venv" tests/cluster
}
