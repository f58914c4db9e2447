"""One spelling of English words, and slips of the pen. Owns: which words are one word written in two ways.

British and American spelling, singular and plural are one. A slip is a form that is no word itself: a word that is
common, in English or in the papers at hand, is never a slip of another one, however much both look alike.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from rapidfuzz.distance import OSA

from scraper.paper_vocabulary import IRREGULAR, PREFIXES

MIN_STEM = 4
SLIPS_FROM, TWO_SLIPS_FROM = 4, 7
# Zipf scale (powers of ten for a thousand million words): from here on it is a word whatever it is compared with; a
# form so much rarer than its neighbour is a misspelling that many people make.
COMMON, MUCH_RARER = 3.0, 2.0
# A shorter form may be anybody's abbreviation: it is a slip only when it is rare, and its neighbour very common.
SLIPS_OF_BOTH = 3
SHORT, RARE, VERY_COMMON = 5, 2.5, 4.0
# A form in so many different titles is a word of the field.
OCCURS_ELSEWHERE = 3
# unless another form occurs so much more often: among many papers slips are made more than once.
SLIPS_OF_A_WORD = 10
# (British or older form, American form), in the order in which they are tried.
_RULES = (
    (r"(?<=[a-z]{2})our(?=(?:s|ed|ing|able|ably|ful|less|ists?|ites?|al|ally|ers?|y|hoods?|ly|ism)?$)", "or"),
    (r"(?<=[a-z]{3})is(?=(?:e|es|ed|ing|ations?|ers?|able|ability)$)", "iz"),
    (r"(?<=[a-z]{3})ys(?=(?:e|es|ed|ing|ers?)$)", "yz"),
    (r"(cent|fib|met|lit|theat|calib|lust|spect|sab|och|mit)re(?=[sd]?$)", r"\1er"),
    (r"(?<=[aeiouy])([bcdfghjklmnprstvz]+[aeiou]|[aeiou])ll(?=(?:ings?|ed|ers?|ors?|ous|ists?)$)", r"\1l"),
    (r"^(enro|fulfi|disti|insta)l(?=(?:s|ments?)?$)", r"\1ll"),
    (r"^(ski|wi)lful", r"\1llful"),
    (r"(?<=[a-z]{2})ogue(?=s?$)", "og"),
    (r"(def|off|lic|pret)ence(?=s?$)", r"\1ense"),
    (r"ae(?!r)(?=[a-z]{2})", "e"),
    (r"^oe(?=[sdn])|(?<=[a-z])oe(?=dema)|(?<=^f)oe(?=t)|(?<=rrh)oe|(?<=^c)oe(?=li)", "e"),
    (r"^manoeuvre?", "maneuver"),
    (r"sulph", "sulf"),
    (r"^grey", "gray"),
    (r"alumini", "alumin"),
    (r"^programmes$", "programs"),
    (r"^artefact", "artifact"),
    (r"^mould", "mold"),
    (r"^plough", "plow"),
    (r"^tyre", "tire"),
    (r"^sceptic", "skeptic"),
    (r"(judg|acknowledg)ement", r"\1ment"),
)
_IRREGULAR = dict(zip(IRREGULAR.split()[::2], IRREGULAR.split()[1::2], strict=True))
_PATTERNS = tuple((re.compile(pattern), form) for pattern, form in _RULES)
# Most words have none of these, and are let through at once.
_MAY_BE_BRITISH = re.compile(
    r"our|is[eia]|ys[ei]|re[sd]?$|ll|lful|[oia]l(?:s|ments?)?$|ogue|ence|ae|oe|sulph|grey|alumini|amme|artef|mould|plough|"
    r"tyre|scept|gement"
)
_DOUBLED = re.compile(r"(.)\1")
_UMLAUTS = re.compile(r"([aou])e")
# No rule of spelling: a slip in either would not be one in the other.
_AGEING = frozenset({"aging", "ageing"})
# Where a vowel makes another word of its own: butanol and butanal, sulfate and sulfite.
_LAST_SYLLABLE = re.compile(r"[aeiouy][dlmnst]?e?s?")
_VOWELS = frozenset("aeiouy")
# Endings that people take for one another, and that make no other word.
_ENDINGS = re.compile(r"[ae](?=n(?:t|ts|tly|ce|ces|cy)$)|[ai](?=bl[ey]$|bility$)")


@lru_cache(maxsize=100_000)
def american(word: str) -> str:
    """The American form of a word in lower case; a word without one stays as it is."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or not _MAY_BE_BRITISH.search(word):
        return word
    for pattern, form in _PATTERNS:
        word = pattern.sub(form, word)
    return word


