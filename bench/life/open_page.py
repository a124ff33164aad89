"""open_page.py - lives of one person at one browser whose page stays open, and whose scripts ask for what they need.

Law: a function's docstring is what somebody does; nothing in it is chosen for what a row would say.
"""

from __future__ import annotations

from life.hand import BROKEN, DONE, HOUR, JSON, KNOWN, LOST, NEW, TV, Answer, Hand, Life, alone


def dashboard(hand: Hand) -> None:
    """Leaves a dashboard open that asks each second, for a working day."""
    hand.typed(0)
    hand.polls("fetch", "/api/state", 1.0, 8)


def long_poll(hand: Hand) -> None:
    """A page that waits for news by requests of half a minute, overnight."""
    hand.found()
    hand.polls("fetch", "/api/wait", 28.0, 12, answer=DONE)


def events_again(hand: Hand) -> None:
    """A stream of events that breaks off each three seconds, for two hours."""
    hand.found()
    hand.polls("events", "/events", 3.0, 2, answer=BROKEN)


def chat_storm(hand: Hand) -> None:
    """A chat whose socket breaks off; its script tries again each second, then each thirty."""
    hand.typed(0)
    hand.polls("socket", "/ws", 1.0, 0.2, answer=BROKEN)
    hand.polls("socket", "/ws", 30.0, 3, answer=BROKEN)


def autosave(hand: Hand) -> None:
    """Writes a text for an hour; it is saved each two seconds."""
    hand.typed(1)
    hand.polls("send", "/api/texts/7", 2.0, 1, method="PUT", answer=JSON)


def map_of_pictures(hand: Hand) -> None:
    """A map that is dragged about: pictures without an ending, two hundred in a second."""
    hand.found(0)
    for move in range(30):
        hand.wait(hand.rng.uniform(1, 6))
        hand.series("image", f"/tiles/14/{move}/{{}}", 60, 0.005, answer=Answer(200, 9000, "image/png"))


def map_of_data(hand: Hand) -> None:
    """The same with tiles that a script asks for."""
    hand.found(0)
    for move in range(30):
        hand.wait(hand.rng.uniform(1, 6))
        hand.series("fetch", f"/tiles/14/{move}/{{}}", 60, 0.005, answer=Answer(200, 9000, "application/x-protobuf"))


def endless_list(hand: Hand) -> None:
    """Scrolls a list that never ends: one more piece and ten pictures each two seconds."""
    hand.found(0)
    for piece in range(200):
        hand.ask("fetch", f"/api/list?page={piece}", answer=JSON)
        hand.series("image", f"/media/{piece}-{{}}.webp", 10, 0.02, answer=Answer(200, 30_000, "image/webp"))
        hand.wait(hand.rng.uniform(1, 3))


def film_by_script(hand: Hand) -> None:
    """A film of three hours, in pieces of two seconds that a script asks for."""
    hand.found()
    hand.series("fetch", "/films/1/seg-{}.m4s", 5400, 2.0, answer=Answer(200, 400_000, "video/iso.segment"))


def film_by_range(hand: Hand) -> None:
    """The same as one file, by ranges, with leaps."""
    hand.found()
    hand.series("media", "/films/1.mp4", 1000, 10.0, 0.9, answer=Answer(206, 2_000_000, "video/mp4"))


def game(hand: Hand) -> None:
    """A game: five hundred files at its start, then its state each five seconds for an evening."""
    hand.found(0)
    hand.series("fetch", "/game/assets/{}.bin", 500, 0.02, answer=Answer(200, 90_000, "application/octet-stream"))
    hand.polls("send", "/game/state", 5.0, 4, method="POST", answer=DONE)


def many_modules(hand: Hand) -> None:
    """Writes an application: a page of four hundred modules that is loaded again for each change, thirty times in an hour."""
    hand.typed(0)
    for time in range(30):
        hand.ask("page", "/", again=time > 0, answer=Answer(200, 700, "text/html"))
        answer = Answer(304 if time else 200, 0, "text/javascript")
        hand.series("module", "/src/part{}.ts", 400, 0.004, again=time > 0, answer=answer)
        hand.wait(hand.rng.lognormvariate(4.5, 0.6))


def broken_page(hand: Hand) -> None:
    """A page two hundred parts of which are gone, opened three times."""
    for _ in range(3):
        hand.found(0)
        hand.series("image", "/old/{}.png", 200, 0.02, answer=LOST)
        hand.wait(40)


def suggestions(hand: Hand) -> None:
    """Types into a search that suggests at each key, for some minutes."""
    hand.found(0)
    hand.each(
        0.15, 600, lambda n: hand.ask("fetch", f"/suggest?q={'lamp table chair'[: n % 16 + 1]}", answer=JSON), 0.6
    )


def panels(hand: Hand) -> None:
    """Twelve panels on a wall that each ask by POST each five seconds, for a shift."""
    hand.typed(0)
    for _ in range(int(4 * HOUR / 5)):
        hand.series("send", "/api/ds/query?ds={}", 12, 0.02, method="POST", answer=JSON)
        hand.wait(4.8)


def file_share(hand: Hand) -> None:
    """Puts a folder of three hundred files into a share, by its page."""
    hand.typed(0)
    for number in range(300):
        hand.ask("send", f"/remote.php/dav/files/me/{number}.jpg", method="PUT", answer=Answer(201, 0, "text/html"))
        hand.wait(0.4)
        if number % 10 == 0:
            hand.ask(
                "send", "/remote.php/dav/files/me/", method="PROPFIND", answer=Answer(207, 9000, "application/xml")
            )


