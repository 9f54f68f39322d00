"""The variables that a launch's processes start with."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx
import pytest
from httpcore import HTTPProxy as _Proxied

from flows.launch.libraries import calm_libraries, exempt_loopback

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


@pytest.mark.parametrize(
    ("spelling", "named"), [("NO_PROXY", "a.example, .b.example"), ("no_proxy", "127.0.0.1"), ("", "")]
)
def test_loopback_needs_no_proxy(spelling: str, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the network's proxy is, and whoever asks: urllib, requests and httpx read these variables."""
    import urllib.request

    from requests.utils import should_bypass_proxies

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    if spelling:
        monkeypatch.setenv(spelling, named)
    exempt_loopback()
    exempt_loopback()
    hosts = os.environ["NO_PROXY"].split(",")
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]
    assert len(set(hosts)) == len(hosts)
    assert set(hosts) >= {host.strip() for host in named.split(",")} - {""}
    for url in ("http://127.0.0.1:4200/api", "http://localhost:4200/api"):
        assert urllib.request.proxy_bypass(url.split("/")[2])
        assert should_bypass_proxies(url, no_proxy=None)
        with httpx.Client() as client:
            assert not isinstance(client._transport_for_url(httpx.URL(url))._pool, _Proxied)  # type: ignore[attr-defined]
    with httpx.Client() as client:
        assert isinstance(client._transport_for_url(httpx.URL("http://c.example"))._pool, _Proxied)  # type: ignore[attr-defined]
