#!/usr/bin/env bash
# Make .venv-NAME with requirements/NAME.txt (docs, audit): tools that need nothing of the platform, and whose pins bind none of the
# platform's. Does nothing when the pins have not changed; killed at any instant, it starts anew.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=".venv-$1" pins="requirements/$1.txt"
stamp="$venv/.setup-$(cat "$pins" scripts/setup_apart.sh | sha256sum | cut -c1-20)"
[ ! -e "$stamp" ] || exit 0

. scripts/uv.sh
find_python
find_uv
pass_pip_settings
case "$1" in docs) size="130 MB" ;; audit) size="60 MB" ;; esac
say "making $venv with the pins of $pins ($size)"
"$uv" venv --quiet --clear --python "$python" "$venv"
"$uv" pip install --quiet --python "$venv/bin/python" --require-hashes --no-deps -r "$pins"
touch "$stamp"
