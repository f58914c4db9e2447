"""Examples of accounts, proxies and breakers for the documentation of the XGet contract."""

from typing import Any

Json = Any
NEW_ACCOUNT: Json = {
    "username": "aurora_lab",
    "cookies": {"auth_token": "…", "ct0": "…"},
    "proxy_id": "proxy-0f3c5a7d9b1e2468",
    "daily_budget": 2000,
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64) …",
    "notes": "second half of the month",
}
ACCOUNT_CHANGE: Json = {"status": "ACTIVE", "cookies": {"auth_token": "…", "ct0": "…"}, "daily_budget": 500}
ACCOUNT: Json = {
    "id": "account-5f1d7c3b9a2e4680",
    "username": "aurora_lab",
    "status": "ACTIVE",
    "status_reason": None,
    "status_at": "2024-01-15T10:30:00Z",
    "proxy_id": "proxy-0f3c5a7d9b1e2468",
    "daily_budget": 2000,
    "user_agent": None,
    "notes": None,
    "health": {
        "usable": True,
        "used_by_run": 812,
        "operations": ["UserByScreenName", "UserTweets"],
        "requests_today": 340,
        "requests_allowed_today": 2000,
        "last_used_at": "2024-01-15T10:29:00Z",
        "rate_limits": [{"operation": "SearchTimeline", "reset_at": "2024-01-15T10:45:00Z"}],
    },
    "created_at": "2024-01-15T10:30:00Z",
    "updated_at": "2024-01-15T10:30:00Z",
}
NEW_PROXY: Json = {"name": "Oslo", "url": "socks5://proxy.example.com:1080", "username": "trawl", "password": "…"}
PROXY_CHANGE: Json = {"enabled": False}
PROXY: Json = {
    "id": "proxy-0f3c5a7d9b1e2468",
    "name": "Oslo",
    "url": "socks5://proxy.example.com:1080",
    "has_credentials": True,
    "enabled": True,
    "health": {"failures": 0, "last_error": None, "resting_until": None},
    "created_at": "2024-01-15T10:30:00Z",
    "updated_at": "2024-01-15T10:30:00Z",
}
BREAKER: Json = {
    "operation": "UserTweets",
    "state": "open",
    "reason": "UserTweets: the timeline's instructions are missing",
    "since": "2024-01-15T10:30:00Z",
    "run": 812,
    "evidence": "812/changed-UserTweets.json",
}
DELETED: Json = {"message": "Account deleted successfully"}
PAGE_QUERY = (("page", "integer", "From 1"), ("size", "integer", "At most 100"))
ACCOUNT_QUERY = (("status", "string", "ACTIVE, BANNED or DISABLED"), *PAGE_QUERY)


def page(example: Json) -> Json:
    """A page with that item."""
    return {"items": [example], "total": 1, "page": 1, "size": 20, "pages": 1}
