"""Settings of the pipeline's executors. Owns: their names and defaults, which suit the real services."""

from chassis.calling_settings import CallingSettings
from pydantic import Field, SecretStr

MEGABYTE = 1024 * 1024
_URL = r"^https?://\S+$"


class PipelineSettings(CallingSettings):
    """Environment variables. An interval is the time between two requests of all workers together."""

    semantic_scholar_base_url: str = Field("https://api.semanticscholar.org", pattern=_URL)
    arxiv_base_url: str = Field("https://export.arxiv.org", pattern=_URL)
    openalex_base_url: str = Field("https://api.openalex.org", pattern=_URL)
    crossref_base_url: str = Field("https://api.crossref.org", pattern=_URL)
    semantic_scholar_api_key: SecretStr | None = None
    openalex_api_key: SecretStr | None = None
    # OpenAlex and Crossref treat those well who say whom to write to.
    scholar_mailto: str = ""
    semantic_scholar_interval_seconds: float = Field(1.0, ge=0, le=3600)
    arxiv_interval_seconds: float = Field(3.0, ge=0, le=3600)
    openalex_interval_seconds: float = Field(0.1, ge=0, le=3600)
    crossref_interval_seconds: float = Field(0.2, ge=0, le=3600)
    scholar_timeout_seconds: float = Field(30, gt=0, le=600)

    # Between two requests to one host that has PDFs, and what a PDF may weigh.
    crawl_interval_seconds: float = Field(1.0, ge=0, le=3600)
    pdf_max_bytes: int = Field(50 * MEGABYTE, ge=1024, le=2048 * MEGABYTE)
    # A run that a limit holds back for longer gives its slot back and goes on later.
    patience_seconds: float = Field(10, ge=0, le=600)

    # Unset: found on PATH. Languages as Tesseract names them, joined by `+`.
    tesseract_path: str = ""
    ocr_languages: str = Field("eng", pattern=r"^[a-zA-Z_]{2,20}(\+[a-zA-Z_]{2,20}){0,9}$")
    ocr_page_seconds: float = Field(120, gt=0, le=3600)

    # An OpenAI-compatible endpoint for keyword_expand, such as https://host/v1; unset: the project's own corpus.
    keyword_base_url: str = Field("", pattern=r"^(https?://\S+)?$")
    keyword_api_key: SecretStr | None = None
    keyword_model: str = "gpt-4o-mini"
    keyword_timeout_seconds: float = Field(120, gt=0, le=600)
