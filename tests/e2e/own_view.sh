#!/bin/sh
# The way of a service team, from nothing to kubectl: make a package with a view, install it, check it, run it in the shards, use
# it; then run it in a process of its own, on a platform whose shards do not have it, and use it by the same path.
#
# usage: own_view.sh DIRECTORY PYTHON KUBECTL PORT ETCD REGISTRY_PORT GATEWAY_PORT
#   DIRECTORY: an empty directory. PYTHON: a Python that has tenantry. KUBECTL: a kubectl. PORT: a free port for `tenantry start`.
#   ETCD: URL of an empty etcd. REGISTRY_PORT, GATEWAY_PORT: free ports for the platform on it.
set -eu
directory=$1 python=$2 kubectl=$3 port=$4 etcd=$5 registry_port=$6 gateway_port=$7
tenantry() { "$python" -m tenantry.cli.main "$@"; }

processes=
# run NAME ARGUMENTS: `tenantry ARGUMENTS` in the background, with its output in NAME.log
run() {
  name=$1
  shift
  "$python" -m tenantry.cli.main "$@" >"$directory/$name.log" 2>&1 &
  processes="$! $processes"
}
# serves NAME: waits until the process that is run under this name says that it serves
serves() {
  tries=0
  until grep -q "^tenantry .*serves " "$directory/$1.log"; do
    tries=$((tries + 1))
    if [ $tries -gt 600 ]; then
      cat "$directory/$1.log"
      exit 1
    fi
    sleep 0.2
  done
}
stop() {
  for process in $processes; do
    kill "$process" 2>/dev/null || true
    wait "$process" || true
  done
  processes=
}
trap stop EXIT

# at KUBECONFIG URL ARGUMENTS: kubectl with this server
at() {
  config=$1 server=$2
  shift 2
  "$kubectl" --kubeconfig "$config" --cache-dir "$directory/cache" --server "$server" "$@"
}
publish() {
  at "$1" "$2/clusters/root" create configmap open --from-literal text=secret
  at "$1" "$2/clusters/root" label configmap open published=yes
  at "$1" "$2/clusters/root" create configmap shut --from-literal text=secret
}
read_view() {
  at "$1" "$2/ranges/root/services/bulletin/clusters/*" get configmaps --all-namespaces \
    --output jsonpath='{range .items[*]}{.metadata.name}={.data.text}{"\n"}{end}'
}

tenantry views new bulletin --directory "$directory/bulletin"
# As the Dockerfile of the package does: its files in a directory that Python looks into.
"$python" -m pip install --quiet --no-deps --no-build-isolation --disable-pip-version-check \
  --target "$directory/site" "$directory/bulletin"

# Only what runs with this variable has the package.
export PYTHONPATH="$directory/site"

cd "$directory"
tenantry views check bulletin

echo "In the server:"
run server start --root-directory "$directory/state" --secure-port "$port" --gateway-port 0
serves server
publish "$directory/state/admin.kubeconfig" "https://127.0.0.1:$port"
read_view "$directory/state/admin.kubeconfig" "https://127.0.0.1:$port"
stop

echo "In a process of its own:"
unset PYTHONPATH
url="https://127.0.0.1:$gateway_port"
common="--etcd-servers $etcd --health-port -1"
local="--bind-address 127.0.0.1 --secure-port 0 --external-url $url"
run registry registry $common --registry-port "$registry_port"
run gateway gateway $common --secure-port "$gateway_port" --gateway-port 0 --external-url "$url" \
  --access-directory "$directory/access"
run shard shard $common $local --shard-name one --registry-servers "127.0.0.1:$registry_port"
for name in registry gateway shard; do serves $name; done
tenantry kubeconfig --etcd-servers "$etcd" --external-url "$url" >"$directory/admin.kubeconfig"
tries=0
until at "$directory/admin.kubeconfig" "$url/clusters/root" get namespaces 2>"$directory/errors"; do
  tries=$((tries + 1))
  if [ $tries -gt 300 ]; then
    cat "$directory/errors"
    exit 1
  fi
  sleep 0.2
done
publish "$directory/admin.kubeconfig" "$url"
if read_view "$directory/admin.kubeconfig" "$url" 2>"$directory/errors"; then
  echo "the shard has the view"
  exit 1
fi
export PYTHONPATH="$directory/site"
run views views $common $local --only bulletin
serves views
read_view "$directory/admin.kubeconfig" "$url"
