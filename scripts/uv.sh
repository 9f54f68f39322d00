# Sourced by setup.sh and lock.sh: finds a Python and uv, and hands uv what pip is told on this machine (uv does not read
# pip's configuration). Sets $python, $uv and the array $find_links.

say() { echo "setup: $*"; }
fail() {
  echo "setup: $*" >&2
  exit 1
}

# find_python [VERSION…]: $PYTHON if set, else the first of these that is of such a version (3.11 or 3.12 if not told). A
# pyenv shim may be on PATH and still not run: ask it.
find_python() {
  local candidate found wanted=" ${*:-3.11 3.12} "
  for candidate in "${PYTHON:-}" python3.11 python3.12 python3; do
    [ -n "$candidate" ] || continue
    found="$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true)"
    if [ -n "$found" ] && [[ "$wanted" = *" $found "* ]]; then
      python="$(command -v "$candidate")"
      return
    fi
    if [ "$candidate" = "${PYTHON:-}" ]; then fail "PYTHON=$PYTHON is not a Python${wanted// 3.12/ or 3.12}: set it to one"; fi
  done
  fail "needs Python${wanted// 3.12/ or 3.12}and found none on PATH: install one, or set PYTHON=/path/to/python"
}

# The uv on PATH, else our own in .uv (made anew when a killed setup left half of it).
find_uv() {
  uv="${UV:-$(command -v uv || true)}"
  [ -z "$uv" ] || return 0
  uv="$PWD/.uv/bin/uv"
  "$uv" --version >/dev/null 2>&1 && return
  say "installing uv into .uv"
  "$python" -m venv --clear .uv || fail "cannot make .uv with $python: install its venv module (Debian: python3-venv), or uv"
  .uv/bin/python -m pip install -qq --disable-pip-version-check "uv==0.13.8" ||
    fail "pip cannot install uv: check the network and pip's configuration, then launch again"
}

pip_setting() { "$python" -m pip config get "global.$1" 2>/dev/null || true; }

# Environment first, pip's configuration second, nothing when neither says anything. Extra indexes are left out on purpose:
# uv would prefer them over the main one for every package they hold.
pass_pip_settings() {
  local links cert index
  links="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-$(pip_setting find-links)}}"
  find_links=()
  local link
  for link in ${links//,/ }; do find_links+=(--find-links "$link"); done
  cert="${SSL_CERT_FILE:-${PIP_CERT:-$(pip_setting cert)}}"
  if [ -n "$cert" ]; then export SSL_CERT_FILE="$cert"; fi
  index="${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-${PIP_INDEX_URL:-$(pip_setting index-url)}}}"
  if [ -n "$index" ]; then export UV_DEFAULT_INDEX="$index"; fi
}
