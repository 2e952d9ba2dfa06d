# shellcheck shell=bash
# ./duet test --only=cluster: a Kubernetes cluster of one node on this machine, Duet's manifests on its API server, and Duet itself
# in its Pods. Needs root and cgroup v1.
#
# Kubernetes, etcd, CoreDNS, kube-router, metrics-server and KEDA come as Go modules, containerd and runc from Debian. All of it runs in
# namespaces of its own (tests/cluster/in_namespaces.sh) and ends with the tests.

readonly CLUSTER_HOME=$DUET_ROOT/.duet/cluster

test_part_cluster() {
  step "cluster"
  if [[ $EUID -ne 0 ]]; then
    warn "cluster: needs root"
    record cluster 0 1
    return
  fi
  local venv packages
  # shellcheck disable=SC2034  # build's: the programs are enough
  local WITH_TESTS=
  mapfile -t packages < <(packages_of cluster images)
  install_packages "${packages[@]}"
  venv=$(ensure_venv deploy tests/deploy/requirements.txt)
  ensure_venv label-studio deploy/label_studio/requirements.txt >/dev/null
  ensure_go_modules tests/deploy/go_modules.txt
  ensure_go_modules tests/cluster/go_modules.txt
  ensure_go_tools <(grep '^helm ' tests/deploy/go_tools.txt)
  ensure_go_tools tests/cluster/go_tools.txt
  ensure_unpacked tests/cluster/debian_tools.txt cluster
  ensure_kubernetes tests/cluster/kubernetes
  ensure_keda
  if ! build release || ! cluster_images; then
    record cluster 0 1
    return
  fi
  # shellcheck disable=SC2034  # run_pytest's
  local INSIDE=(tests/cluster/in_namespaces.sh "$CLUSTER_HOME")
  run_pytest cluster "$venv" tests/cluster
}

# cluster_images: the images of deploy/Dockerfile in one archive, with this tree's own binaries instead of what its first stage
# compiles (--only=images has that compiled), and the image that holds a Pod's namespaces, of Kubernetes' own source.
cluster_images() {
  local context=$CLUSTER_HOME/context bin=$CLUSTER_HOME/context/src/build/release/bin program target targets images=() source
  images_configure
  images_base
  rm -rf "$context"
  mkdir -p "$bin" "$context/opt/libtorch/lib"
  cp -r LICENSE deploy tools "$context"
  for program in build/release/bin/duet*; do strip -o "$bin/${program##*/}" "$program"; done
  source=$(go_module "k8s.io/kubernetes@$(kubernetes_version tests/cluster/kubernetes)")
  gcc -Os -static -DVERSION=local -o "$bin/pause" "$source/build/pause/linux/pause.c" || return
  {
    # Without the first stage; what others copy from it lies in the context.
    sed -e '/^FROM .* AS build$/,/^FROM /{/ AS build$/d;/^FROM /!d}' -e 's/ --from=build / /' deploy/Dockerfile
    printf 'FROM scratch AS pause\nCOPY src/build/release/bin/pause /pause\nENTRYPOINT ["/pause"]\n'
  } >"$context/Dockerfile"
  mapfile -t targets < <(awk '$1 == "FROM" { stage = $NF } $1 == "ENTRYPOINT" { print stage }' "$context/Dockerfile")
  for target in "${targets[@]}"; do
    images+=("docker.io/library/duet-$target:local")
    buildah bud --pull-never --layers --format docker --isolation chroot --network host --file "$context/Dockerfile" \
      --target "$target" --tag "${images[-1]}" "$context" || return
  done
  rm -f "$CLUSTER_HOME/images.tar"
  podman save --quiet --format docker-archive --multi-image-archive --output "$CLUSTER_HOME/images.tar" "${images[@]}"
}
