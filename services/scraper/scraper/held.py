"""The runs that this worker holds. Pure bookkeeping: owns slots, derived from what is held and never counted."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from chassis.events import Msg
from trawl.scheduler.v1 import runs_pb2 as pb

from scraper.attempt import Attempt

DELIVERIES_PER_SEQUENCE = 4096


def token_of(message: Msg) -> int:
    """The fencing token of a delivery: the stream sequence and the delivery count (`$JS.ACK.…` names both)."""
    parts = message.reply.split(".")
    # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, or with domain and account
    # hash before the stream in longer forms.
    first = 4 if len(parts) == 9 else 6
    return int(parts[first + 1]) * DELIVERIES_PER_SEQUENCE + min(int(parts[first]), DELIVERIES_PER_SEQUENCE - 1)


@dataclass(slots=True)
class Held:
    """One run that this worker has claimed."""

    message: Msg
    spec: pb.RunSpec
    token: int
    attempt_number: int
    attempt: Attempt | None = None
    reported_at: float = 0
    # The outcome is on its way: nothing more is to be reported.
    ending: bool = False


class HeldRuns:
    """Held runs by id, and how many slots each queue has left."""

    def __init__(self, limits: Mapping[str, int], groups: Mapping[str, str], *, total: int) -> None:
        """`limits`: slots of each group; `groups`: the group of each queue (browser, process, …)."""
        self._limits, self._total, self._groups = limits, total, groups
        self._runs: dict[int, Held] = {}
        self._by_group: dict[str, set[int]] = {group: set() for group in limits}
        # Is called whenever slots have come free, on whichever way: who waits for one waits for this.
        self.freed: Callable[[], None] = lambda: None
        # Pulled and not yet claimed, by group.
        self._reserved: dict[str, int] = dict.fromkeys(limits, 0)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._runs.values()))

    def get(self, run_id: int) -> Held | None:
        """The held run."""
        return self._runs.get(run_id)

    def ids(self) -> list[int]:
        """Ids of what is held."""
        return list(self._runs)

    def free(self, queue: str) -> int:
        """How many more runs of that queue fit."""
        group = self._groups[queue]
        everywhere = len(self._runs) + sum(self._reserved.values())
        in_group = len(self._by_group[group]) + self._reserved[group]
        return max(0, min(self._limits[group] - in_group, self._total - everywhere))

    def reserve(self, queue: str, count: int) -> None:
        """Keep slots for what has been pulled; a negative count gives them back."""
        self._reserved[self._groups[queue]] += count
        if count < 0:
            self.freed()

    def add(self, run: Held) -> None:
        """Hold it."""
        self._runs[run.spec.run_id] = run
        self._by_group[self._groups[run.spec.queue]].add(run.spec.run_id)

    def remove(self, run: Held) -> None:
        """Let it go, unless a newer claim of the same run has taken its place."""
        if self._runs.get(run.spec.run_id) is run:
            del self._runs[run.spec.run_id]
            self._by_group[self._groups[run.spec.queue]].discard(run.spec.run_id)
            self.freed()
