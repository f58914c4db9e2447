"""Sealing, and the split of a browser's state by origin."""

import pytest
from scraper.executor import ExecutorError
from scraper.sealing import Sealer
from scraper.secret_box import SecretBox
from scraper.storage_state import OriginState, join_states, split_state

KEY, OTHER = "the first key, long enough", "a-passphrase-of-letters-and-digits-0123"


def test_what_is_sealed_opens_for_its_use_and_its_key_alone():
    sealed = Sealer(SecretBox([KEY])).seal("login", b"geheim")
    assert "geheim" not in sealed
    assert Sealer(SecretBox([OTHER, KEY])).open("login", sealed) == b"geheim", "an older key still opens"
    for sealer, use, text, age in (
        (Sealer(SecretBox([OTHER])), "login", sealed, None),
        (Sealer(SecretBox([KEY])), "session", sealed, None),
        (Sealer(SecretBox([KEY])), "login", sealed[:-4], None),
        (Sealer(SecretBox([KEY])), "login", "ü", None),
        (Sealer(SecretBox([KEY])), "login", sealed, -1),
    ):
        with pytest.raises(ExecutorError) as caught:
            sealer.open(use, text, age)
        assert caught.value.code == "NOT_OPENED"


def cookie(name, domain, **more):
    return {"name": name, "value": "v", "domain": domain, "path": "/", "expires": -1, "secure": True, **more}


def test_a_state_is_split_by_origin_and_joined_again():
    state = {
        "cookies": [
            cookie("a", ".example.com", expires=1_900_000_000), cookie("b", "shop.example.com"),
            cookie("c", "other.org", secure=False),
        ],
        "origins": [{"origin": "https://cdn.net", "localStorage": [{"name": "k", "value": "v"}]}],
    }  # fmt: skip
    parts = split_state(state, ["https://shop.example.com"])
    assert {part.origin: [one["name"] for one in part.cookies] for part in parts} == {
        "https://shop.example.com": ["a", "b"], "https://cdn.net": [], "http://other.org": ["c"],
    }  # fmt: skip
    assert parts[0].expires_ms == 1_900_000_000_000
    joined = join_states(parts)
    assert sorted(one["name"] for one in joined["cookies"]) == ["a", "b", "c"]
    assert joined["origins"] == state["origins"]
    assert split_state({}, ["https://x"]) == []


def test_a_cookie_of_another_site_with_a_similar_name_is_not_taken_for_this_one():
    parts = split_state({"cookies": [cookie("a", "evil-example.com")]}, ["https://example.com"])
    assert [part.origin for part in parts] == ["https://evil-example.com"]


def test_of_two_cookies_of_one_name_and_place_the_later_one_counts():
    old, new = cookie("a", "x.org", value="1"), cookie("a", "x.org", value="2")
    joined = join_states([OriginState("https://x.org", [old], []), OriginState("https://y.org", [new], [])])
    assert joined["cookies"] == [new]
