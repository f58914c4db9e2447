"""The people and tweets that the stand-in knows. Owns: making them from a seed, and who sees what in which order. Must
not know shapes, pages or HTTP. All of it is invented; the same seed gives the same world on every machine.
"""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

FIRST_TWEET_ID = 1_700_000_000_000_000_000
FIRST_USER_ID = 4_000_000_000
BEGINNING = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
LANGUAGES = ("en", "de", "es")
TAGS = ("harbour", "lanterns", "tides", "clockwork")
_WORDS = (
    *("amber", "anchor", "basin", "bell", "bridge", "canal", "cedar", "cobalt", "copper", "drift", "ember", "fjord"),
    *("garden", "glass", "granite", "heron", "island", "juniper", "kelp", "lantern", "lichen", "lighthouse", "maple"),
    *("meadow", "mist", "oak", "orbit", "pebble", "pine", "quartz", "quay", "raven", "reed", "saffron", "slate"),
    *("sparrow", "spruce", "thistle", "tide", "timber", "valley", "willow"),
)
_KINDS = (
    *("plain", "plain", "retweet", "long", "reply", "media", "quote", "plain", "poll", "thread", "video", "plain"),
    *("retweet", "limited", "reply", "quote_gone"),
)

MAIN, QUIET, SEALED, GONE = "aurora_lab", "quiet_corner", "sealed_garden", "gone_fishing"


@dataclass(frozen=True, slots=True)
class User:
    """A person. `state`: active | protected | suspended."""

    id: str
    username: str
    name: str
    description: str
    created: datetime
    followers: int
    following: int
    tweets: int
    state: str = "active"
    blue: bool = False
    # Which of X's two shapes this one is told in, where shapes are mixed.
    old_shape: bool = False


@dataclass(frozen=True, slots=True)
class Tweet:
    """A tweet. `kind` is one of `_KINDS`; ids name other tweets of the world."""

    id: str
    author: str
    kind: str
    text: str
    created: datetime
    lang: str
    likes: int
    tags: tuple[str, ...] = ()
    replied: str | None = None
    quoted: str | None = None
    retweeted: str | None = None
    poll: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """One entry of a timeline. `kind`: tweet | conversation | tombstone | promoted | suggestions | user."""

    kind: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a world is."""

    readers: int = 60
    tweets: int = 64
    followers: int = 45
    following: int = 25


@dataclass(slots=True)
class World:
    """Everything that there is."""

    seed: int
    sizes: Sizes
    users: dict[str, User] = field(default_factory=dict)
    tweets: dict[str, Tweet] = field(default_factory=dict)
    by_name: dict[str, str] = field(default_factory=dict)
    written: dict[str, list[str]] = field(default_factory=dict)
    pinned: dict[str, str] = field(default_factory=dict)
    followers: dict[str, list[str]] = field(default_factory=dict)
    following: dict[str, list[str]] = field(default_factory=dict)

    def user(self, name: str) -> User | None:
        """The user of that name, in any case."""
        found = self.by_name.get(name.lower())
        return self.users[found] if found else None

    def posts(self, user_id: str, *, replies: bool) -> list[Unit]:
        """A profile's timeline, newest first; `replies`: with the answers to others, and what they answer."""
        units = []
        told: set[str] = set()
        for tweet_id in reversed(self.written.get(user_id, [])):
            tweet = self.tweets[tweet_id]
            if tweet_id in told or (tweet.kind == "reply" and not replies):
                continue
            unit = Unit("tweet", (tweet_id,))
            if tweet.replied is not None:
                unit = Unit("conversation", (tweet.replied, tweet_id))
            told.update(unit.ids)
            units.append(unit)
        return self._with_distractions(units, user_id)

    def found(self, query: str) -> list[Unit]:
        """A search's timeline, newest first. Words and `#tags` must all be there; `lang:` narrows."""
        wanted = query.lower().split()
        language = next((word[5:] for word in wanted if word.startswith("lang:")), None)
        words = [word for word in wanted if not word.startswith("lang:")]
        hits = [
            tweet
            for tweet in self.tweets.values()
            if tweet.kind != "retweet"
            and (language is None or tweet.lang == language)
            and self.users[tweet.author].state == "active"
            and all(word in _searched(tweet) for word in words)
        ]
        hits.sort(key=lambda tweet: tweet.id, reverse=True)
        return self._with_distractions([Unit("tweet", (tweet.id,)) for tweet in hits], "")

    def people(self, user_id: str, *, following: bool) -> list[Unit]:
        """Whom a user follows, or who follows."""
        ids = (self.following if following else self.followers).get(user_id, [])
        return [Unit("user", (one,)) for one in ids]

    def _with_distractions(self, units: list[Unit], user_id: str) -> list[Unit]:
        """Advertisements, suggestions and the gravestones of deleted tweets, at fixed places."""
        others = [user.id for user in self.users.values() if user.id != user_id and user.state == "active"][:3]
        advertised = next(iter(self.tweets))
        mixed: list[Unit] = []
        for index, unit in enumerate(units):
            if index == 3:
                mixed.append(Unit("suggestions", tuple(others)))
            if index % 11 == 7:
                mixed.append(Unit("promoted", (advertised,)))
            if index % 23 == 9:
                mixed.append(Unit("tombstone", ()))
            mixed.append(unit)
        return mixed


