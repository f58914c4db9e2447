"""Tasks for Trawl, written in Python. Run them as a worker of the fleet:  trawl worker examples/tasks.py"""

import asyncio

from trawl import App, AsyncContext, Context, PermanentFailure, task


@task(name="count", retries=2, timeout=60)
def count(ctx: Context, upto: int = 3, pause: float = 0.0) -> dict[str, int]:
    """Counts, keeps every number as an item, and goes on where it was when it is interrupted."""
    first = (ctx.checkpoint.state or 0) + 1
    for number in range(first, upto + 1):
        ctx.sleep(pause)
        ctx.log(f"counted {number}", number=number)
        ctx.emit({"number": number}, key=str(number))
        ctx.progress(number, upto)
        ctx.checkpoint(number)
    return {"counted": upto, "attempt": ctx.attempt}


@task(name="divide", retries=5)
def divide(dividend: float, divisor: float) -> float:
    """Needs no context. What is wrong for good is not tried again."""
    if divisor == 0:
        raise PermanentFailure("nobody can divide by zero")
    return dividend / divisor


@task(name="greet-all", timeout=30)
async def greet_all(ctx: AsyncContext, names: list[str]) -> list[str]:
    """An async function."""

    async def greet(name: str) -> str:
        await ctx.sleep(0.1)
        return f"hello {name}"

    return await asyncio.gather(*map(greet, names))


app = App(count, divide, greet_all)
