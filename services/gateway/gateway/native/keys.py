"""API keys and access tokens of the scheduler contract. Owns: their endpoints. Must not know how keys are kept."""

import time
from dataclasses import asdict, astuple, replace
from typing import Any

from chassis.clock import now_ms
from chassis.errors import Forbidden, NotFound

from gateway.access import ROLES, Access, ApiKey, Role, credential_of, is_token, make_key
from gateway.bodies import read_object
from gateway.checks import Fields, check_text, ignored, invalid
from gateway.exchange import Answer, Call
from gateway.native import examples
from gateway.native.envelope import ok, query_of
from gateway.rate_limits import Limit
from gateway.routing import Doc, Endpoint
from gateway.times import iso_seconds

MAX_LISTED = 1_000
TAG = "auth"


class KeyRoutes:
    """Handlers of `/auth`."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def create(self, call: Call) -> Answer:
        """Make a key. This answer is the only place where it can be read."""
        fields = Fields(await read_object(call))
        call.warnings += ignored(fields.raw, ("name", "role", "rate_limit"))
        fields.require("name")
        fields.require("role")
        name = fields.text("name", 100, one_line=True).strip()
        if not name:
            raise invalid("name", "required", "不能为空", name)
        role = ROLES[fields.choice("role", ROLES, Role.VIEWER.label)]
        key_id, key, digest = make_key()
        stored = ApiKey(key_id, name, role, digest, now_ms(), call.principal.id, _limit(fields))
        await self._access.keys.add(stored)
        return ok(call, {**_key_json(stored), "key": key}, 201)

    async def list_keys(self, call: Call) -> Answer:
        """List keys, newest first, without the keys themselves."""
        keys = await self._access.keys.newest(MAX_LISTED)
        return ok(call, {"items": [_key_json(key) for key in keys], "total": len(keys)})

    async def delete(self, call: Call) -> Answer:
        """Delete the key named in the path, or by `?id=`."""
        key_id = call.path_params.get("key_id") or query_of(call).text("id", 64)
        if not key_id:
            raise invalid("id", "required", "是必填项")
        check_text("id", key_id, 64, one_line=True)
        if not await self._access.keys.remove(key_id):
            raise NotFound(f"API密钥不存在: {key_id}")
        self._access.forget(key_id)
        return ok(call, {"message": "API密钥删除成功", "deleted_id": key_id})

    async def token(self, call: Call) -> Answer:
        """Exchange a key for a short-lived token with the same role."""
        who = await self._access.authenticate(await _key_of(call))
        tokens = self._access.tokens
        limit = astuple(who.limit) if who.limit else None
        token = tokens.issue(subject=who.id, name=who.name, role=who.role.label, now=time.time(), limit=limit)
        data = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": tokens.ttl_seconds,
            "role": who.role.label,
        }
        return ok(call, data)

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        delete = Doc("删除API密钥", TAG, answer=examples.KEY_DELETED, errors=(401, 403, 404))
        return [
            Endpoint("POST", "/auth/keys", self.create,
                     Doc("创建API密钥", TAG, body=examples.NEW_KEY, answer=examples.KEY_CREATED, status=201,
                         errors=(401, 403, 422)), Role.ADMIN),
            Endpoint("GET", "/auth/keys", self.list_keys,
                     Doc("获取API密钥列表", TAG, answer=examples.KEY_LIST, errors=(401, 403)), Role.ADMIN),
            Endpoint("DELETE", "/auth/keys/{key_id}", self.delete, delete, Role.ADMIN),
            Endpoint("DELETE", "/auth/keys", self.delete,
                     replace(delete, query=[("id", "string", "密钥ID")]), Role.ADMIN),
            Endpoint("POST", "/auth/token", self.token,
                     Doc("换取访问令牌", TAG, body=examples.TOKEN_REQUEST, body_required=False, answer=examples.TOKEN,
                         errors=(401, 403), description="The key comes as everywhere else, or in the body.")),
        ]  # fmt: skip


async def _key_of(call: Call) -> str:
    body = await read_object(call, optional=True)
    key = Fields(body).text("api_key", 4_096) or credential_of(call)
    if is_token(key):
        raise Forbidden("访问令牌不能换取新的令牌", rule="api_key")
    return key


def _key_json(key: ApiKey) -> dict[str, Any]:
    shown = {"id": key.id, "name": key.name, "role": key.role.label, "created_at": iso_seconds(key.created_ms)}
    return shown | {"rate_limit": asdict(key.limit) if key.limit else None}


def _limit(fields: Fields) -> Limit | None:
    """The key's own limit, if one is given; 0 per minute: none at all."""
    if not fields.given("rate_limit"):
        return None
    wanted = Fields(fields.mapping("rate_limit"))
    wanted.require("per_minute")
    per_minute = wanted.integer("per_minute", 0, 100_000_000, 0)
    return Limit(per_minute, wanted.integer("burst", 1, 10_000_000, max(per_minute, 1)))
