"""The variables that a launch's processes start with."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from flows.launch.libraries import calm_libraries

LOADER = "/lib64/ld-linux-x86-64.so.2"  # says what glibc understood


@pytest.fixture(autouse=True)
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GLIBC_TUNABLES", "HF_HUB_DISABLE_PROGRESS_BARS", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(name, "")  # and so it is put back
        monkeypatch.delenv(name)


def test_glibc_knows_every_tunable() -> None:
    """It ignores in silence what it does not know."""
    listed = [LOADER, "--list-tunables"]
    try:
        before = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("another C library, or an older glibc")
    calm_libraries()
    after = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    changed = {line.partition(":")[0] for line in set(after) - set(before)}
    names = {setting.partition("=")[0] for setting in os.environ["GLIBC_TUNABLES"].split(":")}
    assert (
        changed
        == names
        == {f"glibc.malloc.{name}" for name in ("mmap_threshold", "trim_threshold", "top_pad", "hugetlb", "arena_max")}
    )


def test_a_process_of_a_launch_has_them_and_a_users_own_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    calm_libraries()
    code = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['TOKENIZERS_PARALLELISM'])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "3 false\n"
