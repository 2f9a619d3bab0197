"""The brain over HTTP: chat as OpenAI's clients speak it, the memory's own REST interface, health and metrics.

`app.py` puts it together and `run.py` binds it to an address. Deliberately no second implementation of anything: each request is checked,
its key is turned into a scope, and the scope does the work.
"""

import importlib.util

from seal_agent.errors import MissingDependencyError

if any(importlib.util.find_spec(name) is None for name in ("fastapi", "httpx", "prometheus_client", "uvicorn")):
    raise MissingDependencyError("The server needs FastAPI and uvicorn: pip install 'seal-agent[server]'.")
