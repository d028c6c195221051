"""The ASGI application: `uvicorn loppestars.main:app`."""

from __future__ import annotations

import os

from fastapi import FastAPI

app = FastAPI(title="Loppestars API", openapi_url=None)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy", "version": os.environ.get("GIT_COMMIT") or "unknown"}
