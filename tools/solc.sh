#!/bin/sh
# The pinned compiler under the name that py-solc-x, forge and slither look for.
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd) || exit 1
node="$here/../.tools/bin/node"
[ -x "$node" ] || node=node
exec "$node" --stack-size=8000 "$here/solc.cjs" "$@"
