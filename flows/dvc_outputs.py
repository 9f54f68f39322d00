"""Which folders are DVC's: what its pipelines write, a command of its own must not write into. Light to import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any


def owner_of(folder: Path) -> Path | None:
    """The ``dvc.yaml`` with an output that is ``folder``, lies in it or holds it; None: nobody's. Of the repository of DVC's that
    ``folder`` lies in: its own pipeline, and those of its folders."""
    folder = folder.resolve()
    root = next((parent for parent in folder.parents if (parent / ".dvc").is_dir()), None)
    if root is None:
        return None
    for file in (root / "dvc.yaml", *sorted(root.glob("*/dvc.yaml"))):
        if file.is_file() and any(out.is_relative_to(folder) or folder.is_relative_to(out) for out in _outputs(file)):
            return file
    return None


def _outputs(file: Path) -> Iterator[Path]:
    import yaml

    for stage in (yaml.safe_load(file.read_text("utf-8")) or {}).get("stages", {}).values():
        for item in _items(stage.get("matrix", {})):
            for out in stage.get("outs", []):
                name = str(next(iter(out)) if isinstance(out, Mapping) else out)
                for key, value in item.items():
                    name = name.replace(f"${{item.{key}}}", str(value))
                yield (file.parent / stage.get("wdir", ".") / name).resolve()


def _items(matrix: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One, of nothing, where a stage has no matrix."""
    for values in product(*matrix.values()):
        yield dict(zip(matrix, values, strict=True))
