"""A definition read from a page in this process, without a reader. Must not know what is asserted of it."""

from collections.abc import Mapping
from typing import Any

from scraper.documents import Document
from scraper.scrape_definition import read_definition
from scraper.scrape_plan import PagePlan
from scraper.scrape_reads import ListRead


def list_of(definition: Mapping[str, Any], document: Document) -> ListRead:
    """What the definition reads from a list page; its start URLs may be left out."""
    plan = PagePlan(read_definition({"start_urls": ["http://h/"], **definition}))
    read, _ = plan.read("list", document)
    assert isinstance(read, ListRead)
    return read
