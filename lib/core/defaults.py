"""The constants of the mathematics. Apart from it so that settings load without numpy.

Chosen on data that no report uses; docs/decisions.md has the figures.
"""

import math

# From a few hours (news) to weeks (films, shops), and all time. Stored sums have one column each: another list means
# a recompute of the stored sums.
HALF_LIVES_HOURS: tuple[float, ...] = (3.0, 12.0, 36.0, 96.0, 288.0, 960.0, math.inf)
LEARNED_SIZE = 128  # dimensions of an item vector that are learned from co-reads
TEXT_SIZE = 64  # dimensions that are projected from the app's own content vectors
EMBEDDING_SIZE = LEARNED_SIZE + TEXT_SIZE
CO_READ_SIZE = 64  # dimensions of the ranker's own item vectors, beside the projected text
# Of what is stored of a model: another one's features, weights and packed vectors mean something else, so it counts as
# none. Raise it with any of them.
MODEL_FORMAT = 3
TEXT_SHARE = 0.3  # of the text's cosine in the similarity of two items that have both blocks

INTEREST_HALF_LIFE_DAYS = 30.0
HISTORY_LENGTH = 200  # actions of a user: older ones weigh next to nothing and would make a heavy user slow
POPULARITY_WEIGHT = 2.0

PAGE = 20  # items that a user sees together
NEW_PER_PAGE = 1  # that nobody has met
MOST_NEW_PER_PAGE = PAGE // 2  # with more, the place of a page's discovery would be theirs
TOPIC_SHARE = 0.6  # of a page that one topic may have
AUTHOR_SHARE = 0.2
AUTHOR_PREFIX = "author:"  # what a topic begins with that says who made the content
