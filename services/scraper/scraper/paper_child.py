"""What runs in a child process, started by `paper_workshop.py`. Owns: the kinds of work, and its files' form.

`python -m scraper.paper_child KIND ARGUMENT...`; a failure ends with one sentence on standard error. The libraries of
each kind are imported only for it, because every page of a scanned paper starts a process.
"""

import gc
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson


def main() -> None:
    """Do one piece of work."""
    kind, *arguments = sys.argv[1:]
    try:
        KINDS[kind](*arguments)
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        print(f"{type(error).__name__}: {error}"[:300].replace("\n", " "), file=sys.stderr)
        sys.exit(1)


def report(done: int, total: int) -> None:
    """Say how far it is."""
    print(f"progress {done} {total}", flush=True)


def dedup(source: str, known: str, target: str, threshold: str) -> None:
    """New groups of papers that are one. `source`: lines of `[ids, cards]`; `known`: what is done with papers, and the
    groups that were found before.
    """
    from scraper.paper_dedup_cards import new_groups, read_cards

    # Nothing here is cyclic, and a collector would walk through all cards again and again.
    gc.disable()
    with Path(source).open("rb") as file:
        cards = read_cards(orjson.loads(line) for line in file)
    with Path(known).open("rb") as file:
        work, *groups = (orjson.loads(line) for line in file)
    _write(target, new_groups(cards, work, groups, float(threshold), report))


def index(source: str, database: str) -> None:
    """Bring changes into an index; makes it when it isn't there."""
    from scraper.paper_index import apply_changes

    with Path(source).open("rb") as file:
        apply_changes(Path(database), (orjson.loads(line) for line in file))


def finish_index(database: str, target: str) -> None:
    """Make an index ready to be read by everybody, and say what is in it."""
    from scraper.paper_index import finish

    _write(target, [finish(Path(database))])


def keywords(source: str, target: str, asked: str) -> None:
    """Terms that go with the asked ones."""
    from scraper.paper_keywords import expand

    with Path(source).open("rb") as file:
        texts = [orjson.loads(line) for line in file]
    _write(target, expand(texts, orjson.loads(asked), report))


def text(source: str, target: str) -> None:
    """The text layer of each page."""
    from scraper.paper_pdf import read_text_layer

    read_text_layer(Path(source), Path(target), report)


def ocr(source: str, target: str, asked: str) -> None:
    """The text of one page's picture."""
    from scraper.paper_pdf import read_picture

    _write(target, [read_picture(Path(source), Path(target).with_suffix(".pgm"), **orjson.loads(asked))])


def _write(target: str, entries: Iterable[object]) -> None:
    with Path(target).open("wb") as file:
        file.writelines(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE) for entry in entries)


KINDS: dict[str, Callable[..., None]] = {
    "dedup": dedup, "index": index, "finish_index": finish_index, "keywords": keywords, "text": text, "ocr": ocr,
}  # fmt: skip

if __name__ == "__main__":
    main()
