"""texts.py - long texts of a request: queries (queries.tsv), cookies, tokens.

Law: how long they are, and of how many parts, is drawn here for both classes alike: no length and no count tells them.
Their lengths have heavy tails: most are short, some run to several kilobytes.
"""

from __future__ import annotations

import random

from training.corpus.tables import Blanks, draw

# fmt: off
WORDS = """
about account album answers api archive article articles author baking beach blog board books bridge calendar cars cart
catalog category chapter checkout city classic coffee comments company contact cooking courses delivery demo design
detail docs download drive editor energy events faq film finance first fitness forum gallery games garden gift green
guide harbour health help history home hotel house index info install issue items jobs journal kids kitchen language
latest learn legal library list local login manual maps market media members menu mobile music nature news notes offers
order overview page people photo photos places plans poems post posts press prices privacy product products profile
project radio readme recipe region release report review river sale school science search season section series service
setup shop shows site small software space sport stories story student summer support tags team terms text ticket topic
tours town training travel tutorial update user users video view village water weather wiki winter words work world
writing
""".split()
KEYS = ["id", "p", "page", "q", "lang", "sort", "ref", "cat", "s", "v", "utm_source", "fbclid"]
JARS = ["_ga", "PHPSESSID", "sid", "lang", "csrftoken", "cookieconsent", "wp-settings-time-1", "session", "theme", "_gid",
        "_fbp", "_gcl_au", "JSESSIONID", "cf_clearance", "__cf_bm", "XSRF-TOKEN", "laravel_session", "_hjSessionUser",
        "ajs_anonymous_id", "OptanonConsent", "intercom-id", "wordpress_logged_in", "consent", "cart", "AWSALB", "nc"]
ALPHABETS = {
    "hex": "0123456789abcdef",
    "num": "0123456789",
    "b64": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
}
# Percent-encoded text: what stands between the letters of an address or of base64 when it is a value itself.
ENCODED = ["%2F", "%2F", "%3A", "%3D", "%20", "%26", "%2B", "%22", "%7B", "%2C"]
# fmt: on


def between(least: int, most: int, rng: random.Random) -> int:
    """A length from `least` to `most`, by its logarithm."""
    return least if least == most else round(least * (most / least) ** rng.random())


def tail(most: int, rng: random.Random) -> int:
    """A count from 1 to `most` with a heavy tail."""
    return min(int(rng.paretovariate(0.9)), most)


def token(kind: str, length: int, rng: random.Random) -> str:
    """Text of `length` letters of an alphabet: `hex`, `num`, `b64`, or `enc` (percent-encoded text)."""
    if kind == "enc":
        parts = [rng.choice(WORDS) + rng.choice(ENCODED) for _ in range(length // 6 + 1)]
        return "".join(parts)[:length].rstrip("%")
    return "".join(rng.choices(ALPHABETS[kind], k=length))


def blanks(rng: random.Random, **known: str) -> Blanks:
    """Blanks of templates: a word, several, a host, a uuid, and {kind_least_most} for a token."""

    def make(key: str) -> str:
        if key == "word":
            return rng.choice(WORDS)
        if key == "words":
            return rng.choice(["+", "%20", "_", "-"]).join(rng.choices(WORDS, k=rng.randint(2, 6)))
        if key == "host":
            return "".join(rng.sample(WORDS, 2)) + ".example"
        if key == "uuid":
            return "-".join(token("hex", length, rng) for length in (8, 4, 4, 4, 12))
        kind, least, most = key.split("_")
        return token(kind, between(int(least), int(most), rng), rng)

    return Blanks(make, **known)


def known_query(group: str, rng: random.Random) -> str:
    """A query as such a page's life brings it; `group` is one of queries.tsv."""
    return draw("queries.tsv", rng, group)[0].format_map(blanks(rng))


def any_query(rng: random.Random) -> str:
    """Parameters of no purpose that we know: one to 80, some of them long, some without a value."""

    def parameter() -> str:
        chance = rng.random()
        key = rng.choice(KEYS) if chance < 0.6 else token("hex", rng.randint(1, 6), rng)
        if chance > 0.97:
            return rng.choice([key, ""])
        value = rng.choice(
            [
                str(rng.randint(1, 9999)),
                rng.choice(WORDS),
                token(rng.choice(["b64", "hex", "enc"]), tail(600, rng), rng),
            ]
        )
        return f"{key}={value}"

    return "&".join(parameter() for _ in range(tail(80, rng)))


def query(group: str, rng: random.Random) -> str:
    """A query that starts with `?`, or none."""
    chance = rng.random()
    if chance < 0.66:
        return ""
    return "?" + (known_query(group, rng) if chance < 0.82 else any_query(rng))


def cookies(rng: random.Random) -> str:
    """The cookies that a site's visitor has, one to 40: a few hundred bytes mostly, at times kilobytes."""
    names = rng.sample(JARS, min(tail(len(JARS), rng), len(JARS)))
    names += [
        f"{rng.choice(JARS)}_{token('hex', rng.randint(2, 12), rng)}" for _ in range(rng.choice([0, 0, 1, 4, 14]))
    ]
    return "; ".join(f"{name}={token('b64', between(1, 24 * tail(40, rng), rng), rng)}" for name in names)
