"""Token buckets' blocks, outside tokens, retry delays: the gateway's parts that need no server."""

import asyncio
import base64
import json
import time
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from chassis.errors import Exhausted, Unauthenticated, Unavailable
from cryptography.hazmat.primitives.asymmetric import rsa
from gateway.access import Access, Role
from gateway.jwks import AGAIN_SECONDS, KeyRing, OutsideIssuer
from gateway.rate_limits import Limit, RateLimits
from gateway.settings import GatewaySettings
from gateway.tokens import Tokens
from gateway.webhooks.webhook import Attempt, Delivery, State
from jwt.algorithms import RSAAlgorithm
from pydantic import ValidationError

ISSUER, AUDIENCE = "https://id.example", "trawl"
SECRET = b"s" * 32


@dataclass
class Caller:
    id: str = "a"
    limit: Limit | None = None


class FakeBuckets:
    """Grants what is left."""

    def __init__(self, left: int) -> None:
        self.left, self.asked, self.down = left, 0, False

    async def take(self, caller: str, limit: Limit) -> tuple[int, float]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("Redis is unavailable", dependency="redis")
        granted = min(limit.block, self.left)
        self.left -= granted
        return granted, 0 if granted else 5.0


async def ask(limits: RateLimits, caller: Caller) -> bool:
    if limits.spend(caller):
        return True
    try:
        await limits.refill(caller)
    except Exhausted:
        return False
    return True


async def test_a_busy_callers_tokens_come_in_blocks() -> None:
    buckets = FakeBuckets(100_000)
    limits = RateLimits(buckets, Limit(60_000, 10_000))
    assert all([await ask(limits, Caller()) for _ in range(1_000)])
    assert buckets.asked <= 30


async def test_no_more_than_the_bucket_has_is_given_to_callers_at_once() -> None:
    buckets = FakeBuckets(250)
    limits = RateLimits(buckets, Limit(60_000, 10_000))
    answers = await asyncio.gather(*(ask(limits, Caller()) for _ in range(600)))
    assert sum(answers) == 250


async def test_an_empty_bucket_is_not_asked_again_before_its_time() -> None:
    now = [0.0]
    buckets = FakeBuckets(0)
    limits = RateLimits(buckets, Limit(60, 1), clock=lambda: now[0])
    with pytest.raises(Exhausted) as caught:
        await limits.refill(Caller())
    assert caught.value.retry_after_seconds == 5
    for _ in range(100):
        assert not await ask(limits, Caller())
    assert buckets.asked == 1
    now[0], buckets.left = 5.0, 1
    assert await ask(limits, Caller())


async def test_nobody_is_limited_while_the_buckets_are_away() -> None:
    buckets = FakeBuckets(0)
    buckets.down = True
    limits = RateLimits(buckets, Limit(60, 1))
    assert all([await ask(limits, Caller()) for _ in range(50)])


async def test_tokens_that_lie_around_are_lost() -> None:
    now = [0.0]
    buckets = FakeBuckets(100)
    limits = RateLimits(buckets, Limit(60_000, 10_000), clock=lambda: now[0])
    await limits.refill(Caller())
    now[0] = 2.0
    assert not limits.spend(Caller())


async def test_a_callers_own_limit_goes_first_and_zero_is_none() -> None:
    buckets = FakeBuckets(0)
    limits = RateLimits(buckets, Limit(60, 1))
    assert limits.spend(Caller("b", Limit(0, 1)))
    assert limits.spend(Caller("admin"))
    assert not limits.spend(Caller("b"))
    assert not RateLimits(buckets, Limit(60, 1), limit_admin=True).spend(Caller("admin"))