def _searched(tweet: Tweet) -> frozenset[str]:
    words = tweet.text.lower().replace(",", " ").replace(".", " ").split()
    return frozenset(words) | {f"#{tag}" for tag in tweet.tags}


def make_world(seed: int = 1, sizes: Sizes | None = None) -> World:
    """The world of that seed."""
    world = World(seed, sizes or Sizes())
    chance = random.Random(seed)  # noqa: S311 - invention, not secrecy
    for index, name in enumerate([MAIN, QUIET, SEALED, GONE, *_reader_names(world.sizes.readers)]):
        user = _make_user(chance, index, name)
        world.users[user.id] = user
        world.by_name[name.lower()] = user.id
        world.written[user.id] = []
    main, readers = world.by_name[MAIN], [world.by_name[name] for name in _reader_names(world.sizes.readers)]
    _write(world, chance, main, readers)
    world.followers[main] = readers[: world.sizes.followers]
    world.following[main] = readers[-world.sizes.following :]
    return world


def _reader_names(count: int) -> list[str]:
    return [f"reader_{number:03d}" for number in range(1, count + 1)]


def _make_user(chance: random.Random, index: int, name: str) -> User:
    states = {SEALED: "protected", GONE: "suspended"}
    return User(
        id=str(FIRST_USER_ID + index * 7919),
        username=name,
        name=name.replace("_", " ").title(),
        description=" ".join(chance.sample(_WORDS, 6)),
        created=BEGINNING - timedelta(days=900 + index * 13),
        followers=chance.randrange(1, 90_000),
        following=chance.randrange(1, 4_000),
        tweets=chance.randrange(1, 20_000),
        state=states.get(name, "active"),
        blue=chance.random() < 0.3,
        old_shape=index % 2 == 1,
    )


def _write(world: World, chance: random.Random, main: str, readers: list[str]) -> None:
    """Everybody writes; between two tweets of the main user some reader writes a plain one."""
    kinds = [_KINDS[index % len(_KINDS)] for index in range(world.sizes.tweets)]
    for index, kind in enumerate(kinds):
        reader = readers[chance.randrange(len(readers))]
        other = _add(world, chance, reader, "plain")
        own = world.written[main]
        if kind == "thread" and own:
            root = _add(world, chance, main, "plain")
            _add(world, chance, main, "thread", replied=root.id)
        else:
            _add(world, chance, main, kind, other=other.id)
        if index == 5:
            world.pinned[main] = own[0]


def _add(
    world: World,
    chance: random.Random,
    author: str,
    kind: str,
    *,
    other: str | None = None,
    replied: str | None = None,
) -> Tweet:
    number = len(world.tweets)
    words = chance.sample(_WORDS, 8)
    # One tag is common enough for a second page.
    tags = (chance.choice(TAGS),) if number % 3 == 0 else ("tides",) if number % 4 == 1 else ()
    text = " ".join(words).capitalize() + "." + "".join(f" #{tag}" for tag in tags)
    if kind == "long":
        text += " " + " ".join(chance.choices(_WORDS, k=80)) + "."
    tweet = Tweet(
        id=str(FIRST_TWEET_ID + number * 104_729 * 4096),
        author=author,
        kind=kind,
        text=text,
        created=BEGINNING + timedelta(minutes=7 * number),
        lang=LANGUAGES[number % 3 if number % 7 == 0 else 0],
        likes=chance.randrange(5_000),
        tags=tags,
        replied=replied or (other if kind == "reply" else None),
        quoted=other if kind == "quote" else None,
        retweeted=other if kind == "retweet" else None,
        poll=tuple((word, chance.randrange(400)) for word in words[:3]) if kind == "poll" else (),
    )
    world.tweets[tweet.id] = tweet
    world.written[author].append(tweet.id)
    return tweet
