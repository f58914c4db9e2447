"""Users and tweets in X's GraphQL shapes, the newer and the older. Owns: the spelling of X's answers. Must not know
timelines or HTTP.
"""

from datetime import datetime
from typing import Any

from simulators.x.world import Tweet, User, World

Json = dict[str, Any]
CUT_AT = 140


def time_of(moment: datetime) -> str:
    """A time as X writes it."""
    return moment.strftime("%a %b %d %H:%M:%S +0000 %Y")


class Shapes:
    """Tells the world's people and tweets. `shape`: new | old | mixed (each user has one of the two)."""

    def __init__(self, world: World, shape: str = "mixed") -> None:
        self._world = world
        self.shape = shape

    def is_old(self, user: User) -> bool:
        """Whether that user is told in the older shape."""
        return self.shape == "old" or (self.shape == "mixed" and user.old_shape)

    def user(self, user: User) -> Json:
        """`user_results.result`."""
        if user.state == "suspended":
            return {"__typename": "UserUnavailable", "message": "User is suspended", "reason": "Suspended"}
        return self._old_user(user) if self.is_old(user) else self._new_user(user)

    def _new_user(self, user: User) -> Json:
        pinned = self._world.pinned.get(user.id)
        return {
            "__typename": "User",
            "rest_id": user.id,
            "id": f"VXNlcjo{user.id}",
            "is_blue_verified": user.blue,
            "core": {"created_at": time_of(user.created), "name": user.name, "screen_name": user.username},
            "avatar": {"image_url": f"/media/{user.username}.png"},
            "location": {"location": ""},
            "privacy": {"protected": user.state == "protected"},
            "profile_bio": {"description": user.description, "entities": {"description": {}}},
            "relationship_counts": {"followers": user.followers, "following": user.following},
            "tweet_counts": {"media_tweets": 3, "tweets": user.tweets},
            "verification": {"verified": False},
            "pinned_items": {"tweet_ids_str": [pinned] if pinned else []},
            "website": {"url": ""},
        }

    def _old_user(self, user: User) -> Json:
        pinned = self._world.pinned.get(user.id)
        return {
            "__typename": "User",
            "rest_id": user.id,
            "id": f"VXNlcjo{user.id}",
            "is_blue_verified": user.blue,
            "legacy": {
                "created_at": time_of(user.created),
                "name": user.name,
                "screen_name": user.username,
                "description": user.description,
                "entities": {"description": {"urls": []}},
                "followers_count": user.followers,
                "friends_count": user.following,
                "statuses_count": user.tweets,
                "media_count": 3,
                "favourites_count": 12,
                "listed_count": 4,
                "location": "",
                "protected": user.state == "protected",
                "verified": False,
                "pinned_tweet_ids_str": [pinned] if pinned else [],
                "profile_image_url_https": f"/media/{user.username}.png",
            },
        }

    def tweet(self, tweet_id: str) -> Json:
        """`tweet_results.result`."""
        tweet = self._world.tweets[tweet_id]
        told = self._plain(tweet)
        if tweet.kind == "limited":
            return {
                "__typename": "TweetWithVisibilityResults",
                "tweet": {name: value for name, value in told.items() if name != "__typename"},
                "limitedActionResults": {"limited_actions": [{"action": "Reply"}]},
            }
        return told

    def _plain(self, tweet: Tweet) -> Json:
        author = self._world.users[tweet.author]
        told: Json = {
            "__typename": "Tweet",
            "rest_id": tweet.id,
            "core": {"user_results": {"result": self.user(author)}},
            "views": {"count": str(tweet.likes * 40), "state": "EnabledWithCount"},
            "source": "Simulated Web App",
            "is_translatable": False,
            "legacy": self._legacy(tweet),
        }
        if tweet.kind == "long":
            told["note_tweet"] = {
                "is_expandable": True,
                "note_tweet_results": {
                    "result": {"id": f"Tm90ZQ{tweet.id}", "text": tweet.text, "entity_set": _entities(tweet)}
                },
            }
        if tweet.kind == "poll":
            told["card"] = _poll(tweet, as_list=not self.is_old(author))
        if tweet.quoted is not None:
            told["quoted_status_result"] = {"result": self.tweet(tweet.quoted)}
        if tweet.kind == "quote_gone":
            told["quoted_status_result"] = {"result": tombstone("This Post was deleted by the Post author.")}
        if tweet.retweeted is not None:
            told["legacy"]["retweeted_status_result"] = {"result": self.tweet(tweet.retweeted)}
        return told

    def _legacy(self, tweet: Tweet) -> Json:
        legacy: Json = {
            "id_str": tweet.id,
            "user_id_str": tweet.author,
            "conversation_id_str": tweet.replied or tweet.id,
            "created_at": time_of(tweet.created),
            "full_text": tweet.text[: CUT_AT * 2],
            "lang": tweet.lang,
            "entities": _entities(tweet),
            "favorite_count": tweet.likes,
            "retweet_count": tweet.likes // 9,
            "reply_count": tweet.likes // 30,
            "quote_count": tweet.likes // 80,
            "bookmark_count": tweet.likes // 50,
            "is_quote_status": tweet.kind in ("quote", "quote_gone"),
            "possibly_sensitive": False,
        }
        if tweet.replied is not None:
            answered = self._world.tweets[tweet.replied]
            legacy |= {
                "in_reply_to_status_id_str": answered.id,
                "in_reply_to_user_id_str": answered.author,
                "in_reply_to_screen_name": self._world.users[answered.author].username,
            }
        if tweet.quoted is not None:
            legacy["quoted_status_id_str"] = tweet.quoted
        if tweet.retweeted is not None:
            original = self._world.tweets[tweet.retweeted]
            name = self._world.users[original.author].username
            legacy["full_text"] = f"RT @{name}: {original.text}"[:CUT_AT] + "…"
        if tweet.kind in ("media", "video"):
            legacy["extended_entities"] = {"media": [_medium(tweet)]}
        return legacy


