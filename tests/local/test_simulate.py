"""scripts/simulate on paper: the arithmetic, the words and the pages."""

import json
import random
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib.core.schedules import monthly_cost
from lib.settings import Settings
from local.simulate import main as command
from local.simulate.bill import qstash_dollars, redis_dollars
from local.simulate.conclusions import conclusions
from local.simulate.levers import levers_of
from local.simulate.limits import interval_that_fits, limits_of, seconds_of_outage
from local.simulate.main import SITES
from local.simulate.measuring.meters import FrontendReader, Meter
from local.simulate.measuring.shares import solve
from local.simulate.model import PARTS, simulate
from local.simulate.page import PAGES, blocks, write_into_pages
from local.simulate.prices import SOURCES, Prices
from local.simulate.site import Site
from local.simulate.spread import contents_with_new_readers, distinct, hourly_rates
from local.simulate.stored import Stored
from local.simulate.units import load
from local.simulate.usage import Usage
from local.simulate.words import LANGUAGES, LEVERS, LIMITS, MEASURES, SCALARS, UNITS
from local.simulate.words import PARTS as PART_WORDS
from local.simulate.words import PRICES as PRICE_WORDS
from local.simulate.work import Work, ticks

COSTS, PRICES = load(), Prices()
SMALL = SITES[0]


def test_the_table_of_unit_costs_is_whole() -> None:
    assert (
        set(COSTS.units) == set(UNITS) == set(Work.__dataclass_fields__) == {n for row in PARTS.values() for n in row}
    )
    assert set(COSTS.scalars) == set(SCALARS)
    for language in LANGUAGES:
        assert all(COSTS.how(name, language) for name in (*UNITS, *SCALARS))


def test_every_price_has_a_source() -> None:
    assert set(SOURCES) == set(Prices.__dataclass_fields__) == set(PRICE_WORDS)


@pytest.mark.parametrize("factor", [1.0, 2.5, 8 / 3])
def test_a_day_has_the_peak_and_the_mean_that_were_asked_for(factor: float) -> None:
    rates = hourly_rates(1_000, factor)
    assert max(rates) == pytest.approx(1_000)
    assert sum(rates) / 24 == pytest.approx(1_000 / factor)
    assert min(rates) >= 0


def test_no_day_is_as_steep_as_that() -> None:
    with pytest.raises(ValueError, match=r"1 to 2\.67 times the mean, not 3"):
        hourly_rates(1_000, 3)


def test_different_users_are_counted_as_drawing_lots_finds_them() -> None:
    chance = random.Random(1)  # noqa: S311 - no secrets
    found = [len({chance.randrange(50) for _ in range(60)}) for _ in range(2_000)]
    assert distinct(60, 50) == pytest.approx(sum(found) / len(found), rel=0.01)
    assert distinct(0.3, 50) == 0.3


@pytest.mark.parametrize("before", [0, 3_000])
def test_contents_with_new_readers_are_counted_as_drawing_lots_finds_them(before: int) -> None:
    rng = np.random.default_rng(2)
    shares = 1 / np.arange(1, 301)
    found = []
    for _ in range(60):
        contents = rng.choice(300, before + 200, p=shares / shares.sum())
        pairs = list(zip(contents.tolist(), rng.integers(0, 20, before + 200).tolist(), strict=True))
        found.append(len({content for content, _ in set(pairs[before:]) - set(pairs[:before])}))
    expected = contents_with_new_readers(200, 300, exponent=1.0, users=20, before=before)
    assert expected == pytest.approx(np.mean(found), rel=0.04)


def test_costs_are_shared_out_among_what_runs_are_made_of() -> None:
    """A third thing that takes nothing, and noise that would make it less than nothing."""
    one, other = Usage(redis_commands=2, wal_bytes=500), Usage(redis_commands=0.5, rows_written=3)
    counts = [{"a": 1, "b": 4, "c": 3}, {"a": 2, "b": 1, "c": 9}, {"a": 5, "b": 5, "c": 1}, {"a": 1, "c": 2}]
    runs = [(row, row["a"] * one + row.get("b", 0) * other + Usage(wal_bytes=-row["c"])) for row in counts]
    found = solve(("a", "b", "c"), runs)
    assert found["a"].redis_commands == pytest.approx(2)
    assert found["b"].values() == pytest.approx(other.values(), abs=2)
    assert min(found["c"].values()) >= 0


def test_ticks_claim_what_has_come_since_the_last_one() -> None:
    settings = replace(Settings(), claim_max_elements=2_000)
    site = Site("yours", users=10_000_000, peak_actions=1_000, settings=settings)
    one = ticks(site, 1_000, count=1, before=0)
    assert (one.action, one.batch, one.busy_tick) == (5_000, 3, 1)
    rare = ticks(site, 0.001, count=1, before=0)
    assert rare.batch == rare.busy_tick == pytest.approx(0.005, rel=0.01)


@pytest.mark.parametrize("interval", [1, 5, 60, 300])
def test_an_idle_site_costs_what_the_configuration_check_says(interval: int) -> None:
    """Learning, which takes several messages where it is slow, is left out."""
    seldom = replace(Settings(), model_max_age_hours=1e6)
    site = Site("yours", users=1, peak_actions=1e-9, interval_seconds=interval, contents=1, settings=seldom)
    found, told = simulate(site, COSTS, PRICES), monthly_cost(interval)
    assert found.all.messages == pytest.approx(told["messages_a_month"], rel=1e-3)
    assert found.parts["tick"].redis_commands == pytest.approx(told["redis_commands_a_month"], rel=1e-6)
    assert sum(row.get("QStash", 0) for row in found.dollars.values()) == pytest.approx(
        told["qstash_dollars_a_month"], abs=0.01
    )


