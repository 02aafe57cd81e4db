"""POST /api/recommend/cache/warm: QStash's hourly call that computes the lists of active users."""

from lib.web.edge import signed_application
from lib.web.endpoints import warm

app = signed_application("/api/recommend/cache/warm", warm)
