"""What viewers see of definitions, and what comes back of it."""

from typing import Any

import orjson
import pytest
from chassis.errors import InvalidInput
from gateway.masking import Veil, restored
from gateway.secret_places import covered, places_in_data, places_in_text
from trawl.scheduler.v1 import runs_pb2

SECRET = "Wq7-teapot"  # what must not be seen
TASKS: list[dict[str, Any]] = [
    {"executor": "http", "command": f"https://api.example/x?token={SECRET}&page=2",
     "arguments": ["-H", f"Authorization: Bearer {SECRET}", "-b", f"sid={SECRET}", "-u", f"bob:{SECRET}"]},
    {"executor": "http", "command": f"https://bob:{SECRET}@api.example/x",
     "arguments": [f"-HX-Api-Key: {SECRET}", f"-bsid={SECRET}", f"--user=bob:{SECRET}", f"--header=Cookie: a={SECRET}",
                   "-d", f'{{"password": "{SECRET}", "n": 1}}', "--data", f"user=bob&passwd={SECRET}"]},
    {"executor": "scrape", "command": "", "metadata": {"params": {
        "headers": {"Authorization": SECRET, "X-API-Key": SECRET}, "cookies": [{"name": "sid", "value": SECRET}],
        "start_urls": [f"https://shop.example/?api_key={SECRET}&q=lamp", f"https://shop.example/?x=1&api%5Fkey={SECRET}"]}}},
    {"executor": "rpa", "command": "", "metadata": {"params": {
        "row": {"password": SECRET, "密码": SECRET, "sku": "7"},
        "sortedData": [{"type": "input", "value": SECRET, "selector": "#p"},
                       {"type": "loop", "loopEvents": [{"type": "keydown", "key": "W"}]},
                       {"type": "change", "value": SECRET, "selectors": [["aria/Password"]]}],
        "steps": {"inputs": [{"value": SECRET, "xpath": "//input"}]}}}},
    {"executor": "shell", "command": f"mysql -p{SECRET}", "arguments": ["-c", f"echo {SECRET}"],
     "metadata": {"params": {"db_password": SECRET, "deep": [{"CREDENTIALS": {"a": [SECRET]}}]}}},
    {"executor": "python", "command": "load.py", "arguments": ["--password", SECRET, f"--token={SECRET}"]},
    {"steps": [{"id": "a", "taskType": "shell", "params": {"command": f"echo {SECRET}", "arguments": [SECRET]}},
               {"id": "b", "taskType": "http", "params": {"command": f"https://h/?secret={SECRET}"}}]},
]  # fmt: skip


@pytest.mark.parametrize("task", TASKS, ids=lambda task: str(task.get("executor")))
def test_a_definition_shows_none_of_its_secrets_and_comes_back_whole(task: dict[str, Any]) -> None:
    shown = Veil().definition(task)
    assert SECRET not in orjson.dumps(shown).decode()
    assert '"key":"W"' not in orjson.dumps(shown).decode()
    assert restored(orjson.loads(orjson.dumps(shown)), task) == task


def test_what_is_no_secret_stays_as_it_is() -> None:
    definition = {
        "executor": "http", "command": "https://api.example/x?page=2&keyword=lamp", "arguments": ["-H", "Accept: */*"],
        "metadata": {"password": "{{secret:SHOP}}", "cookies": True, "token": None, "note": "passengers: 3", "n": 1.5,
                     "row": {"keyword": "lamp"}, "steps": [{"type": "input", "value": "{{row.keyword}}"}]},
    }  # fmt: skip
    assert Veil().definition(definition) == definition


def test_a_change_around_a_secret_keeps_it() -> None:
    kept = {"command": f"https://h/a?token={SECRET}", "arguments": ["-H", f"Authorization: {SECRET}", "-X", "GET"]}
    sent = {"command": "https://h/b?token=***&page=2", "arguments": ["-H", "Authorization: ***"]}
    assert restored(sent, kept) == {
        "command": f"https://h/b?token={SECRET}&page=2", "arguments": ["-H", f"Authorization: {SECRET}"]
    }  # fmt: skip
    steps = [{"type": "input", "value": "one"}, {"type": "input", "value": "two", "target": {"css": "#b"}}]
    swapped = [Veil().definition(steps)[1], {"type": "click"}, Veil().definition(steps)[0]]
    assert restored(swapped, steps) == [steps[1], {"type": "click"}, steps[0]]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"password": "x", "secret": "***"}, {"password": "y"}),
        ({"command": "*** && echo", "executor": "shell"}, {"command": f"curl -u a:{SECRET} h", "executor": "shell"}),
        ({"command": "https://h/?token=***&key=***"}, {"command": f"https://h/?token={SECRET}"}),
        ({"rows": [{"token": "***"}]}, {"rows": [{"token": "a1b2"}, {"token": "c3d4"}]}),
    ],
)
def test_a_mask_that_stands_for_nothing_certain_is_refused(sent: Any, kept: Any) -> None:
    with pytest.raises(InvalidInput, match=r"\*\*\*"):
        restored(sent, kept)


def test_what_runs_say_shows_no_secret_of_theirs_and_numbers_keep_their_digits() -> None:
    veil = Veil({SECRET, 'q"uote\\'}, addresses=False)
    raw = b'{"a": "is Wq7-teapot", "Wq7-teapot": ["q\\"uote\\\\"], "n": 48151623424815162342481516, "token": "data"}'
    seen = veil.data({"result": orjson.Fragment(raw), "error_message": f"no {SECRET}"})
    assert orjson.dumps(seen) == (
        b'{"result":{"a":"is ***","***":["***"],"n":48151623424815162342481516,"token":"data"},'
        b'"error_message":"no ***"}'
    )
    untouched = orjson.Fragment(b'{"n": 48151623424815162342481516}')
    assert veil.data(untouched) is untouched


def test_found_addresses_lose_their_secrets_and_nothing_else() -> None:
    text = "see https://a:b@h/x?q=1&session_token=abc#k;password=d, Basic Instinct, Cookie: none"
    assert covered(text, places_in_data(text)) == (
        "see https://***@h/x?q=1&session_token=***#k;password=*** Basic Instinct, Cookie: none"
    )


def test_hostile_texts_are_read_in_no_time() -> None:
    for piece in ('"a":"', "://a", "?token", "-a ", "a=", " --password", "Bearer ", "&a", '="'):
        text = piece * 50_000
        covered(text, places_in_text(text))


def test_the_secrets_of_a_run_are_those_of_its_parameters_and_its_command() -> None:
    from gateway.masking import secrets_of

    spec = runs_pb2.RunSpec(
        executor="shell", command="curl -H 'Authorization: Bearer from-command' 'https://h/?token=from-query'",
        parameters_json=b'{"db_password": "from-member", "q": "lamp"}',
    )  # fmt: skip
    assert {"from-command", "from-query", "from-member"} <= secrets_of(runs_pb2.Run(spec=spec))
    assert "lamp" not in secrets_of(runs_pb2.Run(spec=spec))
