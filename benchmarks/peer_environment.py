"""The peers' own virtual environments, made when they are first needed. Must not know what the peers do."""

import asyncio
import hashlib
import shutil
import sys
from pathlib import Path

from benchmarks.errors import BenchmarkError

CACHE = Path(__file__).resolve().parent.parent / ".trawl-bench"
SOURCES = Path(__file__).resolve().parent / "peers"
INSTALL_SECONDS = 300


async def peer_python(requirements: str) -> Path:
    """The interpreter of the environment with what `peers/<requirements>` pins; a changed file makes another one."""
    source = SOURCES / requirements
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"{source.stem}-{digest}"
    python = folder / "bin" / "python"
    if not (folder / ".complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        await _uv("venv", "--quiet", "--python", sys.executable, str(folder))
        await _uv("pip", "install", "--quiet", "--python", str(python), "-r", str(source))
        (folder / ".complete").touch()
    return python


async def _uv(*words: str) -> None:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise BenchmarkError("uv was not found: make .venv/.installed puts it into the virtual environment.")
    process = await asyncio.create_subprocess_exec(
        uv, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), INSTALL_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise BenchmarkError(f"uv {words[0]} failed:\n{output.decode(errors='replace')[-2000:]}")
