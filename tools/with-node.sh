#!/bin/sh
# Runs a script under Node 24: the one from the npm package `node` if it is installed, else the one on the path if new enough.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
node="$root/node_modules/node/bin/node"
if [ ! -x "$node" ]; then
  node=node
  major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
  if [ "$major" -lt 24 ]; then
    printf "%s\n" "with-node: no Node 24 here." '  remedy: run "sh tools/setup.sh npm", or put a Node.js 24 first on the PATH.' >&2
    exit 1
  fi
fi
# Code without its types is kept between runs.
export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE:-$root/node_modules/.cache/compiled}"
exec "$node" --disable-warning=ExperimentalWarning "$@"
