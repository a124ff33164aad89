"""A window with QtWebEngine's view in it, as small browsers are made: PYTHON view.py PROFILE LANGUAGES FLAG...

Law: the view sends what it sends by itself, by the PyQt of whatever Python runs this. Windows that a page opens are opened; files
are saved, and go on where they broke off.
"""

from __future__ import annotations

import sys
from typing import Any

try:
    from PyQt6.QtCore import QTimer, QUrl
    from PyQt6.QtWebEngineCore import QWebEnginePage, QWebEngineProfile
    from PyQt6.QtWebEngineWidgets import QWebEngineView
    from PyQt6.QtWidgets import QApplication

    FIVE = False
except ImportError:
    from PyQt5.QtCore import QTimer, QUrl  # type: ignore[no-redef]
    from PyQt5.QtWebEngineWidgets import QWebEnginePage, QWebEngineProfile, QWebEngineView  # type: ignore[no-redef]
    from PyQt5.QtWidgets import QApplication  # type: ignore[no-redef]

    FIVE = True

INTERRUPTED = 4  # of the states of a download, in both


class Page(QWebEnginePage):  # type: ignore[misc, valid-type]
    """Trusts all certificates: older versions know no option for one."""

    def certificateError(self, _error: Any) -> bool:  # noqa: N802  Qt's name; a function in Qt 5 alone
        return True


class Window(QWebEngineView):  # type: ignore[misc, valid-type]
    """Keeps the windows that it opened."""

    def __init__(self, profile: Any) -> None:
        super().__init__()
        self.profile, self.opened = profile, []
        self.setPage((Page if FIVE else QWebEnginePage)(profile, self))
        self.show()

    def createWindow(self, _kind: Any) -> Window:  # noqa: N802  Qt's name
        self.opened.append(Window(self.profile))
        return self.opened[-1]


def save(item: Any, place: str) -> None:
    """Saves a file; what broke off goes on a second later."""
    if hasattr(item, "setDownloadDirectory"):
        item.setDownloadDirectory(place)

    def changed(state: Any) -> None:
        if getattr(state, "value", state) == INTERRUPTED:
            QTimer.singleShot(1000, item.resume)

    item.stateChanged.connect(changed)
    item.accept()


def main() -> None:
    place, languages, *flags = sys.argv[1:]
    app = QApplication([sys.argv[0], "--webEngineArgs", *flags])  # so Qt passes words with blanks on whole
    profile = QWebEngineProfile("moments")
    profile.setPersistentStoragePath(place)
    profile.setHttpAcceptLanguage(languages)
    profile.downloadRequested.connect(lambda item: save(item, place))
    window = Window(profile)
    window.resize(1280, 900)
    window.load(QUrl("about:blank"))
    app.exec()


if __name__ == "__main__":
    main()
