"""Parameters of the pipeline's task types. Owns: their fields and limits. The gateway checks the same at the edge."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from scraper.executor import InvalidParameters
from scraper.paper import FIRST_YEAR, LAST_YEAR

MAX_PAPER_IDS = 100_000
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
PaperId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}$")]
SourceName = Literal["semantic_scholar", "arxiv", "openalex", "crossref"]


class Params(BaseModel):
    """What all types have. Unknown fields are ignored, a null counts as not given."""

    model_config = ConfigDict(extra="ignore", strict=True)
    project_id: int = Field(ge=1, le=2**53)


class SearchParams(Params):
    """`limit`: at most so many papers of each source."""

    query: Words
    sources: list[SourceName] = Field(default_factory=lambda: list(get_args(SourceName)), min_length=1, max_length=4)
    limit: int = Field(100, ge=1, le=10_000)
    year_from: int | None = Field(None, ge=FIRST_YEAR, le=LAST_YEAR)
    year_to: int | None = Field(None, ge=FIRST_YEAR, le=LAST_YEAR)

    @model_validator(mode="after")
    def _years_in_order(self) -> Self:
        if self.year_from and self.year_to and self.year_from > self.year_to:
            raise ValueError("year_from is after year_to")
        return self


class DedupParams(Params):
    """`threshold`: how alike two titles must be, 0.5 to 1."""

    threshold: float = Field(0.9, ge=0.5, le=1.0, strict=False)


class PapersParams(Params):
    """Of crawl and ocr. None: all of the project."""

    paper_ids: list[PaperId] | None = Field(None, min_length=1, max_length=MAX_PAPER_IDS)


class IndexParams(PapersParams):
    """`rebuild`: from nothing, instead of what has changed."""

    rebuild: bool = False


class KeywordParams(Params):
    """`limit`: at most so many terms."""

    keywords: list[Words] = Field(min_length=1, max_length=100)
    limit: int = Field(20, ge=1, le=200)


Model = TypeVar("Model", bound=Params)


def read_params(model: type[Model], raw: Mapping[str, Any]) -> Model:
    """The checked parameters. Raises InvalidParameters, which names the first field that is wrong."""
    try:
        return model.model_validate({name: value for name, value in raw.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidParameters(first["msg"], field=where or "params") from error
