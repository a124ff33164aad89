"""page_by_page.py - lives of one person at one browser who opens page after page.

Law: a function's docstring is what somebody does; nothing in it is chosen for what a row would say.
"""

from __future__ import annotations

from life.hand import BROKEN, HOUR, JSON, KNOWN, NEW, Answer, Hand, Life, alone


def long_form(hand: Hand) -> None:
    """A form of sixty steps, each sent and followed by the next page."""
    hand.found(1)
    for step in range(60):
        hand.wait(hand.rng.lognormvariate(2.8, 0.6))
        hand.ask("post", f"/application/step/{step}", method="POST", answer=Answer(303, 0, "text/html"))
        hand.ask("page", f"/application/step/{step + 1}", answer=Answer(200, 9000, "text/html"))


def gallery(hand: Hand) -> None:
    """Clicks through four hundred pages of photographs, three in a second."""
    hand.found(0)
    for number in range(400):
        hand.ask("page", f"/photos/{number}", answer=Answer(200, 4000, "text/html"))
        hand.ask("image", f"/photos/full/{number}.jpg", answer=Answer(200, 90_000, "image/jpeg"))
        hand.wait(hand.rng.uniform(0.2, 0.5))


def tabs_restored(hand: Hand) -> None:
    """Starts the browser with forty tabs of one site."""
    for number in hand.rng.sample(range(len(hand.place.pages)), min(40, len(hand.place.pages))):
        hand.typed(number)
        hand.wait(0.05)


def all_in_tabs(hand: Hand) -> None:
    """Opens a folder of twenty bookmarks at once, each morning of three days."""
    own = hand.rng.sample(range(len(hand.place.pages)), min(20, len(hand.place.pages)))
    for _ in range(3):
        for number in own:
            hand.typed(number)
            hand.wait(0.1)
        hand.wait(22 * HOUR)


def first_links(hand: Hand) -> None:
    """On a new telephone: eight links of one site from a mail, ten seconds each."""
    for number in hand.rng.sample(range(len(hand.place.pages)), 8):
        hand.typed(number)
        hand.wait(hand.rng.uniform(4, 20))


def reload_storm(hand: Hand) -> None:
    """Presses F5 for a minute, as nothing seems to change."""
    hand.found(0)
    for _ in range(90):
        hand.wait(hand.rng.uniform(0.4, 0.9))
        hand.open(0, again=True)


def reload_of_errors(hand: Hand) -> None:
    """Presses F5 for five minutes at a site that answers with 502, then it is there."""
    hand.found(0)
    hand.answered(BROKEN)
    hand.asks = hand.asks[:1]
    for _ in range(100):
        hand.wait(hand.rng.uniform(1, 5))
        hand.ask("page", "/", answer=BROKEN, referrer="")
    hand.reading(10)


def login_mistyped(hand: Hand) -> None:
    """Cannot remember the password: ten tries, the fields' page each time again."""
    hand.typed(0)
    for _ in range(10):
        hand.ask("page", hand.place.login)
        hand.wait(hand.rng.uniform(4, 20))
        hand.ask("post", hand.place.login, method="POST", answer=Answer(200, 3000, "text/html"))


def admin_desk(hand: Hand) -> None:
    """Keeps a site by its administration: pages of scripts with queries, a heartbeat each quarter of a minute, a day long."""
    hand.typed(0)
    hand.ask("post", "/wp-login.php", method="POST", answer=Answer(302, 0, "text/html"))
    for number in range(150):
        what = hand.rng.choice(
            ["post.php?post={}&action=edit", "edit.php?paged={}", "upload.php?item={}", "admin.php?page=stats&day={}"]
        )
        hand.ask("page", "/wp-admin/" + what.format(number), answer=Answer(200, 90_000, "text/html"))
        hand.ask(
            "script",
            f"/wp-admin/load-scripts.php?c=1&load={number % 5}",
            answer=Answer(200, 9000, "application/javascript"),
        )
        hand.series("send", "/wp-admin/admin-ajax.php", hand.rng.randint(1, 14), 15, method="POST", answer=JSON)


def code_review(hand: Hand) -> None:
    """Reviews code: a hundred pages of one project with everything cached, and notes that a script asks for each minute."""
    hand.typed(1)
    for number in range(100):
        hand.ask(
            "page",
            f"/group/project/-/merge_requests/{number % 9}/diffs?commit_id={number:08x}",
            answer=Answer(200, 90_000, "text/html"),
        )
        hand.series("fetch", "/group/project/noteable/1/notes", hand.rng.randint(0, 4), 60, again=True, answer=JSON)
        hand.wait(hand.rng.lognormvariate(3, 1))


