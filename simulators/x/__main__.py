"""`trawl simulate x`: serves the stand-in until it is told to stop."""

import asyncio
import signal
from typing import Annotated

import typer

from simulators.x.app import Simulator, serving
from simulators.x.world import MAIN, Sizes, make_world


async def _serve(simulator: Simulator, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(simulator, host=host, port=port) as url:
        print(f"X is simulated at {url}: set X_BASE_URL={url}", flush=True)
        print(f"People: {MAIN}, quiet_corner, sealed_garden, gone_fishing, reader_001 …", flush=True)
        print(
            "Any cookies auth_token and ct0 log in. Controls: POST /_sim/faults; the truth: GET /_sim/truth", flush=True
        )
        await stop.wait()


def main(
    port: Annotated[int, typer.Option(help="Where to listen; 0 takes a free port.", min=0, max=65_535)] = 8110,
    host: Annotated[str, typer.Option(help="On which address.")] = "127.0.0.1",
    seed: Annotated[int, typer.Option(help="Another seed invents another world.")] = 1,
    tweets: Annotated[int, typer.Option(help=f"Tweets of {MAIN}.", min=1, max=100_000)] = 64,
    readers: Annotated[int, typer.Option(help="Other people.", min=5, max=100_000)] = 60,
) -> None:
    """Stand in for the X web application, with invented people and tweets."""
    sizes = Sizes(readers=readers, tweets=tweets, followers=readers * 3 // 4, following=readers * 5 // 12)
    asyncio.run(_serve(Simulator(make_world(seed, sizes)), host, port))


if __name__ == "__main__":
    typer.run(main)
