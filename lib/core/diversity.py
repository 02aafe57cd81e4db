"""No page is filled by one topic, one author, or copies of one thing: what is too much waits for the next page.

Without numpy of its own: popular content is read without it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from lib.core.defaults import AUTHOR_PREFIX, AUTHOR_SHARE, PAGE, TOPIC_SHARE

if TYPE_CHECKING:
    from lib.core.embeddings import Vectors

Topics = frozenset[str]

_ALIKE = 0.9999  # the cosine of two texts that are the same; near ones may well be two episodes, or two films of a kind
VARIED = 200  # places of a list among which its first pages find what to show instead


def topics_of(topics: Sequence[str | None] | None) -> Topics:
    """As a database has them: an app's view may have no array, and an array may have holes."""
    return frozenset(filter(None, topics or ()))


@dataclass(frozen=True)
class Variety:
    """What tells a site's items (n,) apart, and how much of a page one topic and one author may have; 1 is no limit."""

    topics: Sequence[Topics]
    text: "Vectors | None" = None  # (n, d) unit rows or zeros
    topic_share: float = TOPIC_SHARE
    author_share: float = AUTHOR_SHARE


def varied(items: Sequence[int], variety: Variety, *, n: int) -> list[int]:
    """The places in `items` (k,), which are best first, in such an order that the pages of the first `n` are varied."""
    head = items[:VARIED]
    topics = [variety.topics[item] for item in head]
    places = places_of_topics(topics, topic_share=variety.topic_share, author_share=variety.author_share)
    text = None if variety.text is None else variety.text[head]
    return spread(topics, text, places, n=n) + list(range(len(head), len(items)))


def places_of_topics(topics: Sequence[Topics], *, topic_share: float, author_share: float) -> dict[str, int]:
    """How many places of a page each topic gets, of candidates with these topics: at least what is its share of them.
    Topics that can't take more are left out.

    A topic that most candidates have says nothing about any of them, and limiting it would only hide the best.
    """
    counts = Counter(chain.from_iterable(topics))
    fewest = max(1, round(PAGE * min(topic_share, author_share)))
    places = {}
    for topic in [topic for topic, count in counts.items() if count > fewest]:
        least = author_share if topic.startswith(AUTHOR_PREFIX) else topic_share
        limit = max(1, round(PAGE * max(least, counts[topic] / len(topics))))
        if counts[topic] > limit:
            places[topic] = limit
    return places


def spread(topics: Sequence[Topics], text: "Vectors | None", places: dict[str, int], *, n: int) -> list[int]:
    """The numbers of the candidates (k,) in the order of a list whose first `n` stand on varied pages.

    `topics` (k,) and `text` (k, d) are of the candidates, best first. Where nothing else can fill a page, what waited
    does.
    """
    waiting = list(range(len(topics)))
    if not places and (text is None or not _has_copies(text, n=n)):
        return waiting
    copies = {} if text is None else _copies(text)
    limited = [[topic for topic in some if topic in places] for some in topics]
    order: list[int] = []
    while waiting and len(order) < n:
        page = _page(waiting, limited, copies, places)
        order += page
        shown = set(page)
        waiting = [number for number in waiting if number not in shown]
    return order + waiting


def _has_copies(text: "Vectors", *, n: int) -> bool:
    """Whether any of the first `n` stands on a page with a copy of itself, as they are."""
    for first in range(0, min(n, len(text)), PAGE):
        alike = text[first : first + PAGE] @ text[first : first + PAGE].T > _ALIKE
        if alike.sum() > alike.diagonal().sum():
            return True
    return False


def _copies(text: "Vectors") -> dict[int, set[int]]:
    """Of each candidate that is a copy of better ones, which these are."""
    copies: dict[int, set[int]] = {}
    for number, better in zip(*(side.tolist() for side in (text @ text.T > _ALIKE).nonzero()), strict=True):
        if better < number:
            copies.setdefault(number, set()).add(better)
    return copies


def _page(
    waiting: Sequence[int], limited: Sequence[list[str]], copies: dict[int, set[int]], places: dict[str, int]
) -> list[int]:
    """The numbers of one page. `limited` (k,) are the topics of each candidate that have not every place."""
    page: list[int] = []
    left = dict(places)
    for number in waiting:
        is_full = any(left[topic] == 0 for topic in limited[number])
        if not is_full and (number not in copies or copies[number].isdisjoint(page)):
            page.append(number)
            for topic in limited[number]:
                left[topic] -= 1
        if len(page) == PAGE:
            return page
    chosen = set(page)
    return page + [number for number in waiting if number not in chosen][: PAGE - len(page)]
