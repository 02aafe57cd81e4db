import pytest

from local.evaluation import cuts
from local.evaluation.cuts import cut_log
from local.evaluation.data import seen_candidates
from tests.local.evaluation import plainly
from tests.local.evaluation.logs import as_log, random_log
from tests.local.evaluation.plainly import Act


def test_what_is_known_and_what_is_read_next_equal_a_split_in_plain_python() -> None:
    log = random_log()
    split = list(cut_log(as_log(log)))
    assert [cut.name for cut, _ in split] == ["80", "90"]
    for (cut, truth), plain in zip(split, plainly.split(log), strict=True):
        assert (cut.now, cut.end) == (plain.now, plain.end)
        assert [cut.item_ids[item] for item in cut.candidates] == plain.candidates
        assert truth.read == plain.read
        assert truth.history == plain.history
        assert truth.seen == {user: seen for user, seen in plain.seen.items() if seen}
        assert truth.head == plain.head
        assert truth.candidates == set(plain.candidates)
        new = set().union(*plain.read_new.values())
        assert [cut.item_ids[item] for item in cut.new_candidates] == sorted(new)
        acts = zip(cut.users, cut.items, cut.times, cut.weights, strict=True)
        known = [Act(cut.user_ids[user], cut.item_ids[item], at, weight) for user, item, at, weight in acts]
        assert sorted(known) == sorted(plain.train)


def test_those_to_rank_for_come_first_and_what_they_know_is_marked() -> None:
    for cut, truth in cut_log(as_log(random_log())):
        ranked = cut.user_ids[: cut.n_ranked_users]
        assert set(ranked) == set(truth.read)
        for user_id, seen in zip(ranked, seen_candidates(cut), strict=True):
            assert {cut.item_ids[item] for item in cut.candidates[seen]} == truth.seen.get(user_id, set())


def test_what_may_not_be_shown_is_learned_from_but_neither_a_candidate_nor_asked_for() -> None:
    hidden = ["item 1", "item 2", "item 89"]
    for cut, truth in cut_log(as_log(random_log(), hidden=hidden)):
        assert "item 1" in cut.item_ids
        assert truth.candidates.isdisjoint(hidden)
        assert truth.head.isdisjoint(hidden)
        assert set().union(*truth.read.values()).isdisjoint(hidden)
        assert {cut.item_ids[item] for item in cut.new_candidates}.isdisjoint(hidden)


def test_more_users_than_are_scored_are_sampled_and_the_same_ones_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    everybody = {user for _, truth in cut_log(as_log(random_log())) for user in truth.read}
    monkeypatch.setattr(cuts, "MAX_USERS", 7)
    first, again = ([sorted(truth.read) for _, truth in cut_log(as_log(random_log()))] for _ in range(2))
    assert first == again
    assert [len(users) for users in first] == [7, 7]
    assert everybody.issuperset(first[0] + first[1])


def test_a_log_of_one_moment_has_no_cut() -> None:
    assert list(cut_log(as_log([Act(f"user {n}", f"item {n % 3}", 1.0, 1.0) for n in range(9)]))) == []
