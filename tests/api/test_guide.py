"""docs/qstash-guide.md, fault by fault: a deployment is broken in that way, and what the guide quotes is what page,
check, log and QStash say then, in the guide's language."""

import logging
import re
import sys
from html import unescape
from pathlib import Path

import httpx
import pytest

from local import check
from tests.api.guide_faults import FAULTS, services_of
from tests.api.misconfiguration import HTML, NOBODY, Change, Changes, World, ask, text_of
from tests.guide import CHINESE, ENGLISH, ROOT, Section, anchor_of, faults, is_said, read_guide

GUIDES = {"en": read_guide(ENGLISH), "zh-CN": read_guide(CHINESE)}
PAGES = (ENGLISH, CHINESE, ROOT / "README.md", ROOT / "README.zh-CN.md")
LOCALES = {"en": "en_US.UTF-8", "zh-CN": "zh_CN.UTF-8"}
SIGN = re.compile("^(?:✅|⚠️|❌) ")
LEAST_FAULTS = 13

Heard = dict[str, dict[str, str]]  # language -> who speaks -> all that is said


@pytest.fixture
def witnesses(world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> "Witnesses":
    return Witnesses(world, caplog, capsys)


class Witnesses:
    """What everybody says of a deployment that is broken in some way."""

    def __init__(self, world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
        self._world = world
        self._log = caplog
        self._output = capsys

    def hear(self, change: Change) -> Heard:
        """The script is heard first: it makes nothing."""
        world = self._world
        changes = change(world)
        if not world.deployment.applications:
            world.deployment.deploy(services_of(world, changes))
        checks = {language: self._check(changes, language) for language in GUIDES}
        return {
            language: {
                "check": self._as_in_the_guide(checks[language]),
                "page": self._as_in_the_guide(self._page(changes, language)),
                "log": self._as_in_the_guide("\n".join(record.getMessage() for record in self._log.records)),
                "qstash": self._as_in_the_guide(self._qstash_record()),
                "answer": "\n".join(world.answers),
            }
            for language in GUIDES
        }

    def _check(self, changes: Changes, language: str) -> str:
        world, patch = self._world, self._world.monkeypatch
        patch.chdir(world.folder)
        patch.setattr(sys, "argv", ["scripts/check_qstash_config.py"])
        for name, value in (world.variables | changes | {"LC_ALL": LOCALES[language]}).items():
            patch.setenv(name, value)
        self._output.readouterr()
        check.main()
        return self._output.readouterr().out

    def _page(self, changes: Changes, language: str) -> str:
        return unescape(text_of(ask(services_of(self._world, changes), HTML, language).body.decode()))

    def _qstash_record(self) -> str:
        """The answers that QStash keeps of what it has given up."""
        qstash = self._world.qstash
        letters = httpx.get(f"{qstash.url}/v2/dlq", headers={"Authorization": f"Bearer {qstash.token}"})
        return "\n".join(str(letter.get("responseBody")) for letter in letters.json()["messages"])

    def _as_in_the_guide(self, said: str) -> str:
        """With the address that the guide gives the deployment."""
        url = self._world.deployment.url
        host = url.removeprefix("http://").replace(":", "-")
        names = {url: "https://shop.example.com", NOBODY: "https://shop.example.com", host: "shop.example.com"}
        for name, instead in names.items():
            said = said.replace(name, instead)
        return said


def quotations(section: Section) -> list[tuple[str, str]]:
    """Who says it, and what."""
    blocks = [block for block in section.blocks if block.language == "text"]
    return [(speaker, line) for block in blocks for speaker in block.marks for line in block.lines]


def twins() -> dict[str, tuple[Section, Section]]:
    """English heading -> the section in both languages."""
    both = zip(faults(GUIDES["en"]), faults(GUIDES["zh-CN"]), strict=True)
    return {english.heading: (english, chinese) for english, chinese in both}


def words_of(speaker: str, line: str) -> str:
    """The page's signs stand before its titles."""
    return SIGN.sub("", line) if speaker == "page" else line


def test_every_fault_of_the_guide_is_tried_and_quotes_somebody() -> None:
    assert list(FAULTS) == list(twins())
    assert len(FAULTS) >= LEAST_FAULTS
    for pair in twins().values():
        for section in pair:
            assert quotations(section), section.heading
            assert {len(re.sub("[…\\W]", "", line)) >= 8 for _, line in quotations(section)} == {True}
        assert [speaker for speaker, _ in quotations(pair[0])] == [speaker for speaker, _ in quotations(pair[1])]


@pytest.mark.parametrize("heading", FAULTS)
def test_what_the_guide_quotes_is_what_is_said(
    witnesses: Witnesses, caplog: pytest.LogCaptureFixture, heading: str
) -> None:
    caplog.set_level(logging.INFO, logger="recommendations")
    heard = witnesses.hear(FAULTS[heading])
    missing = [
        (language, speaker, line)
        for language, section in zip(GUIDES, twins()[heading], strict=True)
        for speaker, line in quotations(section)
        if not is_said(words_of(speaker, line), heard[language][speaker])
    ]
    assert missing == [], {speaker: heard[language][speaker] for language, speaker, _ in missing}


def test_where_nothing_is_wrong_nothing_of_it_is_said(
    witnesses: Witnesses, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="recommendations")

    def with_schedules(world: World) -> Changes:
        services = services_of(world, {})
        world.deployment.deploy(services)
        ask(services, HTML, "en")
        return {}

    heard = witnesses.hear(with_schedules)
    for pair in twins().values():
        for language, section in zip(GUIDES, pair, strict=True):
            for speaker, line in quotations(section):
                if not line.startswith("✅"):
                    assert not is_said(words_of(speaker, line), heard[language][speaker]), line


def test_both_guides_have_the_same_outline_and_commands() -> None:
    english, chinese = GUIDES.values()
    assert [section.level for section in english] == [section.level for section in chinese]
    for one, other in zip(english, chinese, strict=True):
        kinds = [[(block.language, block.marks) for block in section.blocks] for section in (one, other)]
        assert kinds[0] == kinds[1], one.heading
        for block, twin in zip(one.blocks, other.blocks, strict=True):
            if block.language == "sh" or "output" in block.marks:
                assert block.lines == twin.lines


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            file, _, anchor = target.partition("#")
            place = (page.parent / file).resolve() if file else page
            assert place.exists(), target
            assert not anchor or anchor in {anchor_of(section.heading) for section in read_guide(place)}, target