class Issuer:
    """Signs tokens; its keys can be changed and taken away."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65_537, 2_048)
        self.kid, self.fetched, self.down = "k1", 0, False
        self.more: list[Any] = []
        self.now = 1_000.0
        ring = KeyRing(self.fetch, kept_seconds=600, clock=lambda: self.now)
        self.outside = OutsideIssuer(ring, issuer=ISSUER, audience=AUDIENCE, role_claim="realm_access.roles")
        self.access = Access(
            None,  # type: ignore[arg-type]  # no key is looked up here
            Tokens(SECRET, 900),
            admin_key="the administrator's",
            cache_seconds=0,
            outside=self.outside,
        )

    @property
    def public(self) -> dict[str, Any]:
        return RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True) | {"kid": self.kid, "use": "sig"}

    async def fetch(self) -> bytes:
        self.fetched += 1
        if self.down:
            raise Unavailable("away", dependency="jwks")
        return json.dumps({"keys": [self.public, *self.more]}).encode()

    def token(self, **changes: Any) -> str:
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": "u1", "exp": int(time.time()) + 60,
            "realm_access": {"roles": ["x", "viewer", "operator"]},
        } | changes  # fmt: skip
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": self.kid})


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


async def test_an_outside_token_counts_with_its_highest_known_role(issuer: Issuer) -> None:
    principal = await issuer.access.authenticate(issuer.token())
    assert principal.role is Role.OPERATOR
    assert principal.id.startswith("jwt:")
    assert (await issuer.access.authenticate(issuer.token(realm_access={"roles": "admin"}))).role is Role.ADMIN


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"aud": "another"},
        {"exp": 1},
        {"sub": None},
        {"realm_access": {"roles": ["root"]}},
        {"realm_access": None},
        {"realm_access": {"roles": [["admin"], {"admin": 1}, 3]}},
    ],
)
async def test_outside_tokens_that_say_something_else_are_refused(issuer: Issuer, changes: dict[str, Any]) -> None:
    claims = {key: value for key, value in changes.items() if value is not None}
    token = issuer.token(**claims)
    if None in changes.values():
        key = next(iter(changes))
        plain = jwt.decode(token, options={"verify_signature": False})
        del plain[key]
        token = jwt.encode(plain, issuer.key, algorithm="RS256", headers={"kid": issuer.kid})
    with pytest.raises(Unauthenticated):
        await issuer.access.authenticate(token)


async def test_the_kinds_of_tokens_can_not_be_confused(issuer: Issuer) -> None:
    """A public key is no HS256 secret, our secret is no RS256 key, and no other algorithm is taken."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u", "exp": int(time.time()) + 60, "role": "admin"}
    modulus = base64.urlsafe_b64decode(issuer.public["n"] + "==")
    header = {"kid": issuer.kid}
    own = {"iss": "trawl", "aud": "trawl-api"}
    forged = [
        jwt.encode(claims, modulus, algorithm="HS256", headers=header),
        jwt.encode(claims | own, modulus, algorithm="HS256", headers=header),
        jwt.encode(claims | own, issuer.key, algorithm="RS256", headers=header),
        jwt.encode(claims, SECRET, algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none", headers=header),
        jwt.encode(claims, issuer.key, algorithm="RS512", headers=header),
        jwt.encode(claims, issuer.key, algorithm="PS256", headers=header),
        jwt.encode(claims, issuer.key, algorithm="RS256"),
    ]
    for token in forged:
        with pytest.raises(Unauthenticated):
            await issuer.access.authenticate(token)
    ours = issuer.access.tokens.issue(subject="admin", name="k", role="viewer", now=time.time())
    assert (await issuer.access.authenticate(ours)).role is Role.VIEWER


async def test_a_symmetric_key_among_the_issuers_is_left_out(issuer: Issuer) -> None:
    issuer.more = [{"kty": "oct", "kid": "k2", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256"}]
    await issuer.access.authenticate(issuer.token())
    token = jwt.encode({"sub": "u"}, b"secretsecretsecretsecretsecret" * 2, algorithm="HS256", headers={"kid": "k2"})
    with pytest.raises(Unauthenticated):
        await issuer.access.authenticate(token)


async def test_keys_are_fetched_once_and_again_for_a_new_one_but_not_for_each_unknown_one(issuer: Issuer) -> None:
    for _ in range(5):
        await issuer.access.authenticate(issuer.token())
    assert issuer.fetched == 1
    issuer.key, issuer.kid = rsa.generate_private_key(65_537, 2_048), "k2"
    with pytest.raises(Unauthenticated):
        await issuer.access.authenticate(issuer.token())
    assert issuer.fetched == 1
    issuer.now += AGAIN_SECONDS
    await issuer.access.authenticate(issuer.token())
    assert issuer.fetched == 2


async def test_known_keys_outlive_the_issuers_absence(issuer: Issuer) -> None:
    await issuer.access.authenticate(issuer.token())
    issuer.down, issuer.now = True, issuer.now + 10_000
    assert (await issuer.access.authenticate(issuer.token())).role is Role.OPERATOR


async def test_without_any_key_it_is_unavailable_not_wrong(issuer: Issuer) -> None:
    issuer.down = True
    with pytest.raises(Unavailable):
        await issuer.access.authenticate(issuer.token())


@pytest.mark.parametrize("values", [{"jwks_url": "http://a/"}, {"jwks_file": "/x", "jwt_issuer": "i"}])
def test_an_issuers_keys_need_its_name_and_an_audience(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="JWT_AUDIENCE"):
        GatewaySettings(**values)


def attempt(status: int, **more: Any) -> Attempt:
    return Attempt(1_000, status, "", 0, **more)


FRESH = Delivery("d", "w", "task.failed", "msg_1", "{}", 1_000, due_ms=1_000)


def test_attempts_follow_the_delays_and_then_end() -> None:
    delivery, delays = FRESH, (5.0, 300.0)
    for delay in delays:
        delivery = delivery.after(attempt(500), delays)
        assert 0.9 * delay * 1000 <= delivery.due_ms - 1_000 <= 1.1 * delay * 1000
        assert delivery.state is State.PENDING
    delivery = delivery.after(attempt(0), delays)
    assert (delivery.state, delivery.due_ms, len(delivery.attempts)) == (State.FAILED, 0, 3)


@pytest.mark.parametrize(
    ("status", "state"), [(200, State.DELIVERED), (299, State.DELIVERED), (301, State.PENDING), (410, State.FAILED)]
)
def test_only_2xx_is_delivered_and_410_is_final(status: int, state: State) -> None:
    assert FRESH.after(attempt(status), (1.0,)).state is state


def test_a_target_may_ask_for_more_time_but_not_for_ever() -> None:
    assert FRESH.after(attempt(429, retry_after_seconds=60), (5.0,)).due_ms == 61_000
    assert FRESH.after(attempt(429, retry_after_seconds=1e9), (5.0,)).due_ms == 1_000 + 24 * 3_600_000
