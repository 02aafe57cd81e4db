"""POST /api/actions/batch-process: QStash's five-second ticks, and the two-hourly learning of user embeddings."""

from lib.web.edge import signed_application
from lib.web.endpoints import batch_process

app = signed_application("/api/actions/batch-process", batch_process)
