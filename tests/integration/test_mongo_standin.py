"""The embedded MongoDB stand-in, as services use it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_support import PYTHON, wait_for
from pymongo import MongoClient, ReplaceOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, PyMongoError
from trawl_local.ports import private_ports


class Standin:
    """One process of it."""

    def __init__(self, folder: Path) -> None:
        self.port = private_ports(1)[0]
        self.process = subprocess.Popen(
            [PYTHON, "-P", "-m", "trawl_local.mongo_standin", "--data-dir", str(folder), "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        uri = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        self.client: MongoClient = MongoClient(uri, serverSelectionTimeoutMS=200, retryWrites=False)
        wait_for(self._answers, "the stand-in answers")

    def _answers(self) -> bool:
        try:
            return bool(self.client.admin.command("ping"))
        except PyMongoError:
            return False

    def close(self) -> bytes:
        self.client.close()
        self.process.terminate()
        said, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return said


@pytest.fixture
def things(tmp_path: Path) -> Iterator[Collection]:
    """A collection with one document."""
    standin = Standin(tmp_path)
    collection = standin.client.trawl_test.things
    collection.insert_one({"_id": "a", "n": 1, "counts": {"ok": 1}})
    yield collection
    assert standin.close() == b""


def test_set_keeps_booleans_also_below_a_dotted_path(things: Collection) -> None:
    things.update_one({"_id": "a"}, {"$set": {"done": True, "deep.flag": False, "rows": [{"x": True}]}})
    found = things.find_one({"_id": "a"})
    assert (found["done"], found["deep"]["flag"], found["rows"][0]["x"]) == (True, False, True)
    assert isinstance(found["done"], bool)
    assert isinstance(found["deep"]["flag"], bool)


def test_inc_works_at_the_top_below_and_where_nothing_was(things: Collection) -> None:
    for update in ({"$inc": {"n": 2}}, {"$inc": {"counts.ok": 1}}, {"$inc": {"new.part": 5}}):
        things.update_one({"_id": "a"}, update)
    assert things.find_one({"_id": "a"}) == {"_id": "a", "n": 3, "counts": {"ok": 2}, "new": {"part": 5}}


def test_databases_are_apart_and_survive_a_stop(tmp_path: Path) -> None:
    first = Standin(tmp_path)
    first.client.trawl_one.things.insert_one({"_id": "a"})
    assert first.client.trawl_two.things.find_one({"_id": "a"}) is None
    first.close()
    second = Standin(tmp_path)
    assert second.client.trawl_one.things.find_one({"_id": "a"}) == {"_id": "a"}
    second.close()


def test_a_taken_port_is_said_and_ends_it(things: Collection, tmp_path: Path) -> None:
    port = things.database.client.address[1]
    command = [PYTHON, "-P", "-m", "trawl_local.mongo_standin", "--data-dir", str(tmp_path / "b"), "--port", str(port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"could not serve on port {port}")
    assert "Traceback" not in done.stderr


def test_of_many_documents_only_those_are_refused_that_are_wrong(things: Collection) -> None:
    with pytest.raises(BulkWriteError) as refused:
        things.insert_many([{"_id": "b"}, {"_id": "a"}, {"_id": "c"}], ordered=False)
    assert [failure["index"] for failure in refused.value.details["writeErrors"]] == [1]
    with pytest.raises(BulkWriteError):
        things.insert_many([{"_id": "d"}, {"_id": "a"}, {"_id": "e"}])
    assert sorted(row["_id"] for row in things.find()) == ["a", "b", "c", "d"]
    things.bulk_write(
        [ReplaceOne({"_id": "a"}, {"_id": "a", "n": 2}), ReplaceOne({"_id": "f"}, {"_id": "f"}, upsert=True)]
    )
    assert things.delete_many({"_id": {"$in": ["b", "c", "d"]}}).deleted_count == 3
    assert {row["_id"]: row.get("n") for row in things.find()} == {"a": 2, "f": None}


def test_a_document_that_is_stored_stays_the_writers(things: Collection) -> None:
    """Nothing of a stored document is shared with another one, nor changed by what is done to it."""
    part = {"n": 1}
    things.insert_many([{"_id": "b", "part": part}, {"_id": "c", "part": part}])
    things.update_one({"_id": "b"}, {"$set": {"part.n": 2}})
    assert [row["part"] for row in things.find({"_id": {"$in": ["b", "c"]}}).sort("_id")] == [{"n": 2}, {"n": 1}]
    assert part == {"n": 1}
