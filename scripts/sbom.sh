#!/usr/bin/env bash
# Bills of materials in sbom/, CycloneDX JSON, the same bytes for the same pins: of .venv as it is installed, with licenses, and of each
# other lock as it is pinned, with hashes.
set -euo pipefail
cd "$(dirname "$0")/.."
cyclonedx=.venv-audit/bin/cyclonedx-py
shared=(--output-reproducible --pyproject pyproject.toml)
mkdir -p sbom
"$cyclonedx" environment "${shared[@]}" -o sbom/platform.cdx.json .venv/bin/python
export PYTHONWARNINGS="ignore:The Component this BOM is describing" # pins do not say what asked for them
for lock in requirements/*.txt; do
  name="$(basename "$lock" .txt)"
  case "$name" in lock | torch) continue ;; esac # installed, and in platform.cdx.json
  "$cyclonedx" requirements "${shared[@]}" -o "sbom/$name.cdx.json" "$lock"
done
ls sbom/*.cdx.json