def downloads_by_hand(hand: Hand) -> None:
    """Saves three hundred papers, one after another, from one list."""
    hand.found(0)
    for number in range(300):
        hand.wait(hand.rng.uniform(2, 9))
        hand.ask("download", f"/papers/{number}.pdf", answer=Answer(200, 400_000, "application/pdf"))


def print_previews(hand: Hand) -> None:
    """Opens forty articles as they are printed, each from the article."""
    hand.found()
    for _ in range(40):
        number = hand.link()
        hand.wait(hand.rng.uniform(3, 9))
        hand.ask("page", hand.place.pages[number].path + "?print=1", answer=Answer(200, 9000, "text/html"))
        hand.wait(hand.rng.uniform(5, 20))


def drop_checker(hand: Hand) -> None:
    """Waits for something to be sold: loads one page again each three seconds, for half an hour."""
    hand.found(3)
    for _ in range(600):
        hand.wait(hand.rng.uniform(1.5, 5))
        hand.open(3, again=True)


def kiosk(hand: Hand) -> None:
    """A screen in a hall that loads one page each half a minute, for days."""
    hand.typed(0)
    hand.series("page", "/", 4000, 30.0, answer=Answer(200, 9000, "text/html"))


def signage(hand: Hand) -> None:
    """A screen that shows twelve pages in turn, fifteen seconds each, for a day."""
    hand.each(15.0, 4000, lambda n: hand.open(n % 12))


def signage_few(hand: Hand) -> None:
    """The same with three pages, a minute each, each opened by the player as if typed."""
    hand.each(60.0, 1000, lambda n: hand.typed(n % 3))


def manual(hand: Hand) -> None:
    """Works with a manual for an afternoon: two hundred pages, nothing to load for any of them, as all is in the cache."""
    hand.found(0)
    for number in range(200):
        hand.ask("page", f"/manual/section-{number * 7 % 180}", answer=Answer(200, 20_000, "text/html"))
        hand.wait(hand.rng.lognormvariate(3.5, 1.2))


def reader_mode(hand: Hand) -> None:
    """Reads twelve articles in the browser's plain view, which asks for the page and its pictures."""
    hand.found()
    for _ in range(12):
        hand.wait(hand.rng.lognormvariate(4, 0.8))
        hand.typed()


def private_reader(hand: Hand) -> None:
    """Keeps no cookies and tells no referrer; reads for half an hour."""
    hand.typed()
    hand.reading(20)


def nothing_loaded(hand: Hand) -> None:
    """Lets no site load anything but its pages, nor keep cookies; reads six pages."""
    hand.found()
    hand.reading(5)


def nothing_loaded_but_cookies(hand: Hand) -> None:
    """Loads pages alone, keeps cookies; reads thirty."""
    hand.found()
    hand.reading(29)


def address_moves(hand: Hand) -> None:
    """Reads on a train: each few requests come from another address of the telephone network."""
    hand.found()
    hand.reading(25)
    addresses = [
        f"100.{hand.rng.randint(64, 127)}.{hand.rng.randint(0, 255)}.{hand.rng.randint(1, 254)}" for _ in range(12)
    ]
    addresses = [address.replace("100.", "87.", 1) for address in addresses]
    ip = addresses[0]
    for number, ask in enumerate(hand.asks):
        ip = hand.rng.choice(addresses) if hand.rng.random() < 0.2 else ip
        hand.asks[number] = ask._replace(ip=ip)


def comparer(hand: Hand) -> None:
    """Compares prices: comes from a list of another site to ten things here, and goes back to it each time."""
    for _ in range(10):
        hand.found()
        hand.wait(hand.rng.lognormvariate(3, 0.7))


def news_follower(hand: Hand) -> None:
    """Comes by a social network, fifteen articles over a day."""
    for _ in range(15):
        hand.found()
        hand.wait(hand.rng.uniform(0.1, 1.6) * HOUR)


def mail_links(hand: Hand) -> None:
    """Opens eight links of a mail each day, from a program that tells no referrer, four seconds apart."""
    for _ in range(2):
        for number in hand.rng.sample(range(len(hand.place.pages)), 8):
            hand.typed(number)
            hand.wait(hand.rng.uniform(2, 6))
        hand.wait(23 * HOUR)


