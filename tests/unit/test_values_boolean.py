"""What texts say of yes and no."""

import pytest
from scraper.values import Unread, convert


@pytest.mark.parametrize(
    ("value", "meant"),
    [("yes", True), ("Nein", False), ("https://schema.org/InStock", True), ("schema:SoldOut", False),
     ("Sí", True), ("não", False),
     ("да", True), ("нет", False), ("✓", True), ("✗", False), ("예", True), ("いいえ", False), ("In stock", True),
     ("0", False),
     (1, True), (True, True), ("  ", None), (None, None)],
)  # fmt: skip
def test_yes_and_no_in_the_words_of_languages_and_shops(value: object, meant: bool | None) -> None:
    assert convert(value, "boolean") is meant


@pytest.mark.parametrize(
    "value", ["perhaps", "https://schema.org/PreOrder", "2", "yes and no", "https://shop.example/yes"]
)
def test_anything_else_has_no_value(value: str) -> None:
    assert isinstance(convert(value, "boolean"), Unread)
