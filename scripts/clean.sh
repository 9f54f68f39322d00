#!/usr/bin/env bash
# Remove what runs made. Asks first when it is a person who calls. Kept: results/grid, which is git's, and archive with DVC's
# cache, which are there to outlive the runs.
set -euo pipefail
cd "$(dirname "$0")/.."
made=(runs artifacts results/demo reports evaluations site .prefect mlflow.db mlruns mlartifacts outputs multirun .mypy_cache .ruff_cache .hypothesis)
there=()
for name in "${made[@]}"; do [ -e "$name" ] && there+=("$name"); done
[ ${#there[@]} -gt 0 ] || { echo "nothing to clean"; exit 0; }
du -sh "${there[@]}"
if [ -t 0 ]; then
  read -r -p "Remove these? [y/N] " answer
  [ "$answer" = y ] || exit 1
fi
rm -rf "${there[@]}"
for name in archive .dvc/cache; do
  [ ! -e "$name" ] || echo "kept: $(du -sh "$name" | tr '\t' ' ') (for dvc push)"
done
