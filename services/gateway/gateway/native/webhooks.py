"""Webhooks of the scheduler contract. Owns: their endpoints. Must not know how anything is sent or stored."""

import secrets
import time
from dataclasses import replace
from typing import Any

import orjson
from chassis.addresses import AddressNotAllowed
from chassis.clock import now_ms
from chassis.errors import NotFound

from gateway.access import Role
from gateway.bodies import read_object
from gateway.checks import Fields, ignored, invalid
from gateway.cursors import Cursors
from gateway.exchange import Answer, Call
from gateway.happenings import Happening
from gateway.native import stream_examples as examples
from gateway.native.envelope import Page, ok, query_of
from gateway.routing import Doc, Endpoint
from gateway.times import iso_seconds
from gateway.webhooks.mongo_deliveries import place_of
from gateway.webhooks.service import Webhooks
from gateway.webhooks.webhook import (
    DOCUMENTED_TYPES,
    EVENT_TYPES,
    Delivery,
    State,
    Webhook,
    is_delivery_id,
    is_webhook_id,
    new_secret,
    new_webhook_id,
)

Json = Any
TAG = "webhooks"
MAX_URL = 2_048
ALL = "*"
DISABLED_BY_HAND = "manual"


class WebhookRoutes:
    """Handlers of `/webhooks`."""

    def __init__(self, webhooks: Webhooks, cursors: Cursors) -> None:
        self._webhooks, self._cursors = webhooks, cursors

    async def create(self, call: Call) -> Answer:
        """Make a webhook. Its secret is shown here and never again."""
        fields = Fields(await read_object(call))
        call.warnings += ignored(fields.raw, ("url", "events", "description"))
        fields.require("url")
        fields.require("events")
        now = now_ms()
        webhook = Webhook(
            id=new_webhook_id(),
            url=await self._url(fields),
            events=_events(fields),
            secret=new_secret(),
            created_ms=now,
            updated_ms=now,
            since_ms=now,
            description=fields.text("description", 500),
            created_by=call.principal.id,
        )
        await self._webhooks.add(webhook)
        return ok(call, _webhook_json(webhook) | {"secret": webhook.secret}, 201)

    async def list_webhooks(self, call: Call) -> Answer:
        """List webhooks, oldest first, without their secrets."""
        webhooks = await self._webhooks.all()
        items = [_webhook_json(webhook) for webhook in webhooks]
        return ok(call, {"items": items, "total": len(items), "event_types": list(EVENT_TYPES)})

    async def detail(self, call: Call) -> Answer:
        """Show a webhook."""
        return ok(call, _webhook_json(await self._known(call)))

    async def update(self, call: Call) -> Answer:
        """Change what is given. `status` switches it off and on; a new secret is shown here and never again."""
        webhook = await self._known(call)
        fields = Fields(await read_object(call))
        now = now_ms()
        changed = replace(webhook, updated_ms=now)
        if fields.given("url"):
            changed = replace(changed, url=await self._url(fields))
        if fields.given("events"):
            changed = replace(changed, events=_events(fields))
        if fields.given("description"):
            changed = replace(changed, description=fields.text("description", 500))
        status = fields.choice("status", ("active", "disabled"), "")
        if status == "disabled" and changed.active:
            changed = changed.disabled(DISABLED_BY_HAND, now)
        elif status == "active" and not changed.active:
            changed = changed.enabled(now)
        rotates = fields.flag("rotate_secret")
        if rotates:
            changed = changed.with_new_secret(now)
        await self._webhooks.change(changed)
        return ok(call, _webhook_json(changed) | ({"secret": changed.secret} if rotates else {}))

    async def delete(self, call: Call) -> Answer:
        """Delete a webhook and its log."""
        webhook_id = _webhook_id(call)
        await self._webhooks.remove(webhook_id)
        return ok(call, {"message": "Webhook删除成功", "deleted_id": webhook_id})

    async def deliveries(self, call: Call) -> Answer:
        """Page through what was sent, newest first."""
        webhook = await self._known(call)
        query = query_of(call)
        page = Page(query)
        state = query.choice("status", [state.value for state in State])
        question = f"deliveries {webhook.id} {state}".encode()
        place = self._cursors.open(question, query.raw, time.time())
        found, total = await self._webhooks.deliveries.page(
            webhook.id, state, offset=0 if place else page.offset, limit=page.size + 1, behind=place
        )
        shown = found[: page.size]
        following = self._cursors.seal(question, place_of(shown[-1]) if len(found) > page.size else "", time.time())
        return page.answer(call, [_delivery_json(delivery) for delivery in shown], total, next_cursor=following)

    async def test(self, call: Call) -> Answer:
        """Send a sample now, once, and show what came of it."""
        webhook = await self._known(call)
        fields = Fields(await read_object(call, optional=True))
        event_type = fields.choice("event", EVENT_TYPES, webhook.events[0])
        sample = Happening(event_type, f"test|{secrets.token_hex(12)}", now_ms(), {"test": True})
        return ok(call, _delivery_json(await self._webhooks.test(webhook, sample)))

    async def replay(self, call: Call) -> Answer:
        """Send an entry of the log again, under the same `webhook-id`."""
        webhook = await self._known(call)
        delivery_id = call.path_params["delivery_id"]
        if not is_delivery_id(delivery_id):
            raise NotFound(f"投递记录不存在: {delivery_id[:80]}", resource="delivery")
        delivery = await self._webhooks.delivery(webhook.id, delivery_id)
        return ok(call, _delivery_json(await self._webhooks.replay(webhook, delivery)))

    async def _known(self, call: Call) -> Webhook:
        return await self._webhooks.get(_webhook_id(call))

    async def _url(self, fields: Fields) -> str:
        url = fields.text("url", MAX_URL, one_line=True).strip()
        try:
            parts = self._webhooks.guard.check_url(url)
            await self._webhooks.guard.check_host(parts.hostname or "")
        except AddressNotAllowed as error:
            raise invalid("url", "address", f"不允许: {error}", url) from error
        if parts.username is not None or parts.password is not None:
            raise invalid("url", "credentials", "不能含有用户名或密码")
        return url

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        one = "/webhooks/{webhook_id}"
        return [
            Endpoint("POST", "/webhooks", self.create,
                     Doc("创建Webhook", TAG, body=examples.NEW_WEBHOOK, answer=examples.WEBHOOK_CREATED, status=201,
                         errors=(400, 401, 403, 409, 422), description="Signed as the Standard Webhooks convention "
                         "says; `secret` is shown only here. The event `*` stands for all documented types."),
                     Role.ADMIN),
            Endpoint("GET", "/webhooks", self.list_webhooks,
                     Doc("获取Webhook列表", TAG, answer=examples.WEBHOOK_LIST, errors=(401, 403)), Role.ADMIN),
            Endpoint("GET", one, self.detail,
                     Doc("获取Webhook详情", TAG, answer=examples.WEBHOOK, errors=(401, 403, 404)), Role.ADMIN),
            Endpoint("PUT", one, self.update,
                     Doc("更新Webhook", TAG, body=examples.WEBHOOK_CHANGE, answer=examples.WEBHOOK,
                         errors=(400, 401, 403, 404, 409, 422)), Role.ADMIN),
            Endpoint("DELETE", one, self.delete,
                     Doc("删除Webhook", TAG, answer=examples.WEBHOOK_DELETED, errors=(401, 403, 404)), Role.ADMIN),
            Endpoint("GET", f"{one}/deliveries", self.deliveries,
                     Doc("获取投递记录", TAG, answer=examples.DELIVERY_LIST, query=examples.DELIVERY_QUERY,
                         errors=(401, 403, 404, 422)), Role.ADMIN),
            Endpoint("POST", f"{one}/test", self.test,
                     Doc("测试Webhook", TAG, body=examples.WEBHOOK_TEST, body_required=False,
                         answer=examples.DELIVERY,
                         errors=(400, 401, 403, 404, 422)), Role.ADMIN),
            Endpoint("POST", f"{one}/deliveries/{{delivery_id}}/replay", self.replay,
                     Doc("重新投递", TAG, answer=examples.DELIVERY,
                         errors=(401, 403, 404, 409)), Role.ADMIN),
        ]  # fmt: skip


