"""GET /api/recommend: one user's recommendations."""

from lib.web.edge import keyed_application
from lib.web.endpoints import recommendations

app = keyed_application("/api/recommend", recommendations)
