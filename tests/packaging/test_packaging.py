"""What is shipped and what is pinned: the wheel, the lock, and that nothing names a machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
ENVIRONMENTS = [
    {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": system,
        "platform_machine": machine,
    }
    for python in ("3.11", "3.12")
    for system, machine in (("linux", "x86_64"), ("darwin", "arm64"))
]


@cache
def project() -> dict[str, object]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])


def requirements(path: Path) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


@cache
def locked(lock: str = "lock.txt") -> list[tuple[Requirement, int]]:
    """Each entry of the lock and how many hashes it has."""
    text = (REQUIREMENTS / lock).read_text().replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(Requirement(re.split(r"\s+--hash=", line)[0].strip()), line.count("--hash=sha256:")) for line in entries]


def applies(requirement: Requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(environment)


# ---------------------------------------------------------------------------------------------------------- the lock


@pytest.mark.parametrize(
    ("lock", "at_least"),
    [("lock.txt", 200), ("cluster-cpu.txt", 200), ("cluster-cuda.txt", 200), ("docs.txt", 20), ("audit.txt", 20)],
)
def test_lock_is_hashed_pins_and_nothing_else(lock: str, at_least: int) -> None:
    assert len(locked(lock)) > at_least
    for requirement, hashes in locked(lock):
        assert hashes > 0, requirement.name
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert requirement.url is None, requirement.name
    text = (REQUIREMENTS / lock).read_text()
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host", text), "the lock names an address"


def test_lock_leaves_torch_to_setup() -> None:
    left_out = re.compile(r"torch|triton|nvidia-(?!ml-py)|cuda-")
    assert [r.name for r, _ in locked() if left_out.match(r.name)] == []
    (torch,) = requirements(REQUIREMENTS / "torch.txt")
    assert str(torch) == "torch==2.13.0"


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda e: f"{e['python_version']}-{e['sys_platform']}")
def test_lock_serves(environment: dict[str, str]) -> None:
    """One pin per package in each environment, and it satisfies what is asked for."""
    pins = [r for r, _ in locked() if applies(r, environment)]
    names = [canonicalize_name(r.name) for r in pins]
    assert len(names) == len(set(names))
    versions = {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in pins}
    for name in ("platform", "dev", "bench"):
        for asked in requirements(REQUIREMENTS / f"{name}.in"):
            assert asked.specifier.contains(versions[canonicalize_name(asked.name)]), asked


@pytest.mark.parametrize("lock", ["cluster-cpu", "cluster-cuda"])
def test_a_clusters_lock_serves(lock: str) -> None:
    """The platform beside the engines in one environment, without a conflict; the twin has no CUDA."""
    versions = {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r, _ in locked(f"{lock}.txt")}
    assert len(versions) == len(locked(f"{lock}.txt"))
    for name in ("platform", "dev", lock):
        for asked in requirements(REQUIREMENTS / f"{name}.in"):
            assert asked.specifier.contains(versions[canonicalize_name(asked.name)]), asked
    if lock == "cluster-cpu":
        left_out = {r.name for r in requirements(REQUIREMENTS / "cluster-cpu.without")}
        assert not left_out & versions.keys()
        assert [n for n in versions if re.match(r"torch$|triton|nvidia-(?!ml-py)|cuda-", n)] == []


@pytest.mark.parametrize("extra", ["platform", "dev", "bench", "real", "browser", "docs", "audit", "cluster-cuda"])
def test_extras_say_what_the_requirement_files_say(extra: str) -> None:
    extras = project()["optional-dependencies"]
    assert isinstance(extras, dict)
    assert {Requirement(line) for line in extras[extra]} == set(requirements(REQUIREMENTS / f"{extra}.in"))


def test_installed_is_what_is_locked() -> None:
    """A stale .venv makes every other result doubtful: `make setup` mends it."""
    here = [r for r, _ in locked() if applies(r, {})]
    wrong = [str(r) for r in here if not r.specifier.contains(_installed(r.name), prereleases=True)]
    assert wrong == []


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "0"


# --------------------------------------------------------------------------------------------------------- the wheel


def test_wheel_holds_empg_and_needs_torch_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.iterdir()
    assert re.fullmatch(r"empg-[\d.]+-py3-none-any\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (about,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    package = {name for name in names if ".dist-info/" not in name}
    sources = (
        path.relative_to(ROOT).as_posix() for path in (ROOT / "empg").rglob("*") if path.suffix in (".py", ".typed")
    )
    assert package == set(sources)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    needed = [line for line in about.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert needed == ["Requires-Dist: torch>=2.4"]
    assert "License-Expression: Apache-2.0" in about


def test_empg_imports_where_only_torch_is() -> None:
    """Nothing of the platform may be needed by the library (transformers, numpy and the like are barred here)."""
    script = (
        "import sys\n"
        "for name in ('pipelines', 'flows', 'transformers', 'pyarrow', 'pydantic', 'prefect', 'hydra'):\n"
        "    sys.modules[name] = None\n"
        "import empg, pkgutil\n"
        "[__import__(m.name) for m in pkgutil.walk_packages(empg.__path__, 'empg.')]\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, env=environment)


# --------------------------------------------------------------------------------------------------------- the files


def test_no_file_names_a_machine() -> None:
    """Home folders, working folders and hosts of whoever wrote this have no place in the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    machine = re.compile(r"(?<![\w.~$}/-])/(?:home|Users|root|work|opt|mnt)/\w|file:///|https?://(?:10|192\.168)\.\d")
    found = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and not path.is_symlink() and path != Path(__file__) and path.stat().st_size < 2_000_000:
            for number, line in enumerate(path.read_text("utf-8", errors="ignore").splitlines(), 1):
                if machine.search(line):
                    found.append(f"{name}:{number}: {line.strip()[:100]}")
    assert found == []


def test_scripts_are_bash_and_run() -> None:
    for script in [ROOT / ".ci" / "run", *sorted((ROOT / "scripts").glob("*.sh"))]:
        subprocess.run(["bash", "-n", str(script)], check=True)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("setup", "setup-cluster", "demo", "test", "test-cluster", "lint", "docs", "bench", "ui", "clean"):
        assert re.search(rf"^  make {target} ", listed, re.MULTILINE), target
