# Source this (bash, zsh): the pinned tools of this checkout, first on PATH.
# make uses the same file, so a command tried by hand behaves as its targets do.
if [ -n "${BASH_SOURCE:-}" ]; then
  DAM_ROOT=$(cd "$(dirname "$BASH_SOURCE")/.." && pwd)
elif [ -n "${ZSH_VERSION:-}" ]; then
  DAM_ROOT=$(cd "$(dirname "$0")/.." && pwd)
else
  # A plain sh does not know which file it reads; make starts at the root.
  DAM_ROOT=$(pwd)
fi
export PATH="$DAM_ROOT/.venv/bin:$DAM_ROOT/.tools/bin:$DAM_ROOT/node_modules/.bin:$PATH"
# py-solc-x, and so Ape, takes its compilers from here and asks no download site.
export SOLCX_BINARY_PATH="$DAM_ROOT/.tools/solc"
