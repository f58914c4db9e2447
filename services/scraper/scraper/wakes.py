"""Tells the schedulers that what parked runs wait for has come. Owns the notice. Must not know what that is."""

import contextlib

from chassis.events import NATS_DOWN, Events
from wire import subjects


async def say_woken(events: Events, name: str) -> None:
    """Wake the runs that were parked with this name. Not stored: who misses it waits for the time that was told."""
    if events.connected:
        with contextlib.suppress(*NATS_DOWN):
            await events.nc.publish(subjects.LIVE_WAKES, name.encode())