def same_word(one: str, other: str, occurrences: Callable[[str], int]) -> bool:
    """Whether two words in American form are one: in number, in the spelling of umlauts, or but for a slip.

    `occurrences`: in how many different titles a word stands.
    """
    shorter, longer = sorted((one, other), key=len)
    if longer in (shorter, f"{shorter}s", f"{shorter}es") or f"{shorter[:-1]}ies" == longer or {one, other} == _AGEING:
        return True
    # Scripts without capitals have no slips of a letter: one sign more is another word.
    if len(longer) < SLIPS_FROM or not (shorter.isalpha() and longer.isalpha() and one.islower() and other.islower()):
        return False
    if len(shorter) < len(longer) and _differ_in_umlauts(one, other):
        return True
    limit = 2 if len(longer) >= TWO_SLIPS_FROM else 1
    if OSA.distance(one, other, score_cutoff=limit) > limit or _prefixed_apart(one, other):
        return False
    words = [_is_word(form, against, occurrences) for form, against in ((one, other), (other, one))]
    if all(words) or (len(longer) < SHORT and not _is_plain_slip(one, other)):
        return False
    return _known_slip(*((other, one) if words[0] else (one, other))) if any(words) else _strange_slip(shorter, longer)


def may_be_one(one: str, other: str, occurrences: Callable[[str], int]) -> bool:
    """Whether nothing says that two words are two: they are one, or neither is a word, and both may be slips."""
    if same_word(one, other, occurrences):
        return True
    near = min(len(one), len(other)) >= SHORT and OSA.distance(one, other, score_cutoff=SLIPS_OF_BOTH) <= SLIPS_OF_BOTH
    return near and not any(_is_word(form, against, occurrences) for form, against in ((one, other), (other, one)))


def is_slip_of_filler(form: str, filler: str) -> bool:
    """One slip in a word so short that it is much of it: "adn" for "and", "ith" for "with". A single letter may name a
    part, and is none.
    """
    return len(form) > 1 < len(filler) and _zipf(form) < VERY_COMMON and OSA.distance(form, filler, score_cutoff=1) <= 1


def _differ_in_umlauts(one: str, other: str) -> bool:
    """ "ue" for "ü", unless both are English words anyway: "poets" and "pots"."""
    return _UMLAUTS.sub(r"\1", one) == _UMLAUTS.sub(r"\1", other) and min(_zipf(one), _zipf(other)) < COMMON


def _prefixed_apart(one: str, other: str) -> bool:
    """Whether they are one stem with different prefixes: interannual and intraannual."""
    for prefix in PREFIXES:
        if one.startswith(prefix):
            stem = one[len(prefix) :]
            if len(stem) >= MIN_STEM and other.endswith(stem) and other[: -len(stem)] in PREFIXES:
                return other != one
    return False


def _is_word(form: str, against: str, occurrences: Callable[[str], int]) -> bool:
    """Whether a form is a word in its own right, rather than a misspelling of the other."""
    count = occurrences(form)
    if count >= OCCURS_ELSEWHERE and count * SLIPS_OF_A_WORD >= occurrences(against):
        return True
    zipf, distance = _zipf(form), _zipf(against) - _zipf(form)
    if zipf < COMMON and distance > 1 and _DOUBLED.sub(r"\1", form) == _DOUBLED.sub(r"\1", against):
        return False  # occurence beside occurrence
    if zipf > 0 and form.startswith(against):
        return True  # carbonyl beside carbon
    return zipf >= COMMON or (zipf > 0 and distance < MUCH_RARER)


def _is_plain_slip(one: str, other: str) -> bool:
    """Of short forms: whether one is rare, and the other so common that it is no abbreviation."""
    rarer, commoner = sorted((_zipf(one), _zipf(other)))
    return rarer < RARE and commoner >= VERY_COMMON


def _known_slip(form: str, word: str) -> bool:
    """Whether a form that is no word may be a slip of the word: its first letter is right, left out, doubled or
    swapped, and no vowel is another one near its end, which makes a word that few people know (butanol and butanal).
    """
    if form[0] != word[0] and form not in word and form[1::-1] != word[:2]:
        return False
    if sorted(form) != sorted(word) and any(
        {form[place], word[place]} <= _VOWELS and _LAST_SYLLABLE.fullmatch(word, place) for place in _places(form, word)
    ):
        return _ENDINGS.sub("", form) == _ENDINGS.sub("", word)
    return True


def _strange_slip(shorter: str, longer: str) -> bool:
    """Whether two forms that nobody knows may be one word: only a letter that is left out within it, doubled, or
    swapped with its neighbour says so.
    """
    if len(shorter) == len(longer):
        return sorted(shorter) == sorted(longer)
    if len(longer) - len(shorter) > 1:
        return False
    place = next((index for index, letter in enumerate(shorter) if letter != longer[index]), len(shorter))
    return longer[place] == longer[place - 1] if place in (0, len(shorter)) else shorter[:1] == longer[:1]


def _places(one: str, other: str) -> list[int]:
    """Where two words of one length differ."""
    if len(one) != len(other):
        return []
    return [place for place, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]]


@lru_cache(maxsize=100_000)
def _zipf(word: str) -> float:
    # Only few runs of the comparison need it, and it takes some 30 MB.
    from wordfreq import zipf_frequency

    return float(zipf_frequency(word, "en", wordlist="large"))
