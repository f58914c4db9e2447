"""Which terms go with given ones, by a project's own papers. Pure: owns how terms are found and weighed.

YAKE proposes key phrases of the papers that speak of the asked terms; how much more often a phrase occurs in those
papers than in all of them, and in how many, decides its score.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import yake

from scraper.paper_title import plain_title

# Key phrases are taken from so many papers at most: those that speak of the asked terms most.
MAX_READ = 400
MAX_CHARACTERS = 4_000
PHRASES_PER_PAPER = 12
MAX_WORDS = 3
MIN_CHARACTERS = 3


def expand(
    texts: Sequence[str], request: dict[str, object], report: Callable[[int, int], None]
) -> list[dict[str, object]]:
    """`{"keyword", "score", "papers"}`, the best first; score 0 to 1. The same texts give the same terms."""
    asked = [plain_title(str(word)) for word in request["keywords"]]  # type: ignore[attr-defined]  # checked before
    limit = int(request["limit"])  # type: ignore[call-overload]  # checked before
    plain = [plain_title(text[:MAX_CHARACTERS]) for text in texts]
    related = _related(plain, [word for word in asked if word])
    if not related:
        return []
    extractor = yake.KeywordExtractor(lan="en", n=MAX_WORDS, dedupLim=0.8, top=PHRASES_PER_PAPER)
    weights: dict[str, float] = defaultdict(float)
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    read = related[:MAX_READ]
    for number, index in enumerate(read):
        if number % 10 == 0:
            report(number, len(read))
        for phrase, badness in extractor.extract_keywords(texts[index][:MAX_CHARACTERS]):
            key = plain_title(phrase)
            if _is_term(key, asked):
                weights[key] += 1 / (1 + 10 * badness)
                spellings[key][phrase] += 1
    report(len(read), len(read))
    found = _ranked(weights, plain, set(related))
    best = max((score for _, score, _ in found), default=1.0)
    spelled = {key: spellings[key].most_common(1)[0][0].lower() for key, _, _ in found[:limit]}
    return [
        {"keyword": spelled[key], "score": round(float(score / best), 4), "papers": count}
        for key, score, count in found[:limit]
    ]


def _related(plain: Sequence[str], asked: Sequence[str]) -> list[int]:
    """Papers that speak of an asked term, those that do most first; else those that have one of its words."""
    for terms in (asked, [word for term in asked for word in term.split() if len(word) > MIN_CHARACTERS]):
        patterns = [re.compile(rf"\b{re.escape(term)}") for term in terms]
        counts = [sum(len(pattern.findall(text)) for pattern in patterns) for text in plain]
        if any(counts):
            return sorted((index for index, count in enumerate(counts) if count), key=lambda i: (-counts[i], i))
    return []


def _is_term(key: str, asked: Sequence[str]) -> bool:
    """A new term: not an asked one, nor a part of one, nor a number."""
    if len(key) < MIN_CHARACTERS or key.replace(" ", "").isdigit():
        return False
    return not any(key == term or f" {key} " in f" {term} " for term in asked)


def _ranked(
    weights: dict[str, float], plain: Sequence[str], related: set[int]
) -> list[tuple[str, float, int]]:  # fmt: skip
    """(term, score, papers it occurs in among the related ones), the best first."""
    inside: Counter[str] = Counter()
    everywhere: Counter[str] = Counter()
    padded = [f" {text} " for text in plain]
    # Only the most promising are counted in all texts.
    candidates = sorted(weights, key=lambda key: (-weights[key], key))[:500]
    for index, text in enumerate(padded):
        for key in candidates:
            if f" {key} " in text:
                everywhere[key] += 1
                inside[key] += index in related
    found = []
    for key in candidates:
        count = inside[key]
        if not count:
            continue
        lift = (count / len(related)) / (everywhere[key] / len(plain))
        found.append((key, weights[key] * math.log1p(count) * math.log2(1 + lift), count))
    return sorted(found, key=lambda entry: (-entry[1], entry[0]))
