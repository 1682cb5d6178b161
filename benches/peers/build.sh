#!/usr/bin/env bash
# Builds the foreign programs our tests compare with, once, into benches/peers/bin (which git ignores):
# prometheus and promtool at the version go.mod names, minio and thanos from their own modules (they do not agree on
# shared dependencies). What is up to date is left alone. About six CPU-minutes on a fresh machine; needs Go.
# Names as arguments build only those.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p bin

command -v go >/dev/null || { echo "peers: no go on this machine, nothing built" >&2; exit 1; }
export CGO_ENABLED=0 GOFLAGS="-buildvcs=false -trimpath -mod=readonly"

# build NAME MODULE-DIR PACKAGE TAGS: a stamp beside the program says which module files it was built from.
build() {
  local name=$1 dir=$2 package=$3 tags=$4 stamp
  stamp=$(cat "$dir/go.mod" "$dir/go.sum" | sha256sum | cut -d' ' -f1)
  if [ -x "bin/$name" ] && [ "$(cat "bin/$name.stamp" 2>/dev/null)" = "$stamp" ]; then
    echo "peers: $name is up to date"
    return
  fi
  echo "peers: building $name"
  (cd "$dir" && nice -n 10 go build -tags "$tags" -ldflags "-s -w" -o "$OLDPWD/bin/$name" "$package")
  echo "$stamp" >"bin/$name.stamp"
}

[ $# -gt 0 ] || set -- promtool prometheus minio thanos
for name in "$@"; do
  case $name in
    promtool) build promtool . github.com/prometheus/prometheus/cmd/promtool "netgo" ;;
    # Service discoveries are left out: a peer test names its targets, and they are most of the build.
    prometheus) build prometheus . github.com/prometheus/prometheus/cmd/prometheus "netgo,remove_all_sd" ;;
    minio) build minio minio github.com/minio/minio "kqueue" ;;
    # As its releases are built, the tag of the label sets included: it decides how much memory a compaction takes.
    thanos) build thanos thanos github.com/thanos-io/thanos/cmd/thanos "netgo,slicelabels" ;;
    *) echo "peers: there is no $name" >&2; exit 2 ;;
  esac
done