def feed_clicks(hand: Hand) -> None:
    """Opens articles from a reader of feeds, without a referrer, twenty over an evening; was here before."""
    for _ in range(20):
        hand.typed()
        hand.wait(hand.rng.lognormvariate(4, 1))


def log_search(hand: Hand) -> None:
    """Searches by pages with a query, all parts of which are cached: sixty times, refining the question."""
    hand.typed(0)
    for number in range(60):
        hand.ask("page", f"/search?q=error+{number // 4}&page={number % 4}", answer=Answer(200, 9000, "text/html"))
        hand.wait(hand.rng.lognormvariate(2.2, 0.9))


def catalogue_filters(hand: Hand) -> None:
    """Narrows a list of goods: eighty pages with a query, ten new pictures each."""
    hand.found(0)
    for number in range(80):
        hand.ask(
            "page",
            f"/list?colour={number % 9}&size={number % 7}&page={number % 5}",
            answer=Answer(200, 9000, "text/html"),
        )
        hand.each(
            0.03,
            10,
            lambda n, number=number: hand.ask(
                "image", f"/media/{number * n % 97}.webp", answer=Answer(200, 20_000, "image/webp")
            ),
        )
        hand.wait(hand.rng.lognormvariate(1.8, 0.8))


def hard_reloads(hand: Hand) -> None:
    """Tests a site: loads one page past the cache sixty times."""
    hand.typed(1)
    for _ in range(60):
        hand.browsing.kept.clear()
        hand.open(1)
        hand.wait(hand.rng.uniform(2, 30))


def prefetched(hand: Hand) -> None:
    """Moves the pointer over links, and the browser fetches sixty pages before anybody opens them."""
    hand.found(0)
    for _ in range(60):
        hand.open(hand.rng.choice(hand.place.pages[0].links), kind="prefetch")
        hand.wait(hand.rng.uniform(0.2, 5))
    hand.reading(8)


def sign_on_elsewhere(hand: Hand) -> None:
    """Signs in by another site each morning and noon: away, and back from there to a page with a code."""
    for number in range(12):
        hand.ask(
            "page",
            f"/oauth2/callback?code={number:032x}&state=1",
            referrer="https://login.microsoftonline.example/",
            page=False,
            answer=Answer(302, 0, "text/html"),
        )
        hand.open(number % 6, "https://login.microsoftonline.example/")
        hand.polls("fetch", "/api/state", 30.0, 0.1)
        hand.wait(4 * HOUR)


LIVES: dict[str, Life] = {
    live.__name__: alone(live, **how)
    for live, how in (
        (long_form, NEW), (gallery, NEW), (tabs_restored, KNOWN), (all_in_tabs, KNOWN), (first_links, NEW), (reload_storm, NEW),
        (reload_of_errors, NEW), (login_mistyped, NEW), (admin_desk, KNOWN), (code_review, KNOWN), (downloads_by_hand, NEW),
        (print_previews, NEW), (drop_checker, NEW), (kiosk, KNOWN), (signage, KNOWN), (signage_few, KNOWN), (manual, KNOWN),
        (address_moves, NEW), (comparer, NEW), (news_follower, NEW), (mail_links, NEW), (feed_clicks, KNOWN), (log_search, KNOWN),
        (catalogue_filters, NEW), (hard_reloads, NEW), (prefetched, NEW), (sign_on_elsewhere, KNOWN),
        (reader_mode, {"loads": ("image",), "calls": False, "icon": False}),
        (private_reader, {"cookies": False, "referrers": False, "keeps": False}),
        (nothing_loaded, {"cookies": False, "loads": (), "icon": False, "calls": False}),
        (nothing_loaded_but_cookies, {"loads": (), "icon": False, "calls": False}),
    )
} | {
    "gallery_without_cookie": alone(gallery, cookies=False),
    "manual_without_cookie": alone(manual, cookies=False, known=True),
    "private_searcher": alone(log_search, cookies=False, referrers=False, keeps=False),
    "no_scripts": alone(private_reader, cookies=False, loads=("style", "image", "font"), calls=False),
    "text_browser": alone(
        private_reader, agent="Lynx/2.9.2 libwww-FM/2.14 SSL-MM/1.4.1 OpenSSL/3.5.0", loads=(), keeps=False, icon=False, calls=False
    ),
}  # fmt: skip