def webmail_overnight(hand: Hand) -> None:
    """Leaves the mail open: it asks each minute for fourteen hours."""
    hand.typed(0)
    hand.reading(6)
    hand.polls("send", "/mail/?_task=mail&_action=refresh", 60.0, 14, method="POST", answer=JSON)


def post_polls_unseen(hand: Hand) -> None:
    """A page that was opened before anybody counted (a restart, a new secret) goes on asking, by POST and with its cookie."""
    hand.polls("send", "/api/graphql", 10.0, 2, method="POST", answer=JSON)


def get_polls_unseen(hand: Hand) -> None:
    """The same by GET, at a site without cookies."""
    hand.polls("fetch", "/api/state", 10.0, 2, answer=JSON)


def tv(hand: Hand) -> None:
    """An application on a television set: its page at the start, then lists and pictures by its script."""
    hand.typed(0)
    for number in range(150):
        hand.ask("fetch", f"/api/rows/{number}", answer=JSON)
        hand.series("image", f"/posters/{number}-{{}}.jpg", 8, 0.05, answer=Answer(200, 40_000, "image/jpeg"))
        hand.wait(hand.rng.uniform(2, 12))


def shown_elsewhere(hand: Hand) -> None:
    """Reads copies of this site's pages that another site shows (AMP, a translation): their pictures come from here."""
    for number in range(40):
        hand.ask(
            "image",
            f"/media/a{number}.webp",
            referrer="https://www-news-example.cdn.ampproject.org/",
            page=False,
            answer=Answer(200, 40_000, "image/webp"),
        )
        hand.wait(hand.rng.uniform(0.5, 20))


def _elsewhere(hand: Hand, kind: str, path: str, method: str, count: int, gap: float, answer: Answer) -> None:
    for number in range(count):
        hand.ask(
            kind, path.format(number), method=method, referrer="https://application.example/", page=False, answer=answer
        )
        hand.wait(hand.rng.uniform(0.1, 2) * gap)


def calls_from_elsewhere(hand: Hand) -> None:
    """Uses an application of another site, whose script asks this one: data alone, across sites, without cookies."""
    _elsewhere(hand, "cors", "/api/items/{}", "GET", 80, 8.0, JSON)


def posts_from_elsewhere(hand: Hand) -> None:
    """The same by POST."""
    for number in range(40):
        hand.ask(
            "preflight",
            "/api/query",
            method="OPTIONS",
            referrer="https://application.example/",
            page=False,
            answer=DONE,
        )
        hand.ask("cors", "/api/query", method="POST", referrer="https://application.example/", page=False, answer=JSON)
        hand.wait(hand.rng.uniform(1, 12) + number % 2)


def widget_elsewhere(hand: Hand) -> None:
    """Reads a site that has a piece of this one in a frame on each of its pages."""
    for _ in range(25):
        hand.ask(
            "frame",
            "/embed/weather",
            referrer="https://paper.example/",
            page=False,
            answer=Answer(200, 3000, "text/html"),
        )
        hand.ask("fetch", "/api/weather", answer=JSON)
        hand.wait(hand.rng.lognormvariate(3.5, 0.9))


def offline_application(hand: Hand) -> None:
    """An application that is kept on the device: its worker looks a hundred files up at each start, the page itself never comes."""
    for _ in range(8):
        hand.ask("service", "/sw.js", again=True, answer=Answer(304, 0, ""))
        hand.series("fetch", "/app/file{}.json", 100, 0.03, again=True, answer=Answer(304, 0, ""))
        hand.wait(hand.rng.uniform(0.5, 6) * HOUR)


def link_checker_page(hand: Hand) -> None:
    """Opens a page whose script asks for the heads of a hundred addresses."""
    hand.found(0)
    hand.series("head", "/files/{}", 100, 0.1, method="HEAD", answer=Answer(200, 0, "text/html"))


def uploads(hand: Hand) -> None:
    """Sends two hundred photographs by a form's script."""
    hand.typed(0)
    hand.series("send", "/upload", 200, 3.0, 0.5, method="POST", answer=JSON)


LIVES: dict[str, Life] = {
    live.__name__: alone(live, **how)
    for live, how in (
        (dashboard, KNOWN), (long_poll, NEW), (events_again, NEW), (chat_storm, KNOWN), (autosave, KNOWN), (map_of_pictures, NEW),
        (map_of_data, NEW), (endless_list, NEW), (film_by_script, NEW), (film_by_range, NEW), (game, NEW), (many_modules, NEW),
        (broken_page, NEW), (suggestions, NEW), (panels, KNOWN), (file_share, KNOWN), (webmail_overnight, KNOWN),
        (post_polls_unseen, KNOWN), (shown_elsewhere, {"cookies": False}), (calls_from_elsewhere, {"cookies": False}),
        (posts_from_elsewhere, {"cookies": False}), (widget_elsewhere, {"cookies": False}), (offline_application, KNOWN),
        (link_checker_page, NEW), (uploads, KNOWN), (get_polls_unseen, {"cookies": False}), (tv, {"agent": TV}),
    )
} | {
    "offline_application_without_cookie": alone(offline_application, cookies=False, known=True),
}  # fmt: skip
