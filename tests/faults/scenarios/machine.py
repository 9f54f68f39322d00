"""What a machine or a shell refuses: space, writing, memory, the size of a file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.faults.scenarios.scene import RUN, WAITS_S, Limits, NotTried, Scene

_MB = 1 << 20
_ROOMY = 512 * _MB
_FULL = r"(error|warning): .*([Nn]o space left|disk is full)"
_TOO_LARGE = r"(error|warning): .*ulimit -f"
_MEMORY = r"error: .*(ulimit -v|not enough memory)"


def _mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True, capture_output=True)


def _file_system(scene: Scene, size: int) -> None:
    """A file system in memory at the working folder, of so many bytes."""
    scene.work.mkdir(exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "none", scene.work)


def _resize(scene: Scene, size: int) -> None:
    _mount("-o", f"remount,size={size}", scene.work)


def _used(folder: Path) -> int:
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _fill_up(scene: Scene, free: int, *, cold: bool) -> bool:
    """A launch with so many bytes left, then one with room. Whether the first got through."""
    _file_system(scene, _ROOMY)
    if not cold:
        scene.furnish()
    _resize(scene, _used(scene.work) + free)
    code = scene.ends(scene.start(), codes=(0, 1), says_failing=_FULL, within_s=scene.calm.seconds * 4 + WAITS_S)
    _resize(scene, _ROOMY)
    scene.continues(cold=cold)
    scene.nothing_is_left_running()
    subprocess.run(["umount", scene.work], check=True)
    return code == 0


def disk_full(scene: Scene) -> None:
    """At sizes from nothing until a launch gets through."""
    for kilobytes in (0, 64, 500, 2_000, 5_000, 12_000, 32_000):
        if _fill_up(scene, kilobytes << 10, cold=False):
            return
    scene.faults.append("no launch got through")


def disk_full_cold(scene: Scene) -> None:
    """Where nothing was made before."""
    for megabytes in (6, 12):
        _fill_up(scene, megabytes * _MB, cold=True)


def quota(scene: Scene) -> None:
    """A quota's error is taken as a full disk's (``pipelines.files.DISK_FULL``)."""
    scene.work.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", "size=64m,usrquota,usrquota_block_hardlimit=24m", "none", scene.work)
    except subprocess.CalledProcessError:
        raise NotTried("this kernel knows no quota on a file system in memory") from None
    scene.furnish()
    scene.ends(scene.start(), codes=(0, 1), says_failing=_FULL)
    _mount("-o", "remount,usrquota_block_hardlimit=0", scene.work)
    scene.continues()


def _only_read(folder: Path) -> None:
    _mount("--bind", folder, folder)
    _mount("-o", "remount,ro,bind", folder)


def read_only(scene: Scene) -> None:
    """The whole working folder, by a mount: permissions bind no superuser."""
    scene.furnish()
    _only_read(scene.work)
    scene.ends(scene.start(), codes=2, says=r"error: execution\.runs=runs cannot be used \(Read-only file system")
    subprocess.run(["umount", scene.work], check=True)
    scene.continues()


def read_only_prefect(scene: Scene) -> None:
    """Prefect's folder alone: the run goes on without its pages."""
    scene.furnish()
    _only_read(scene.work / ".prefect")
    scene.ends(scene.start(), says=r"warning: .*Read-only file system.*without Prefect's pages")
    scene.same_bytes()


def read_only_within(scene: Scene) -> None:
    """The folders of artifacts and runs, from the middle of the run on."""
    scene.furnish()
    folders = [scene.work / name for name in ("artifacts", "runs")]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        _mount("--bind", folder, folder)
    launch = scene.start()
    if scene.until_it_plays(launch):
        for folder in folders:  # a file that is open for writing keeps a mount from it; a forced one ends that
            subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=False, capture_output=True)
    scene.ends(launch, codes=1, says=r"error: .*Read-only file system")
    for folder in folders:
        _mount("-o", "remount,rw,bind", folder)
    scene.continues()


def memory(scene: Scene) -> None:
    """From what Python alone takes to what a run takes."""
    scene.furnish()
    for tenths in (8, 12, 15):
        limits = Limits(address_space=tenths * (1 << 30) // 10)
        scene.ends(scene.start(limits=limits), codes=1, says=_MEMORY)
    for tenths in (17, 19, 21, 24, 28):
        limits = Limits(address_space=tenths * (1 << 30) // 10)
        if scene.ends(scene.start(limits=limits), codes=(0, 1), says_failing=_MEMORY) == 0:
            break
    scene.continues()
    scene.nothing_is_left_running()


def memory_of_a_sweep(scene: Scene) -> None:
    """Each of a sweep's processes has the limit."""
    scene.furnish()
    sweep = ["-m", *[word for word in RUN if not word.startswith("seed")], "seed=0,1"]
    limits = Limits(address_space=17 * (1 << 30) // 10)
    scene.ends(
        scene.start(*sweep, limits=limits),
        codes=(0, 1),
        says_failing="memory|ulimit -v|killed",
        within_s=scene.calm.seconds * 4 + 30,
    )
    scene.ends(scene.start(*sweep), within_s=scene.calm.seconds * 4 + 30)
    scene.same_bytes(beside_others=True)
    scene.nothing_is_left_running()


def file_size(scene: Scene) -> None:
    """``ulimit -f``, from less than a table to less than Prefect's database."""
    for kilobytes in (20, 100, 300, 1_000):
        work = scene.furnish(scene.folder / f"work-{kilobytes}")
        limits = Limits(file_size=kilobytes << 10)
        scene.ends(scene.start(work=work, limits=limits), codes=(0, 1), says_failing=_TOO_LARGE)
        scene.continues(work)
    scene.nothing_is_left_running()


SCENARIOS = (
    disk_full, disk_full_cold, quota, read_only, read_only_prefect, read_only_within, memory, memory_of_a_sweep, file_size,
)  # fmt: skip
