#!/usr/bin/env bash
# Bills of materials in sbom/, CycloneDX JSON, the same bytes for the same pins: of .venv as it is installed, with licenses, and of each
# other lock as it is pinned, with hashes.
set -euo pipefail
cd "$(dirname "$0")/.."
cyclonedx=.venv-audit/bin/cyclonedx-py
shared=(--output-reproducible --pyproject pyproject.toml)
mkdir -p sbom
"$cyclonedx" environment "${shared[@]}" -o sbom/platform.cdx.json .venv/bin/python
for lock in audit browser cluster-cpu cluster-cuda docs real; do
  "$cyclonedx" requirements "${shared[@]}" -o "sbom/$lock.cdx.json" "requirements/$lock.txt"
done
ls sbom/*.cdx.json
