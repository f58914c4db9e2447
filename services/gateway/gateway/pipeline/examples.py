"""Examples for the pipeline contract's documentation, in its own shapes."""

TASK = {
    "id": 42,
    "project_id": 1,
    "task_type": "search",
    "status": "running",
    "progress": 30,
    "total": 100,
    "created_at": "2025-03-12T10:00:00",
}
TASK_LIST = {"code": 200, "message": "success", "data": [TASK]}
_PARAMS = {"query": "machine learning", "sources": ["semantic_scholar"]}
NEW_TASK = {"project_id": 1, "task_type": "search", "params": _PARAMS}
_DETAIL = {
    "id": 42,
    "project_id": 1,
    "task_type": "search",
    "status": "completed",
    "progress": 100,
    "total": 100,
    "params": _PARAMS,
    "result": {"papers_found": 15, "imported": 10},
    "error_message": "",
    "created_at": "2025-03-12T10:00:00",
    "started_at": "2025-03-12T10:00:01",
    "completed_at": "2025-03-12T10:02:30",
}
DETAIL = {"code": 200, "message": "success", "data": _DETAIL}
_NEW = {"status": "pending", "progress": 0, "total": 0, "result": None, "started_at": None, "completed_at": None}
CREATED = {"code": 201, "message": "Task created", "data": _DETAIL | _NEW}
CANCELLED = {"code": 200, "message": "Task cancelled", "data": None}
PAPER = {
    "id": "0f3a5c7e9b1d2f4a6c8e0b2d",
    "project_id": 1,
    "title": "An example of a title",
    "abstract": "What it is about.",
    "authors": ["Ada Example"],
    "year": 2024,
    "doi": "10.5555/12345678",
    "arxiv_id": "2401.00001",
    "venue": "Journal of Examples",
    "url": "https://example.org/paper",
    "pdf_url": "https://example.org/paper.pdf",
    "citations": 7,
    "sources": [{"source": "arxiv", "id": "2401.00001", "url": "https://example.org/paper"}],
    "pdf": {"status": "stored", "bytes": 123456, "error": None},
    "text": {"status": "done", "pages": 9, "ocr_pages": 2, "error": None},
    "created_at": "2025-03-12T10:00:00",
    "updated_at": "2025-03-12T10:00:00",
}
PAPERS = {"code": 200, "message": "success", "data": [PAPER]}
_HIT = PAPER | {"score": 4.2, "highlights": {"title": "An <em>example</em> of a title"}}
HITS = {"code": 200, "message": "success", "data": [_HIT]}

LIST_QUERY = [
    ("project_id", "integer", "按项目 ID 过滤"),
    ("status", "string", "pending | running | completed | failed | cancelled"),
    ("limit", "integer", "最大条数, 1–1000, 默认 50"),
]
PAGE_QUERY = [("limit", "integer", "最大条数, 1–1000, 默认 50"), ("offset", "integer", "跳过的条数")]
SEARCH_QUERY = [("q", "string", "检索词; 双引号内为短语"), *PAGE_QUERY]
