#!/usr/bin/env bash
# Put requirements/NAME.txt into .venv, which scripts/setup.sh made: packages whose own needs lock.txt has, or that are data. Does nothing
# when the pins have not changed; killed at any instant, it starts anew.
set -euo pipefail
cd "$(dirname "$0")/.."
pins="requirements/$1.txt"
stamp=".venv/.setup-$1-$(sha256sum "$pins" | cut -c1-20)"
[ ! -e "$stamp" ] || exit 0

. scripts/uv.sh
find_python
find_uv
pass_pip_settings
case "$1" in real) size="100 MB" ;; browser) size="60 MB" ;; search) size="1 MB" ;; esac
say "installing the pins of $pins ($size)"
"$uv" pip install --quiet --python .venv/bin/python --reinstall --require-hashes --no-deps -r "$pins"
touch "$stamp"
