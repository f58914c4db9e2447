"""What XGet clients may send. Owns: fields, types and limits, by the contract's names. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from gateway.xget.errors import Unprocessable, of_validation, unprocessable

Json = Any
MAX_BATCH = 1_000
MAX_LIMIT = 1_000_000
MAX_SKIP = 100_000_000
# Names by which clients of other versions know the same types.
ALIASES = {
    "SEARCH": "KEYWORD_SEARCH",
    "TOPIC": "HASHTAG_SEARCH",
    "FOLLOWERS": "USER_FOLLOWERS",
    "FOLLOWING": "USER_FOLLOWING",
}
TaskType = Literal[
    "USER_TWEETS", "USER_INFO", "KEYWORD_SEARCH", "HASHTAG_SEARCH", "USER_FOLLOWERS", "USER_FOLLOWING",
    "SEARCH", "TOPIC", "FOLLOWERS", "FOLLOWING",
]  # fmt: skip
TaskStatus = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "STOPPED"]

_Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"),
]
_Text = Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*$")]
_Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Username = Annotated[str, StringConstraints(max_length=65, pattern=r"^@?[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
_Query = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]*\S[^\x00]*$")]
_Hashtag = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[#＃]?[^\s#＃\x00-\x1f\x7f]+$")]
_Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{2,8})*$", max_length=35)]
_Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]


class _Strict(BaseModel):
    """Wrong types are errors, unknown fields are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _OfUser(_Strict):
    username: _Username = Field(validation_alias=AliasChoices("username", "uid"))


class _ManyOfUser(_OfUser):
    limit: _Limit | None = None


class _Tweets(_ManyOfUser):
    include_replies: bool | None = None
    include_retweets: bool | None = None


class _Keyword(_Strict):
    query: _Query
    limit: _Limit | None = None
    lang: _Language | None = None


class _Topic(_Strict):
    hashtag: _Hashtag
    limit: _Limit | None = None


_PARAMETERS: Mapping[str, type[BaseModel]] = {
    "USER_TWEETS": _Tweets,
    "USER_INFO": _OfUser,
    "KEYWORD_SEARCH": _Keyword,
    "HASHTAG_SEARCH": _Topic,
    "USER_FOLLOWERS": _ManyOfUser,
    "USER_FOLLOWING": _ManyOfUser,
}


class NewTask(_Strict):
    """A task to be created."""

    task_name: _Name
    describe: _Text | None = None
    task_type: TaskType
    parameters: dict[str, Json]
    account_id: _Id | None = None
    proxy_id: _Id | None = None
    user_id: _Id


class TaskChange(_Strict):
    """A change; what is not given stays."""

    task_name: _Name | None = None
    describe: _Text | None = None
    task_type: TaskType | None = None
    parameters: dict[str, Json] | None = None
    account_id: _Id | None = None
    proxy_id: _Id | None = None
    status: TaskStatus | None = None


class _PageQuery(BaseModel):
    page: int = Field(1, ge=1, le=1_000_000)
    size: int = Field(20, ge=1, le=100)


class TaskQuery(_PageQuery):
    """`GET /tasks`."""

    status: TaskStatus | None = None
    task_type: TaskType | None = None
    user_id: str | None = Field(None, max_length=200)


class ExecutionQuery(_PageQuery):
    """`GET /task-executions`."""

    task_id: str | None = Field(None, max_length=200)
    status: TaskStatus | None = None


class ResultQuery(BaseModel):
    """`skip` and `limit`, or `page` and `size`."""

    skip: int | None = Field(None, ge=0, le=MAX_SKIP)
    limit: int | None = Field(None, ge=1, le=1_000)
    page: int | None = Field(None, ge=1, le=1_000_000)
    size: int | None = Field(None, ge=1, le=1_000)
    data_type: str | None = Field(None, max_length=64)

    @property
    def window(self) -> tuple[int, int]:
        """(how many to skip, how many to show)"""
        limit = self.limit or self.size or 100
        if self.skip is None and self.page is not None:
            return (self.page - 1) * limit, limit
        return self.skip or 0, limit


class SearchQuery(ResultQuery):
    """`GET /tasks/search/results`."""

    query: str = Field(max_length=8_000)


class ExportQuery(BaseModel):
    """`POST /tasks/export/{task_id}`."""

    format: Literal["json", "csv", "ndjson", "parquet", "xlsx"] = "json"


Model = TypeVar("Model", bound=BaseModel)


def canonical_type(task_type: str) -> str:
    """The type's documented name."""
    return ALIASES.get(task_type, task_type)


def read_body(model: type[Model], raw: Json, *prefix: str | int) -> Model:
    """The checked body. Raises `Unprocessable`."""
    if not isinstance(raw, dict):
        raise unprocessable(("body", *prefix), "Input should be a valid dictionary", "dict_type")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise of_validation(error, "body", *prefix) from error


def read_query(model: type[Model], raw: Mapping[str, str]) -> Model:
    """The checked query; an empty field counts as not given. Raises `Unprocessable`."""
    try:
        return model.model_validate({name: value for name, value in raw.items() if value != ""})
    except ValidationError as error:
        raise of_validation(error, "query") from error


def check_parameters(task_type: str, raw: dict[str, Json], *prefix: str | int) -> dict[str, Json]:
    """What an executor gets: the known parameters under their documented names. Raises `Unprocessable`."""
    try:
        checked = _PARAMETERS[canonical_type(task_type)].model_validate(raw)
    except ValidationError as error:
        raise of_validation(error, "body", *prefix, "parameters") from error
    return checked.model_dump(exclude_none=True)


def read_tasks(raw: Json) -> list[tuple[NewTask, dict[str, Json]]]:
    """A batch, each with its parameters. Raises `Unprocessable` with the indexes of all bad elements."""
    if not isinstance(raw, list):
        raise unprocessable(("body",), "Input should be a valid list", "list_type")
    if len(raw) > MAX_BATCH:
        raise unprocessable(("body",), f"List should have at most {MAX_BATCH} items", "too_long")
    tasks = []
    errors: list[dict[str, Json]] = []
    for index, entry in enumerate(raw):
        try:
            tasks.append(read_task(entry, index))
        except Unprocessable as error:
            errors += error.details["errors"]
    if errors:
        raise Unprocessable(errors[:100])
    return tasks


def read_task(raw: Json, *prefix: str | int) -> tuple[NewTask, dict[str, Json]]:
    """A task and its parameters. Raises `Unprocessable`."""
    task = read_body(NewTask, raw, *prefix)
    return task, check_parameters(task.task_type, task.parameters, *prefix)
