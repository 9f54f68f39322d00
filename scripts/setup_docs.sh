#!/usr/bin/env bash
# Make .venv-docs with requirements/docs.txt: what builds the documentation's site needs nothing of the platform, and its pins bind none
# of the platform's. Does nothing when the pins have not changed; killed at any instant, it starts anew.
set -euo pipefail
cd "$(dirname "$0")/.."
stamp=".venv-docs/.setup-$(cat requirements/docs.txt scripts/setup_docs.sh | sha256sum | cut -c1-20)"
[ ! -e "$stamp" ] || exit 0

. scripts/uv.sh
find_python
find_uv
pass_pip_settings
say "making .venv-docs with the pins of requirements/docs.txt (130 MB)"
"$uv" venv --quiet --clear --python "$python" .venv-docs
"$uv" pip install --quiet --python .venv-docs/bin/python --require-hashes --no-deps -r requirements/docs.txt
touch "$stamp"
