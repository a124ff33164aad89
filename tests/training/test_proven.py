"""The threshold by proven clients: how many may be refused, and that neither a network nor a look can move it alone."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.proven import LEAST_CLIENTS, NETWORK_SHARE, SHAPE_SHARE, weights

np = pytest.importorskip("numpy", reason="training needs: pip install 'xbot[train]'")
proven = pytest.importorskip("training.proven", reason="training needs: pip install 'xbot[train]'")


def crowd(clients: int, seed: int = 0, looks: int = 40) -> dict[str, Any]:
    """Three requests of each client, all of networks of their own, with looks by shares as they are."""
    draw = np.random.default_rng(seed)
    share = 1 / np.arange(1, looks + 1)
    keys = np.arange(1, clients + 1, dtype=np.uint64)
    look = draw.choice(looks, clients, p=share / share.sum()).astype(np.uint64) + np.uint64(1)
    return {
        "margins": draw.normal(-2, 0.5, 3 * clients),
        "client": np.repeat(keys, 3),
        "network": np.repeat(keys + np.uint64(1 << 40), 3),
        "shape": np.repeat(look, 3),
        "proven": np.tile([False, True, True], clients),
    }


def joined(*parts: dict[str, Any]) -> dict[str, Any]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def fleet(clients: int, margin: float, *, networks: int) -> dict[str, Any]:
    """Driven browsers that have every proof: one look, so many networks."""
    keys = np.arange(1, clients + 1, dtype=np.uint64) + np.uint64(1 << 50)
    return {
        "margins": np.full(clients, margin),
        "client": keys,
        "network": np.arange(clients, dtype=np.uint64) % np.uint64(networks) + np.uint64(1 << 51),
        "shape": np.full(clients, np.uint64(1 << 52)),
        "proven": np.full(clients, True),
    }


def refused(rows: dict[str, Any], threshold: float) -> int:
    return len(np.unique(rows["client"][rows["margins"] >= threshold]))


@pytest.mark.parametrize("most", [0.0, 0.005, 0.02])
def test_as_many_proven_clients_as_may_be_are_refused_and_no_more(most: float) -> None:
    rows = crowd(4000)
    found = proven.threshold(**rows, most=most)
    assert found.clients == 4000
    budget = most * found.weight
    assert budget - 2 <= refused(rows, found.threshold) <= budget
    assert found.threshold > np.sort(rows["margins"])[-200]


def test_requests_of_others_do_not_count() -> None:
    rows = crowd(1000)
    stranger = fleet(500, 3.0, networks=500)
    stranger["proven"][:] = False
    assert proven.threshold(**joined(rows, stranger), most=0.01) == proven.threshold(**rows, most=0.01)


def test_a_clients_worst_request_counts_also_before_it_is_proven() -> None:
    rows = crowd(1000)
    rows["margins"][0::3][:200] = 1.0  # the first requests of a fifth, which prove nothing yet
    assert proven.threshold(**rows, most=0.01).threshold > 1.0


def test_equal_margins_are_refused_together_or_not_at_all() -> None:
    rows = crowd(1000)
    rows["margins"][0::3][:100] = 1.0
    found = proven.threshold(**rows, most=0.05)
    assert refused(rows, found.threshold) == 0


def test_too_few_say_nothing() -> None:
    assert np.isnan(proven.threshold(**crowd(LEAST_CLIENTS - 1), most=0.01).threshold)
    assert np.isnan(proven.threshold(**{**crowd(500), "proven": np.zeros(1500, dtype=bool)}, most=0.01).threshold)


@pytest.mark.parametrize("networks", [3, 2000], ids=["of three networks", "of homes"])
def test_a_fleet_that_has_every_proof_does_not_raise_the_threshold_for_itself(networks: int) -> None:
    rows = crowd(2000)
    before = proven.threshold(**rows, most=0.01).threshold
    after = proven.threshold(**joined(rows, fleet(2000, 0.5, networks=networks)), most=0.01).threshold
    assert after < 0.5
    assert abs(after - before) < 0.3


@pytest.mark.parametrize("networks", [3, 20_000], ids=["of three networks", "of homes"])
def test_a_fleet_that_looks_innocent_does_not_make_room_for_the_refusal_of_people(networks: int) -> None:
    rows = crowd(1000)
    alone = proven.threshold(**rows, most=0.01)
    after = proven.threshold(**joined(rows, fleet(20_000, -4.0, networks=networks)), most=0.01)
    assert after.weight < 1.5 * alone.weight
    assert refused(rows, after.threshold) <= 1.5 * 0.01 * 1000


def test_no_network_and_no_look_has_more_than_its_share() -> None:
    rows = joined(crowd(1000), fleet(5000, 0.0, networks=2))
    _, first = np.unique(rows["client"], return_index=True)
    network, shape = rows["network"][first], rows["shape"][first]
    weight = np.array(weights(list(zip(network.tolist(), shape.tolist(), strict=True))))
    for group, most in ((network, NETWORK_SHARE), (shape, SHAPE_SHARE)):
        shares = [weight[group == key].sum() / weight.sum() for key in np.unique(group)]
        assert max(shares) <= most + 1e-3
    assert weight[:1000].max() == 1.0
