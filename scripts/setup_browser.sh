#!/usr/bin/env bash
# What the tests in a browser need: requirements/browser.txt in .venv, and a Chromium of the system's, which is installed where apt-get
# may do so. Does nothing when both are there.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup_beside.sh browser
! command -v chromium >/dev/null || exit 0

. scripts/uv.sh
{ [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || fail "there is no chromium on PATH: install it (Debian: apt-get install chromium)"
say "installing Chromium by apt-get (400 MB)"
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null ||
  fail "apt-get cannot install chromium (see above): install it, then launch again"