def tombstone(text: str) -> Json:
    """What stands where a tweet was."""
    return {"__typename": "TweetTombstone", "tombstone": {"__typename": "TextTombstone", "text": {"text": text}}}


def _entities(tweet: Tweet) -> Json:
    return {
        "hashtags": [{"indices": [0, 1], "text": tag} for tag in tweet.tags],
        "symbols": [],
        "urls": [],
        "user_mentions": [],
    }


def _medium(tweet: Tweet) -> Json:
    medium: Json = {
        "id_str": tweet.id,
        "media_url_https": f"/media/{tweet.id}.jpg",
        "type": "photo",
        "original_info": {"width": 1200, "height": 800},
        "ext_alt_text": "A quay in the morning",
    }
    if tweet.kind == "video":
        variants = [
            {"content_type": "application/x-mpegURL", "url": f"/media/{tweet.id}.m3u8"},
            *(
                {"bitrate": rate, "content_type": "video/mp4", "url": f"/media/{tweet.id}-{rate}.mp4"}
                for rate in (256_000, 2_176_000, 832_000)
            ),
        ]
        medium |= {"type": "video", "video_info": {"duration_millis": 14_000, "variants": variants}}
    return medium


def _poll(tweet: Tweet, *, as_list: bool) -> Json:
    values: Json = {
        "end_datetime_utc": {"string_value": "2026-03-01T00:00:00Z", "type": "STRING"},
        "counts_are_final": {"boolean_value": True, "type": "BOOLEAN"},
    }
    for number, (label, votes) in enumerate(tweet.poll, 1):
        values[f"choice{number}_label"] = {"string_value": label, "type": "STRING"}
        values[f"choice{number}_count"] = {"string_value": str(votes), "type": "STRING"}
    bindings: Any = [{"key": key, "value": value} for key, value in values.items()] if as_list else values
    return {"legacy": {"name": f"poll{len(tweet.poll)}choice_text_only", "binding_values": bindings}}
