"""many.py - lives of many people at once: who look alike, sit behind one address, or come in the same minute.

Law: as in open_page.py. A crowd has a time of arrival and one look or many; whoever comes does what one does who comes for one page.
"""

from __future__ import annotations

from typing import Any

from life.hand import ANDROID, BROKEN, CHROME, CHROMEBOOK, DAY, HOUR, INSTAGRAM, IPHONE, Hand, Life, Lived, Scene

from training.corpus import site


def visit(
    scene: Scene, at: float, *, came: str | None = "", pages: int = 0, number: int = 1, slow: float = 1.0, **how: Any
) -> Hand:
    """One of them: the page (`came`: its referrer, None for a search's), and perhaps some more."""
    hand = Hand(scene, at=at, hurry=slow, **how)
    source = site.outside(hand.look.visit, scene.rng) if came is None else came
    hand.open(number, source)
    if pages:
        hand.wait(scene.rng.lognormvariate(3.5, 0.8))
        hand.reading(pages)
    return hand


def more(scene: Scene) -> int:
    return 0 if scene.rng.random() < 0.7 else scene.rng.randint(1, 5)


def many_phones_one_address(scene: Scene) -> Lived:
    """500 people with the same telephone behind one address of their network, over three hours."""
    ip = site.address(scene.rng)
    for _ in range(500):
        yield visit(
            scene,
            scene.start + scene.rng.uniform(0, 3 * HOUR),
            agent=IPHONE,
            ip=ip,
            came=None,
            number=scene.place.popular(scene.rng),
            pages=more(scene),
            language=scene.place.language,
        )


def class_at_once(scene: Scene) -> Lived:
    """Thirty computers of a school, all alike, behind one address, type one address in the same minute; then they work."""
    ip = site.address(scene.rng)
    for _ in range(30):
        yield visit(
            scene,
            scene.start + scene.rng.uniform(0, 60),
            agent=CHROMEBOOK,
            ip=ip,
            pages=6,
            language=scene.place.language,
        )


def class_with_nothing_cached(scene: Scene) -> Lived:
    """The same as guests: nothing is kept, and a slow line."""
    ip = site.address(scene.rng)
    for _ in range(30):
        yield visit(
            scene,
            scene.start + scene.rng.uniform(0, 20),
            agent=CHROMEBOOK,
            ip=ip,
            pages=6,
            slow=15.0,
            cookies=False,
            language=scene.place.language,
        )


def company(scene: Scene) -> Lived:
    """200 people of a company behind one address, over a morning, with much in their caches."""
    ip = site.address(scene.rng)
    for _ in range(200):
        yield visit(scene, scene.start + scene.rng.uniform(0, 4 * HOUR), ip=ip, known=True, number=0, pages=more(scene))


def conference(scene: Scene) -> Lived:
    """300 people in one network, within half an hour."""
    net = f"87.{scene.rng.randint(1, 250)}.{scene.rng.randint(1, 250)}"
    for _ in range(300):
        yield visit(
            scene,
            scene.start + scene.rng.uniform(0, HOUR / 2),
            ip=f"{net}.{scene.rng.randint(1, 254)}",
            pages=more(scene),
        )


def crowd(scene: Scene, count: int, seconds: float, **how: Any) -> Lived:
    for _ in range(count):
        yield visit(
            scene, scene.start + scene.rng.uniform(0, seconds), pages=more(scene), language=scene.place.language, **how
        )


def flash_crowd(scene: Scene) -> Lived:
    """3,000 people with one browser on one page within ten minutes, without a referrer."""
    yield from crowd(scene, 3000, 600, agent=CHROME)


def newsletter(scene: Scene) -> Lived:
    """2,000 people by the link of a letter, within an hour; most in the first minutes."""
    for _ in range(2000):
        yield visit(
            scene,
            scene.start + min(HOUR, scene.rng.expovariate(1 / 600)),
            agent=IPHONE,
            pages=more(scene),
            language=scene.place.language,
        )


def code_on_television(scene: Scene) -> Lived:
    """2,000 people with one telephone scan a code within twenty seconds; the site takes seconds to answer."""
    yield from crowd(scene, 2000, 20, agent=IPHONE, slow=12.0)


def push_message(scene: Scene) -> Lived:
    """600 people with one telephone tap on a message within four seconds."""
    yield from crowd(scene, 600, 4, agent=ANDROID, slow=4.0)


def within_application(scene: Scene) -> Lived:
    """1,500 people open one page in the browser of a social network's application."""
    yield from crowd(scene, 1500, 900, agent=INSTAGRAM, came="https://l.instagram.com/")


def site_breaks_down(scene: Scene) -> Lived:
    """2,000 people with one browser; for the first five of ten minutes all they get is 502, and they try again."""
    for _ in range(2000):
        at = scene.start + scene.rng.uniform(0, 600)
        hand = Hand(scene, agent=CHROME, at=at, language=scene.place.language)
        while hand.now < scene.start + 300 and len(hand.asks) < 6:
            hand.ask("page", scene.place.pages[1].path, answer=BROKEN, referrer="", page=False)
            hand.wait(scene.rng.uniform(3, 60))
        if hand.now >= scene.start + 300:
            hand.open(1, "")
        yield hand


def _regulars(scene: Scene, agent: str | None) -> Lived:
    """Members of a site, with all its parts in their caches: they open its front page, and at times one more."""
    for _ in range(800):
        hand = Hand(
            scene, agent=agent, at=scene.start + scene.rng.uniform(0, DAY / 4), known=True, icon=False, calls=False
        )
        hand.browsing.kept |= {part.path for page in scene.place.pages for part in page.parts}
        hand.typed(0)
        if scene.rng.random() < 0.4:
            hand.wait(scene.rng.lognormvariate(3.5, 0.8))
            hand.link()
        yield hand


def regulars(scene: Scene) -> Lived:
    """800 members of a site over a morning, with all its parts in their caches: a page or two each."""
    yield from _regulars(scene, None)


def regulars_after_restart(scene: Scene) -> Lived:
    """The same, all with one browser."""
    yield from _regulars(scene, CHROME)


def ticket_sale(scene: Scene) -> Lived:
    """1,000 people wait for a sale, and load one page again each few seconds."""
    agents = [scene.fashion().agent for _ in range(6)]
    for _ in range(1000):
        hand = Hand(scene, agent=scene.rng.choice(agents), at=scene.start + scene.rng.uniform(0, 300))
        hand.found(1)
        for _ in range(12):
            hand.wait(scene.rng.uniform(1, 8))
            hand.open(1, again=True)
        yield hand


LIVES: dict[str, Life] = {
    life.__name__: life
    for life in (
        many_phones_one_address, class_at_once, class_with_nothing_cached, company, conference, flash_crowd, newsletter, code_on_television,
        push_message, within_application, site_breaks_down, regulars, regulars_after_restart, ticket_sale,
    )
}  # fmt: skip
