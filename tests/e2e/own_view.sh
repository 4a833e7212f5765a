#!/bin/sh
# The way of a service team, from nothing to kubectl: make a package with a view, install it, check it, run it, use it.
#
# usage: own_view.sh DIRECTORY PORT PYTHON KUBECTL
#   DIRECTORY: an empty directory. PORT: a free port. PYTHON: a Python that has tenantry. KUBECTL: a kubectl.
set -eu
directory=$1 port=$2 python=$3 kubectl=$4
tenantry() { "$python" -m tenantry.cli.main "$@"; }

tenantry views new bulletin --directory "$directory/bulletin"
# As the Dockerfile of the package does: its files in a directory that Python looks into.
"$python" -m pip install --quiet --no-deps --no-build-isolation --disable-pip-version-check \
  --target "$directory/site" "$directory/bulletin"
export PYTHONPATH="$directory/site"

cd "$directory"
tenantry views check bulletin

"$python" -m tenantry.cli.main start --root-directory "$directory/state" --secure-port "$port" >"$directory/log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server || true' EXIT
tries=0
until tenantry probe "https://127.0.0.1:$port/readyz" 2>/dev/null; do
  tries=$((tries + 1))
  if [ $tries -gt 300 ] || ! kill -0 $server; then
    cat "$directory/log"
    exit 1
  fi
  sleep 0.2
done

use() { "$kubectl" --kubeconfig "$directory/state/admin.kubeconfig" --cache-dir "$directory/cache" "$@"; }
url=$("$python" - "$directory/state/admin.kubeconfig" <<'PY'
import sys
import yaml
print(yaml.safe_load(open(sys.argv[1]))["clusters"][0]["cluster"]["server"].split("/clusters")[0])
PY
)
use create configmap open --from-literal text=secret --server "$url/clusters/root"
use label configmap open published=yes --server "$url/clusters/root"
use create configmap shut --from-literal text=secret --server "$url/clusters/root"
use get configmaps --all-namespaces --output jsonpath='{range .items[*]}{.metadata.name}={.data.text}{"\n"}{end}' \
  --server "$url/ranges/root/services/bulletin/clusters/*"
