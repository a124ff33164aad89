"""Versions of rows are raised by hand: this holds the hand to it, by what each row gives on a fixed set of requests."""

from __future__ import annotations

import row_versions
from row_versions import Row


def test_a_row_whose_values_change_has_a_new_version() -> None:
    kept, now = row_versions.recorded(), row_versions.computed()
    assert row_versions.faults(kept, now) == []
    assert row_versions.same_requests(), "run: python tests/support/row_versions.py"
    assert kept == now, "run: python tests/support/row_versions.py"


def test_the_record_notices_what_it_must() -> None:
    kept = {
        "same": Row(1, "a"),
        "changed": Row(1, "a"),
        "raised": Row(1, "a"),
        "fell": Row(2, "a"),
        "gone": Row(1, "a"),
    }
    now = {"same": Row(1, "a"), "changed": Row(1, "b"), "raised": Row(2, "b"), "fell": Row(1, "b"), "new": Row(1, "c")}
    assert row_versions.faults(kept, now) == [
        "its values changed: raise the version of row changed in csrc/features/features.def",
        "row fell: version 1 was 2 before; versions only rise",
    ]


def test_a_build_with_another_expression_is_noticed(monkeypatch) -> None:
    """Another cap on one count is one fault, of that row alone."""
    kept, real = row_versions.recorded(), row_versions.requests
    at = next(i for i, row in enumerate(row_versions.core.FEATURES) if row.name == "ua_length")

    class Capped:
        def __init__(self, request) -> None:
            self.request = request

        def features(self, *how):
            dense, words = self.request.features(*how)
            dense[at] = min(dense[at], 64.0)
            return dense, words

    monkeypatch.setattr(row_versions, "requests", lambda: map(Capped, real()))
    assert row_versions.faults(kept, row_versions.computed()) == [
        "its values changed: raise the version of row ua_length in csrc/features/features.def"
    ]


def test_the_set_moves_most_rows() -> None:
    """A row that is the same on every request could change unseen."""
    columns = zip(*(request.features(8)[0] for request in row_versions.requests()), strict=True)
    still = {
        row.name
        for row, column in zip(row_versions.core.FEATURES, columns, strict=True)
        if row.group != "client" and len(set(map(str, column))) == 1
    }
    assert len(still) < len(row_versions.core.FEATURES) // 10, sorted(still)


def test_the_visits_move_every_row_of_clients() -> None:
    columns = zip(*(request.features(8)[0] for request in row_versions.in_visits()), strict=True)
    still = [
        row.name
        for row, column in zip(row_versions.core.FEATURES, columns, strict=True)
        if row.group == "client" and not {0.0, 1.0} <= set(column)
    ]
    assert not still


def test_another_border_of_a_row_of_clients_is_noticed(monkeypatch) -> None:
    kept, real = row_versions.recorded(), row_versions.in_visits
    at = next(i for i, row in enumerate(row_versions.core.FEATURES) if row.name == "cl_burst")
    fired = 0

    class Later:
        def __init__(self, request) -> None:
            self.request = request

        def features(self, *how):
            nonlocal fired
            dense, words = self.request.features(*how)
            fired += dense[at] == 1.0
            dense[at] = 0.0 if fired == 1 else dense[at]
            return dense, words

    monkeypatch.setattr(row_versions, "in_visits", lambda: map(Later, real()))
    assert row_versions.faults(kept, row_versions.computed()) == [
        "its values changed: raise the version of row cl_burst in csrc/features/features.def"
    ]
