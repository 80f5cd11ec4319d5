#!/bin/sh
# Runs a script under Node 24: the one from the npm package `node` if it is installed, else the one on the path if new enough.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
node="$root/node_modules/node/bin/node"
[ -x "$node" ] || node=node
exec "$node" --disable-warning=ExperimentalWarning "$@"
