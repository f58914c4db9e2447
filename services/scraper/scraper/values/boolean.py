"""What a text says of yes and no. Owns: the words of languages and shops. Must not know documents."""

from scraper.executor import Json
from scraper.values.hints import Unread, unreadable
from scraper.values.languages import plain_word

NEITHER = unreadable("it says neither yes nor no")
TRUE = frozenset(map(plain_word, (
    "true", "yes", "on", "1", "y", "t", "ja", "oui", "si", "sí", "sim", "da", "tak", "ano", "áno", "igen",
    "kyllä", "jah", "jā", "taip", "evet", "ναι", "да", "так", "є", "有", "是", "はい", "あり", "예", "네", "نعم", "כן",
    "हाँ", "có", "ya", "✓", "✔", "☑", "✅", "checked", "selected", "enabled", "active", "available", "in stock",
    "instock", "instoreonly", "onlineonly", "limitedavailability", "auf lager", "lieferbar", "vorrätig",
    "verfügbar", "en stock", "disponible", "disponibile", "disponível", "em estoque", "op voorraad", "på lager",
    "i lager", "dostępny", "skladem", "в наличии", "有货", "在庫あり", "wahr", "vrai",
)))  # fmt: skip
FALSE = frozenset(map(plain_word, (
    "false", "no", "off", "0", "n", "f", "nein", "non", "não", "nie", "ne", "nem", "ei", "nee", "nej", "nei",
    "nu", "hayır", "όχι", "нет", "ні", "не", "否", "没有", "いいえ", "なし", "아니요", "아니오", "لا", "לא",
    "नहीं", "không",
    "tidak", "✗", "✘", "☒", "❌", "unchecked", "disabled", "inactive", "unavailable", "not available",
    "out of stock", "outofstock", "soldout", "sold out", "discontinued", "nicht auf lager", "ausverkauft",
    "vergriffen", "nicht verfügbar", "nicht lieferbar", "en rupture de stock", "rupture de stock", "épuisé",
    "indisponible", "agotado", "no disponible", "sin existencias", "esaurito", "non disponibile",
    "indisponível", "esgotado", "niet op voorraad", "uitverkocht", "udsolgt", "slutsåld", "niedostępny",
    "vyprodáno", "нет в наличии", "缺货", "在庫なし", "falsch", "faux",
)))  # fmt: skip


def as_boolean(value: Json) -> bool | Unread | None:
    """A value of JSON or a text as yes or no; addresses of schema.org count by their last part."""
    if isinstance(value, bool):
        return value
    text = " ".join(str(value).split())
    if text.startswith(("http://schema.org/", "https://schema.org/", "schema:")):
        text = text.replace(":", "/").rpartition("/")[2]
    word = plain_word(text)
    return True if word in TRUE else False if word in FALSE else NEITHER
