"""GET /api/status: what waits, what the jobs did, how fresh the results are."""

from lib.web.edge import keyed_application
from lib.web.endpoints import status

app = keyed_application("/api/status", status, has_page=True)