def _webhook_id(call: Call) -> str:
    webhook_id = call.path_params["webhook_id"]
    if not is_webhook_id(webhook_id):
        raise NotFound(f"Webhook不存在: {webhook_id[:80]}", resource="webhook")
    return webhook_id


def _events(fields: Fields) -> tuple[str, ...]:
    wanted = fields.texts("events", items=len(EVENT_TYPES), limit=64)
    if not wanted:
        raise invalid("events", "min_items", "不能为空")
    if ALL in wanted:
        wanted = [*DOCUMENTED_TYPES, *(name for name in wanted if name != ALL)]
    for index, name in enumerate(wanted):
        if name not in EVENT_TYPES:
            raise invalid(f"events[{index}]", "enum", f"必须是以下之一: {', '.join(EVENT_TYPES)}", name)
    return tuple(dict.fromkeys(wanted))


def _webhook_json(webhook: Webhook) -> dict[str, Json]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "events": list(webhook.events),
        "description": webhook.description,
        "status": "active" if webhook.active else "disabled",
        "disabled_reason": webhook.disabled_reason or None,
        "disabled_at": iso_seconds(webhook.disabled_ms),
        "created_at": iso_seconds(webhook.created_ms),
        "updated_at": iso_seconds(webhook.updated_ms),
    }


def _delivery_json(delivery: Delivery) -> dict[str, Json]:
    return {
        "id": delivery.id,
        "message_id": delivery.message_id,
        "event": delivery.event,
        "status": delivery.state.value,
        "attempts": [
            {
                "timestamp": iso_seconds(attempt.time_ms),
                "status_code": attempt.status or None,
                "error": attempt.error or None,
                "duration_ms": attempt.milliseconds,
            }
            for attempt in delivery.attempts
        ],
        "created_at": iso_seconds(delivery.created_ms),
        "completed_at": iso_seconds(delivery.completed_ms),
        "next_attempt_at": iso_seconds(delivery.due_ms),
        "payload": orjson.Fragment(delivery.body),
    }