def test_parts_are_independent_of_each_other() -> None:
    """Twice the reads: nothing else changes but them, and the size of Postgres."""
    before, after = (simulate(replace(SMALL, reads_an_action=reads), COSTS, PRICES).parts for reads in (0.2, 0.4))
    for part in PARTS:
        if part == "reads":
            assert after[part].values() == pytest.approx((2 * before[part]).values())
        else:
            assert after[part] == before[part]


def test_the_cheapest_plan_is_taken() -> None:
    assert qstash_dollars(100_000, PRICES) == pytest.approx(1)
    assert qstash_dollars(25_000_000, PRICES) == 180
    small, large = Usage(redis_commands=1e6), Usage(redis_commands=1e9)
    kept = Stored(redis_lists=0.2, redis_pending=0, log=0, embeddings=0, contents=0, history=0)
    assert redis_dollars(small, kept, PRICES) == pytest.approx(2)
    assert redis_dollars(large, kept, PRICES) == 10


def test_dollars_add_up_by_part_and_by_service() -> None:
    simulation = simulate(SITES[-1], COSTS, PRICES)
    by_service = {
        service: sum(row.get(service, 0) for row in simulation.dollars.values())
        for service in ("QStash", "Vercel", "Redis", "Postgres")
    }
    assert sum(by_service.values()) == pytest.approx(simulation.dollars_a_month)
    assert all(value > 0 for value in by_service.values())


def test_the_free_plan_of_qstash_fits_from_two_minutes_on() -> None:
    assert interval_that_fits(PRICES.qstash_free_messages_a_day) == 120


def test_an_outage_is_survived_half_as_long_at_twice_the_rate() -> None:
    seconds = [
        seconds_of_outage(simulate(replace(SMALL, peak_actions=rate), COSTS, PRICES), COSTS, PRICES)
        for rate in (10, 20)
    ]
    assert seconds[0] == pytest.approx(2 * seconds[1])
    assert seconds[0] == pytest.approx(100e6 / 10 / COSTS.scalars["element_bytes"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_limit_and_every_lever_is_told_in_words(language: str) -> None:
    simulation = simulate(SMALL, COSTS, PRICES)
    assert {limit.name for limit in limits_of(simulation, COSTS, PRICES)} == set(LIMITS)
    assert {lever.name for lever in levers_of(SMALL, COSTS, PRICES)} == set(LEVERS) == set(MEASURES)
    assert set(PART_WORDS) == {*PARTS, "storage"}
    for found in conclusions(SITES, COSTS, PRICES, language):
        assert "{" not in found.text
        assert len(found.text) > 20


def test_a_limit_is_told_of_the_smallest_site_that_is_beyond_it() -> None:
    found = {conclusion.limit: conclusion for conclusion in conclusions(SITES, COSTS, PRICES, "en")}
    assert (found["qstash_free"].site.name, found["qstash_free"].bites) == ("small", True)
    assert (found["redis_request"].site.name, found["redis_request"].bites) == ("100M", False)


def test_the_pages_take_the_result_between_their_marks(tmp_path: Path) -> None:
    for page in PAGES.values():
        shutil.copy(command.__file__.replace("local/simulate/main.py", f"docs/{page}"), tmp_path / page)
    write_into_pages([SMALL], COSTS, replace(PRICES, neon_a_cu_hour=9_000.0), docs=tmp_path)
    write_into_pages([SMALL], COSTS, PRICES, docs=tmp_path)
    for language, page in PAGES.items():
        text = (tmp_path / page).read_text()
        for block in blocks([SMALL], COSTS, PRICES, language).values():
            assert text.count(block()) == 1
        assert "9000" not in text


def test_a_page_without_the_marks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scale.md").write_text("# nothing here\n")
    with pytest.raises(ValueError, match=r"scale\.md lacks the marks that sizes go between"):
        write_into_pages([SMALL], COSTS, PRICES, docs=tmp_path)


def test_the_command_answers_for_a_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--json", "--users", "5000", "--interval", "60", "--set", "redis_a_command=1"]
    monkeypatch.setattr(sys, "argv", ["scripts/simulate", *arguments])
    assert command.main() == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert document["site"]["users"] == 5_000
    assert document["parts"]["tick"]["messages"] == 43_200
    assert document["dollars_a_month"] == pytest.approx(sum(sum(row.values()) for row in document["dollars"].values()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--interval", "7"], "must divide a minute evenly", id="an interval that is none"),
        pytest.param(["--users", "0"], "must be above 0", id="nobody"),
        pytest.param(["--set", "tea=1"], "tea is no price", id="a price that is none"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts/simulate", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert words in capsys.readouterr().err + str(ended.value)


@pytest.mark.parametrize("size", [1, 3, 7, 1_000])
def test_statements_are_counted_in_whatever_pieces_they_come(size: int) -> None:
    """A request for encryption, a greeting, a simple query, and two prepared statements that are waited for once."""

    def message(kind: bytes, length: int) -> bytes:
        return kind + (length + 4).to_bytes(4) + b"Q" * length

    talk = (8).to_bytes(4) + (80877103).to_bytes(4) + (20).to_bytes(4) + (196608).to_bytes(4) + b"E" * 12
    talk += message(b"Q", 30)
    talk += (message(b"P", 500) + message(b"B", 9) + message(b"E", 5)) * 2 + message(b"S", 0)
    meter = Meter()
    reader = FrontendReader(meter)
    for first in range(0, len(talk), size):
        reader.feed(talk[first : first + size])
    assert meter.read() == {"statements": 3, "round_trips": 2}
