"""Each task type under each fault: exactly the truth, or the typed reason. `X_MATRIX=all` takes every cell (minutes);
otherwise those are taken that no other test of the X executors has.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from scraper.x_run import XSettings
from x_support.lab import TASKS, Lab, lab
from x_support.matrix import ACCOUNTS, ENDS, Cell, cells, check

from simulators.x.faults import KINDS

pytestmark = pytest.mark.asyncio(loop_scope="module")
FEW = [
    Cell("USER_TWEETS", "html_block", "later"),
    Cell("USER_INFO", "locked", "once"),
    Cell("KEYWORD_SEARCH", "loop_cursor", "once"),
    Cell("HASHTAG_SEARCH", "code_88", "later"),
    Cell("USER_FOLLOWERS", "garbage", "always"),
    Cell("USER_FOLLOWING", "empty", "always"),
    Cell("USER_TWEETS", "unknown_kinds", "always"),
]
CHOSEN = list(cells()) if os.environ.get("X_MATRIX") == "all" else FEW


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def x(redis_server, mongodb_server, tmp_path_factory) -> AsyncIterator[Lab]:
    for server in (redis_server, mongodb_server):
        if not server.running:
            server.start()
    work = tmp_path_factory.mktemp("matrix")
    async with lab(mongodb_server.url, redis_server.url, "test_x_matrix", work) as opened:
        yield opened


@pytest.mark.parametrize("cell", CHOSEN, ids=str)
async def test_exactly_the_truth_or_the_typed_reason(x: Lab, cell: Cell) -> None:
    await x.reset()
    for token in ACCOUNTS:
        await x.add_account(token)
    # A page that gets no answer is given up soon where that is the point, and late where a slow machine is.
    patience = 3 if cell.fault == "silent" else 30
    x.parts = replace(x.parts, settings=XSettings(x.url, answer_seconds=patience, trouble_seconds=0.02))
    await check(x, cell)


async def test_the_matrix_knows_every_fault_and_every_type() -> None:
    assert set(KINDS) <= set(ENDS)
    every = set(cells())
    assert {cell.task_type for cell in every} == set(TASKS)
    assert set(FEW) < every
