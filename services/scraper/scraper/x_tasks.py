"""The six kinds of X tasks. Pure. Owns: their parameters, which page each one opens, which operation it listens to, and
what it keeps of a page. Must not know browsers or accounts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from scraper.executor import InvalidParameters, Json
from scraper.x_timeline import Entry

DEFAULT_LIMIT, MAX_LIMIT = 100, 100_000
PROFILE = "UserByScreenName"
USER_NAME = re.compile(r"[A-Za-z0-9_]{1,50}")
HASHTAG = re.compile(r"[^\s#@$%^&*()=+{}\[\]|\\:;'\"<>,./?!`~-]{1,100}")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,8})?")
MAX_QUERY = 500
# Names of the executors, which are the contract's task types.
TASK_TYPES = (
    "USER_TWEETS",
    "USER_INFO",
    "KEYWORD_SEARCH",
    "HASHTAG_SEARCH",
    "USER_FOLLOWERS",
    "USER_FOLLOWING",
)


@dataclass(frozen=True, slots=True)
class XTask:
    """One task, checked. `path` is the page's, `operation` what its timeline is asked by.

    `data_type` is that of its items; `username` is empty for a search, `user_id` until the profile was read.
    """

    task_type: str
    path: str
    operation: str
    data_type: str
    limit: int
    username: str = ""
    user_id: str = ""
    include_replies: bool = False
    include_retweets: bool = False
    account_id: str = ""
    proxy_id: str = ""

    @property
    def is_profile(self) -> bool:
        """Whether the answer about the user is all that is wanted."""
        return self.task_type == "USER_INFO"


def parse_x_task(task_type: str, parameters: Mapping[str, Json]) -> XTask:
    """The checked task. Raises `InvalidParameters` naming the field."""
    common: dict[str, Any] = {
        "task_type": task_type,
        "limit": _limit(parameters),
        "account_id": _identifier(parameters, "account_id"),
        "proxy_id": _identifier(parameters, "proxy_id"),
    }
    if task_type in ("KEYWORD_SEARCH", "HASHTAG_SEARCH"):
        query = _hashtag(parameters) if task_type == "HASHTAG_SEARCH" else _query(parameters)
        language = _language(parameters)
        words = f"{query} lang:{language}" if language else query
        path = "/search?" + urlencode({"q": words, "src": "typed_query", "f": "live"})
        return XTask(path=path, operation="SearchTimeline", data_type="tweet", **common)
    name = _username(parameters)
    if task_type == "USER_TWEETS":
        replies = _flag(parameters, "include_replies")
        return XTask(
            path=f"/{name}/with_replies" if replies else f"/{name}",
            operation="UserTweetsAndReplies" if replies else "UserTweets",
            data_type="tweet",
            username=name,
            include_replies=replies,
            include_retweets=_flag(parameters, "include_retweets"),
            **common,
        )
    if task_type == "USER_INFO":
        return XTask(path=f"/{name}", operation=PROFILE, data_type="user", username=name, **common)
    operation = {"USER_FOLLOWERS": "Followers", "USER_FOLLOWING": "Following"}.get(task_type)
    if operation is None:
        raise InvalidParameters(f"{task_type} is no kind of X task", field="task_type")
    return XTask(path=f"/{name}/{operation.lower()}", operation=operation, data_type="user", username=name, **common)


def keeps(task: XTask, entry: Entry) -> bool:
    """Whether the entry is a result of the task.

    Of a user's timeline only what that user wrote or repeated is kept. A reply to oneself continues a thread and counts
    as no reply.
    """
    if entry.kind != task.data_type:
        return False
    if task.task_type != "USER_TWEETS":
        return True
    tweet = entry.data
    if not _is_by(task, tweet["user"]):
        return False
    if tweet["is_retweet"]:
        return task.include_retweets
    answered = tweet["in_reply_to"]
    if answered is None or task.include_replies:
        return True
    return answered["user_id"] is not None and bool(answered["user_id"] == tweet["user"]["id"])


def _is_by(task: XTask, author: Mapping[str, Json]) -> bool:
    """Whether the task's user is the author. One of whom X tells nothing is the user: it is their timeline."""
    if author["username"] is not None:
        return bool(author["username"].lower() == task.username.lower())
    return not task.user_id or author["id"] is None or bool(author["id"] == task.user_id)


def _username(parameters: Mapping[str, Json]) -> str:
    field = "username" if parameters.get("username") is not None else "uid"
    value = parameters.get(field)
    if value is None:
        raise InvalidParameters("is required", field="username")
    name = str(value).strip().removeprefix("@") if isinstance(value, str | int) else ""
    if not USER_NAME.fullmatch(name):
        raise InvalidParameters("must be a user name: letters, digits and underscores", field=field)
    return name


def _query(parameters: Mapping[str, Json]) -> str:
    value = parameters.get("query")
    if not isinstance(value, str) or not value.strip():
        raise InvalidParameters("is required", field="query")
    text = value.strip()
    if len(text) > MAX_QUERY or not text.isprintable():
        raise InvalidParameters(f"must be one line of at most {MAX_QUERY} characters", field="query")
    return text


def _hashtag(parameters: Mapping[str, Json]) -> str:
    value = parameters.get("hashtag")
    tag = value.strip().lstrip("#＃") if isinstance(value, str) else ""
    if not HASHTAG.fullmatch(tag) or not tag.isprintable():
        raise InvalidParameters("must be one word", field="hashtag")
    return f"#{tag}"


def _language(parameters: Mapping[str, Json]) -> str:
    value = parameters.get("lang")
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not LANGUAGE.fullmatch(value):
        raise InvalidParameters("must be a language code such as en", field="lang")
    return value


def _limit(parameters: Mapping[str, Json]) -> int:
    value = parameters.get("limit")
    if value is None:
        return DEFAULT_LIMIT
    if type(value) is not int or not 1 <= value <= MAX_LIMIT:
        raise InvalidParameters(f"must be a whole number from 1 to {MAX_LIMIT}", field="limit")
    return value


def _flag(parameters: Mapping[str, Json], name: str) -> bool:
    value = parameters.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidParameters("must be true or false", field=name)
    return value


def _identifier(parameters: Mapping[str, Json], name: str) -> str:
    value = parameters.get(name)
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or len(value) > 64 or not value.isprintable():
        raise InvalidParameters("must be an id", field=name)
    return value
