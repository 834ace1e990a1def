# Source this (bash, zsh): the pinned tools of this checkout, first on PATH.
# make and .ci/run use the same file, so a command tried by hand behaves as theirs do.
if [ -n "${BASH_SOURCE:-}" ]; then _dam_file=${BASH_SOURCE[0]}; else _dam_file=$0; fi
DAM_ROOT=$(cd "$(dirname "$_dam_file")/.." && pwd)
unset _dam_file
export PATH="$DAM_ROOT/.venv/bin:$DAM_ROOT/.tools/bin:$DAM_ROOT/node_modules/.bin:$PATH"
# py-solc-x, and so Ape, takes its compilers from here and asks no download site.
export SOLCX_BINARY_PATH="$DAM_ROOT/.tools/solc"
