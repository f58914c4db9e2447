"""A PDF on its way: what is asked for, and what is believed."""

from pathlib import Path

import pytest
from scraper.fetch import FetchFailed
from scraper.paper_download import Download, clear_downloads


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "papers" / "one.download"


async def test_after_a_break_only_the_rest_is_asked_for(path: Path) -> None:
    """By whoever goes on: another process knows as much."""
    download = Download(path)
    assert "Range" not in dict(download.headers())
    assert download.begin(200, {"ETag": '"v1"'}) == 0
    await download.write(b"%PDF-")
    later = Download(path)
    assert {"Range": "bytes=5-", "If-Range": '"v1"'}.items() <= dict(later.headers()).items()
    assert later.begin(206, {"Content-Range": "bytes 5-8/9"}) == 5
    await later.write(b"1.7!")
    assert await later.content() == b"%PDF-1.7!"
    later.drop()
    assert list(path.parent.iterdir()) == []


async def test_a_whole_answer_replaces_what_was_there(path: Path) -> None:
    download = Download(path)
    download.begin(200, {"ETag": '"v1"'})
    await download.write(b"old, and longer")
    assert download.begin(200, {"ETag": '"v2"'}) == 0
    await download.write(b"new")
    assert await download.content() == b"new"


@pytest.mark.parametrize("told", ["bytes 4-8/9", "bytes 0-8/9", "", "rubbish"])
async def test_another_part_than_the_one_asked_for_is_refused_and_forgotten(path: Path, told: str) -> None:
    download = Download(path)
    download.begin(200, {"ETag": '"v1"'})
    await download.write(b"12345")
    with pytest.raises(FetchFailed):
        download.begin(206, {"Content-Range": told})
    assert (download.size, "Range" in dict(download.headers())) == (0, False)


@pytest.mark.parametrize(
    "headers", [{}, {"ETag": 'W/"weak"'}, {"ETag": '"v1"', "Content-Encoding": "gzip"}, {"ETag": '"v\n1"'}]
)
async def test_a_file_that_may_have_changed_is_fetched_from_its_beginning(path: Path, headers: dict[str, str]) -> None:
    download = Download(path)
    download.begin(200, headers)
    await download.write(b"12345")
    assert "Range" not in dict(download.headers())


async def test_errors_leave_the_part_and_an_impossible_range_forgets_it(path: Path) -> None:
    download = Download(path)
    download.begin(200, {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"})
    await download.write(b"12345")
    assert (download.begin(503, {}), download.size) == (None, 5)
    clear_downloads(path.parent)
    assert (download.begin(416, {}), download.size) == (None, 0)
