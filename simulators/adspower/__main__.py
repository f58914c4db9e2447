"""The stand-in as a program: `trawl simulate adspower`. Owns: its options. Must not know how profiles are kept."""

import asyncio
import contextlib
import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from simulators.adspower.api import Api, Options
from simulators.adspower.faults import Faults
from simulators.adspower.profiles import Profiles
from simulators.adspower.server import serve

DEFAULT_PORT = 50325


def run(  # noqa: PLR0917  typer reads the options off the signature
    port: Annotated[int, typer.Option(help="Port on loopback; 0: any free one.")] = DEFAULT_PORT,
    chromium: Annotated[str, typer.Option(help="The browser to start; empty: the one on PATH.")] = "",
    data: Annotated[Path | None, typer.Option(help="Where profiles live; unset: a temporary folder.")] = None,
    api_key: Annotated[str, typer.Option(help="Ask for this key as a bearer token.")] = "",
    rate: Annotated[float, typer.Option(help="Requests a second before `Too many request`; 0: no limit.")] = 0.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="KIND@CALL[:TIMES], KIND of refused, error, slow, garbage, killed; such as error@start:2."),
    ] = None,
) -> None:
    """Serve the AdsPower local API on loopback, with real Chromium profiles. `POST /faults` changes the faults."""
    faults = Faults()
    for text in fault or []:
        try:
            faults.add_text(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    asyncio.run(_serve(port, chromium, data, Options(api_key, rate), faults))


async def _serve(port: int, chromium: str, data: Path | None, options: Options, faults: Faults) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    with contextlib.ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="adspower-")))
        profiles = Profiles(folder, chromium)
        try:
            async with serve(Api(profiles, faults, options), port) as address:
                print(f"AdsPower stand-in on {address}", flush=True)
                await stopping.wait()
        finally:
            await profiles.close()


if __name__ == "__main__":
    typer.run(run)
