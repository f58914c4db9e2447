"""What a collection of the stand-in's world must find. Owns: the expected results, told without any of X's shapes.
Must not know pages, cursors or faults.
"""

from typing import Any

from simulators.x.world import Tweet, User, World


def truth_of(world: World, task_type: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The expected items in the order in which they are met, all of them: a limit takes the first ones.

    An unknown, protected or suspended user has none.
    """
    if task_type in ("KEYWORD_SEARCH", "HASHTAG_SEARCH"):
        query = f"#{parameters['hashtag']}" if task_type == "HASHTAG_SEARCH" else str(parameters["query"])
        if parameters.get("lang"):
            query += f" lang:{parameters['lang']}"
        return [_tweet(world, one) for unit in world.found(query) if unit.kind == "tweet" for one in unit.ids]
    user = world.user(str(parameters["username"]))
    if user is None or (user.state != "active" and task_type != "USER_INFO") or user.state == "suspended":
        return []
    if task_type == "USER_INFO":
        return [_user(user)]
    if task_type == "USER_TWEETS":
        return _tweets(world, user, parameters)
    people = world.people(user.id, following=task_type == "USER_FOLLOWING")
    return [_user(world.users[one]) for unit in people for one in unit.ids]


def _tweets(world: World, user: User, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    units = world.posts(user.id, replies=bool(parameters.get("include_replies")))
    shown = [one for unit in units if unit.kind in ("tweet", "conversation") for one in unit.ids]
    pinned = world.pinned.get(user.id)
    order = dict.fromkeys([*([pinned] if pinned else []), *shown])
    own = [world.tweets[one] for one in order if world.tweets[one].author == user.id]
    return [_tweet(world, tweet.id) for tweet in own if parameters.get("include_retweets") or tweet.kind != "retweet"]


def _tweet(world: World, tweet_id: str) -> dict[str, Any]:
    tweet = world.tweets[tweet_id]
    # What a repeated text names is named by what repeats it.
    tags = tweet.tags if tweet.retweeted is None else (*tweet.tags, *world.tweets[tweet.retweeted].tags)
    return {
        "id": tweet.id,
        "text": _text(world, tweet),
        "username": world.users[tweet.author].username,
        "created_at": tweet.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lang": tweet.lang,
        "like_count": tweet.likes,
        "is_retweet": tweet.retweeted is not None,
        "is_reply": tweet.replied is not None,
        "quoted_id": tweet.quoted,
        "hashtags": list(dict.fromkeys(tags)),
        "media": {"media": 1, "video": 1}.get(tweet.kind, 0),
        "poll": [list(option) for option in tweet.poll],
    }


def _text(world: World, tweet: Tweet) -> str:
    if tweet.retweeted is None:
        return tweet.text
    original = world.tweets[tweet.retweeted]
    return f"RT @{world.users[original.author].username}: {original.text}"


def _user(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "name": user.name,
        "description": user.description,
        "created_at": user.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "followers_count": user.followers,
        "following_count": user.following,
        "tweet_count": user.tweets,
        "blue_verified": user.blue,
        "protected": user.state == "protected",
    }
