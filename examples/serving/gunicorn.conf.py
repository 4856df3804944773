"""How gunicorn runs the service."""

import gc
from typing import Any

bind = "127.0.0.1:8000"
workers = 4
worker_class = "uvicorn_worker.UvicornWorker"
preload_app = True  # service.py is imported, and with it the model loaded, before the workers fork


def pre_fork(server: Any, worker: Any) -> None:
    """Keep the garbage collector of the workers from writing into the pages that they share."""
    gc.freeze()
