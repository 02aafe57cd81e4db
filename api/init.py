"""GET or POST /api/init: checks the configuration, brings the schema up to date, makes the four schedules."""

from lib.web.edge import keyed_application
from lib.web.endpoints import init

app = keyed_application("/api/init", init, methods=("GET", "POST"), has_page=True)
