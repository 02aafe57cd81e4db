"""POST /api/recommend/cold-start/refresh: QStash's six-hourly call for popular content and trending topics."""

from lib.web.edge import signed_application
from lib.web.endpoints import refresh

app = signed_application("/api/recommend/cold-start/refresh", refresh)
