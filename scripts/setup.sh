#!/usr/bin/env bash
# Make .venv with everything of requirements/lock.txt and torch; `setup.sh cluster` makes .venv-cluster with the engines'
# CPU twin, requirements/cluster-cpu.txt. Does nothing (0.05 s) when neither the pins nor the Python have changed. Killed at
# any instant, or started twice at once, it ends the same.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  "") venv=.venv lock=requirements/lock.txt pythons="3.11 3.12" ;;
  cluster) venv=.venv-cluster lock=requirements/cluster-cpu.txt pythons="3.11" ;;
  *) echo "setup: unknown environment $1: nothing, or cluster" >&2 && exit 1 ;;
esac
pins=("$lock" requirements/torch.txt scripts/setup.sh)
unfinished=$venv/.setup-unfinished

# The stamp lives in the environment and names the pins and the interpreter: without it, or with another's, there is none.
# Reading pyvenv.cfg instead of asking Python keeps the check at a few milliseconds.
stamp() {
  local key
  key="$({ cat "${pins[@]}" && grep -E '^(version|home)' $venv/pyvenv.cfg; } 2>/dev/null | sha256sum | cut -c1-20)"
  echo "$venv/.setup-done-$key"
}
ready() { [ -x $venv/bin/python ] && [ -e "$(stamp)" ]; }

ready && exit 0
exec 9<scripts/setup.sh
flock 9 # the second of two setups waits here, and finds the work done
ready && exit 0

. scripts/uv.sh
find_python $pythons
find_uv
pass_pip_settings
uv_install() { "$uv" pip install --quiet --python $venv/bin/python "$@"; }

# A package that a killed setup left half copied looks installed, and another Python's packages are of no use: start over.
same="$("$python" -c 'import sys; print("version_info = %d.%d" % sys.version_info[:2])')"
if [ -e "$unfinished" ] || ! grep -q "^$same" $venv/pyvenv.cfg 2>/dev/null; then
  [ ! -e "$venv" ] || say "removing a $venv that is half made or of another Python"
  rm -rf "$venv"
fi
say "making $venv with $("$python" --version)"
"$uv" venv --quiet --allow-existing --python "$python" "$venv"
touch "$unfinished"
rm -f $venv/.setup-done-*

# torch by itself: a local wheel if this machine has one, the CPU build unless there is a CUDA GPU, else what the index has.
install_torch() {
  local torch=(-r requirements/torch.txt)
  if [ ${#find_links[@]} -gt 0 ]; then
    if uv_install --no-index "${find_links[@]}" --no-deps "${torch[@]}" 2>/dev/null; then
      say "torch from the find-links of this machine"
      return
    fi
    say "the find-links of this machine hold no $(cat requirements/torch.txt) for this Python: looking elsewhere"
  fi
  if [ "$venv" = .venv-cluster ]; then # also beside a GPU
    uv_install --torch-backend=cpu --no-deps "${torch[@]}" || fail "the CPU twin needs a CPU build of $(cat requirements/torch.txt)"
    say "torch, CPU build"
    return
  fi
  if ! nvidia-smi >/dev/null 2>&1; then
    if uv_install --torch-backend=cpu --no-deps "${torch[@]}"; then
      say "torch, CPU build"
      return
    fi
    echo "setup: WARNING: no CPU build of torch was found (see above); installing the default one, several GB with CUDA" >&2
  fi
  uv_install "${torch[@]}"
  say "torch with its CUDA packages"
}
install_torch

say "installing the pins of $lock"
# Compiled now, all packages: where Python may not write its bytecode, every process would compile what it imports, which takes
# three seconds each time; and elsewhere the first ones of a launch do it side by side.
uv_install --compile-bytecode --require-hashes --no-deps -r $lock

rm -f "$unfinished"
touch "$(stamp)" # last: a setup killed before this line starts again
say "done"
