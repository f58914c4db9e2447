"""Chromium as processes and directories. Owns: where it is found, how it is started, what is left of a killed one.

Every profile directory is `<work_dir>/browsers/<marker>.<random>`; the marker is the worker's own, so that workers on
one machine may share a work directory and none reaps another's browser. Must not know Playwright.
"""

import contextlib
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from chassis.blocked_ports import BLOCKED_PORTS

# The folders in a profile that take downloads and raw Playwright traces.
DOWNLOADS = "downloads"
TRACES = "traces"
# Stands first on the browser's PATH: what Chromium gives addresses to that are not its own (`mailto:`) does nothing.
HANDLERS = "handlers"
_HANDLERS = ("xdg-open", "xdg-email")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
CONTAINER_MEMORY = Path("/sys/fs/cgroup/memory.max")
DEBIAN_CHROMIUM = Path("/usr/bin/chromium")
# The priority (nice) of a renderer that is busy: it then has a tenth of what another process has.
GIVING_WAY = 10
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")

# Of several --disable-features Chromium takes the last, so that what Playwright disables stands here again.
_PLAYWRIGHT_DISABLES = (
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    "LensOverlay",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "TcpPortRandomizationWin",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "AimEnabled",
    "PreconnectToSearch",
    "msForceBrowserSignIn",
    "msEdgeUpdateLaunchServicesPreferredVersion",
)
# The address bar's suggestions: pages of their own, with a renderer for each context, that nobody sees.
_ADDRESS_BAR = ("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup", "PreloadTopChromeWebUI")
# A renderer in reserve saves a tab's first page some tens of milliseconds, and costs each context's share of memory.
_RESERVE = ("SpareRendererForSitePerProcess",)

ARGUMENTS = (
    f"--disable-features={','.join((*_PLAYWRIGHT_DISABLES, *_ADDRESS_BAR, *_RESERVE))}",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    # Nothing may reach the network beside the proxy that guards it: no datagrams of WebRTC, and no questions to name
    # servers (`dns-prefetch` asks beside a proxy).
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    # That proxy judges ports as well, and says why it refuses one.
    f"--explicitly-allowed-ports={','.join(map(str, sorted(BLOCKED_PORTS)))}",
)

# Of what Playwright starts it with. Without the blocker a page opens windows faster than they can be closed.
UNWANTED = ("--disable-popup-blocking",)


def find_chromium(configured: str | None = None) -> str | None:
    """The program to start; None leaves it to Playwright's own download. A configured one that isn't there is kept,
    so that the launch fails with its name."""
    if configured:
        return configured
    if DEBIAN_CHROMIUM.exists():
        return str(DEBIAN_CHROMIUM)
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def is_root() -> bool:
    """Chromium's sandbox can't be had as root."""
    return os.geteuid() == 0


def _browsers_dir(work_dir: Path) -> Path:
    return work_dir.absolute() / "browsers"


def _prefix(marker: str) -> str:
    return _UNSAFE.sub("_", marker) + "."


def make_profile(work_dir: Path, marker: str) -> Path:
    """A new profile directory that only this user can read."""
    parent = _browsers_dir(work_dir)
    parent.mkdir(parents=True, exist_ok=True)
    profile = Path(tempfile.mkdtemp(prefix=_prefix(marker), dir=parent))
    (profile / HANDLERS).mkdir()
    for name in _HANDLERS:
        (profile / HANDLERS / name).symlink_to("/bin/true")
    return profile


def remove_profile(profile: Path) -> None:
    """Delete it; a file that a dying browser still writes is left for the next reaping."""
    shutil.rmtree(profile, ignore_errors=True)


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # ended meanwhile (zombies as well), or somebody else's
        return []


def browser_processes(directory: str) -> Iterator[psutil.Process]:
    """The living main processes (not their children) of browsers whose profile path starts with `directory`."""
    wanted = f"--user-data-dir={directory}"
    for process in psutil.process_iter():
        line = _command_line(process)
        if any(part.startswith(wanted) for part in line) and not any(part.startswith("--type=") for part in line):
            yield process


def browser_pid(profile: Path) -> int | None:
    """The main process of the browser with that profile."""
    return next((process.pid for process in browser_processes(str(profile))), None)


def group_alive(pid: int) -> bool:
    """Whether anything but zombies is left in the browser's process group."""
    return any(True for _ in _group(pid))


def _group(pid: int) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            continue


@dataclass(frozen=True, slots=True)
class Member:
    """A process of a browser, whether it holds pages, and what it has taken (`bytes`: see `group_memory_bytes`)."""

    pid: int
    renderer: bool
    cpu_seconds: float
    bytes: int


def members(pid: int, driver: int) -> list[Member]:
    """All processes of the browser whose main one is `pid`, and its driver."""
    found = []
    for process in (*_group(pid), psutil.Process(driver)):
        with contextlib.suppress(psutil.Error):  # it may end meanwhile
            times, memory = process.cpu_times(), process.memory_info()
            renderer = "--type=renderer" in _command_line(process)
            found.append(Member(process.pid, renderer, times.user + times.system, max(memory.rss - memory.shared, 0)))
    return found


def give_way(pid: int) -> None:
    """Let all other processes go before this one's threads, from now on."""
    with contextlib.suppress(OSError):  # it may end meanwhile
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, int(thread.name), GIVING_WAY)


def end_renderer(pid: int) -> None:
    """End it; its pages are told that they crashed."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def group_memory_bytes(pid: int) -> int:
    """Resident memory of the browser's processes without what they share with each other."""
    total = 0
    for process in _group(pid):
        try:
            info = process.memory_info()
        except psutil.NoSuchProcess:
            continue
        total += max(info.rss - info.shared, 0)
    return total


def machine_memory_bytes() -> int:
    """The memory that this process may count on: its container's, or else the machine's."""
    total: int = psutil.virtual_memory().total
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        return min(total, int(CONTAINER_MEMORY.read_text()))
    return total


def kill_group(pid: int) -> int:
    """SIGKILL the process group that `pid` leads, never our own; answers how many processes were alive in it."""
    if pid in (0, 1) or pid == os.getpgrp():
        return 0
    count = sum(1 for _ in _group(pid))
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    return count


def reap_browsers(work_dir: Path, marker: str) -> int:
    """Kill what a killed worker with this marker left, and remove its profiles; answers how many browsers lived.

    Call it before the first browser is started, never while a pool with this marker is in use.
    """
    parent = _browsers_dir(work_dir)
    killed = 0
    for process in list(browser_processes(str(parent / _prefix(marker)))):
        with contextlib.suppress(psutil.NoSuchProcess):
            if os.getpgid(process.pid) == process.pid:
                kill_group(process.pid)
            else:
                _kill_tree(process)
            killed += 1
    for profile in parent.glob(_prefix(marker) + "*") if parent.is_dir() else ():
        remove_profile(profile)
    return killed


def _kill_tree(process: psutil.Process) -> None:
    for member in [*process.children(recursive=True), process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
