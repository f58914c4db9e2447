"""Runs a service on a machine whose clock is wrong: `python shifted.py SECONDS MODULE`, ahead if positive."""

import runpy
import sys
import time


def shift(seconds: float) -> None:
    """Set this process's idea of the machine's own time."""
    nanoseconds, right, right_ns = int(seconds * 1e9), time.time, time.time_ns
    time.time = lambda: right() + seconds
    time.time_ns = lambda: right_ns() + nanoseconds


if __name__ == "__main__":
    shift(float(sys.argv[1]))
    module = sys.argv[2]
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__")
