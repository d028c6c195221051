"""The HTTP interface: routes, and how each kind of failure is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from loppestars import logs, paths
from loppestars.anonymise import Mode
from loppestars.body_limit import BodyLimit
from loppestars.detector import FaceDetector, ModelError
from loppestars.errors import ApiError, error_body
from loppestars.messages import ErrorResponse, HealthResponse, ProcessRequest, ProcessResponse
from loppestars.pipeline import Anonymised, Options, anonymise_photo
from loppestars.request_log import RequestLog
from loppestars.settings import Settings
from loppestars.storage import Storage, new_client

_log = logging.getLogger("loppestars")

_RETRY_AFTER_SECONDS = 2


@dataclass
class _Service:
    """What lives from start to stop. `detector` is None when the model could not be loaded."""

    settings: Settings
    detector: FaceDetector | None
    problems: list[str]
    storage: Storage
    workers: ThreadPoolExecutor
    in_flight: int = 0


def create_app(settings: Settings) -> FastAPI:
    """The application for these settings. The model is loaded when it starts."""
    logs.configure(settings.secrets())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        problems = settings.problems()
        detector = None
        try:
            detector = FaceDetector.load(settings.model_dir)
        except ModelError as error:
            problems.append(f"the face detection model is missing or corrupt: {error}")
        for problem in problems:
            _log.error("can not work: %s", problem)
        with ThreadPoolExecutor(settings.workers, thread_name_prefix="photo") as workers:
            async with new_client(settings) as client:
                storage = Storage(settings, client)
                app.state.service = _Service(settings, detector, problems, storage, workers)
                yield

    app = FastAPI(
        title="Loppestars API",
        version=settings.version,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(RequestLog)
    app.exception_handler(ApiError)(_answer_api_error)
    app.exception_handler(RequestValidationError)(_answer_invalid_request)
    app.exception_handler(HTTPException)(_answer_http_error)
    app.add_api_route(
        "/health",
        _health,
        methods=["GET"],
        response_model=HealthResponse,
        response_model_exclude_defaults=True,
        responses={503: {"model": HealthResponse}},
    )
    app.add_api_route(
        "/process",
        _process,
        methods=["POST"],
        response_model=ProcessResponse,
        responses={
            status: {"model": ErrorResponse} for status in (400, 404, 413, 422, 500, 502, 503)
        },
    )
    return app


async def _health(request: Request, response: Response) -> HealthResponse:
    """Whether this instance can work. Asks nobody else, so it is safe to ask often."""
    service: _Service = request.app.state.service
    healthy = not service.problems
    response.status_code = 200 if healthy else 503
    return HealthResponse(
        status="healthy" if healthy else "unhealthy",
        version=service.settings.version,
        model_loaded=service.detector is not None,
        reasons=service.problems,
    )


async def _process(request: Request, order: ProcessRequest) -> ProcessResponse:
    """Take a photo out of the source bucket, anonymise it, put it into the storage bucket."""
    service: _Service = request.app.state.service
    if service.problems or service.detector is None:
        raise ApiError(503, "not_ready", "; ".join(service.problems))
    if service.in_flight >= service.settings.max_in_flight:
        raise ApiError(
            503, "busy", "too many photos at the same time; try again", _RETRY_AFTER_SECONDS
        )
    service.in_flight += 1
    try:
        result = await _anonymise(service, service.detector, order)
        target = paths.processed_path(order.user_id, order.image_path, result.jpeg)
        url = await service.storage.upload(target, result.jpeg)
    finally:
        service.in_flight -= 1
    request.state.log.update(facesDetected=result.faces, mode=order.mode.value)
    return ProcessResponse(
        success=True, processed_image_url=url, faces_detected=result.faces, mode=order.mode
    )


async def _anonymise(
    service: _Service, detector: FaceDetector, order: ProcessRequest
) -> Anonymised:
    photo = await service.storage.download(order.image_path)
    cell = order.pixelate_size if order.mode is Mode.PIXELATE else order.blur_strength
    options = Options(order.mode, cell, order.downscale_for_detection)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(service.workers, anonymise_photo, photo, detector, options)


def _answer(
    request: Request, status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> Response:
    request.state.log.update(errorCode=code, errorMessage=message)
    return JSONResponse(error_body(code, message), status_code=status, headers=headers)


async def _answer_api_error(request: Request, error: ApiError) -> Response:
    headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    return _answer(request, error.status, error.code, error.message, headers)


async def _answer_invalid_request(request: Request, error: RequestValidationError) -> Response:
    """Name each wrong field and why, but never what stood in it."""
    found = error.errors()
    if any(problem["type"] == "json_invalid" for problem in found):
        return _answer(request, 400, "invalid_json", "the request's body is not valid JSON")
    texts = []
    for problem in found:
        place = ".".join(str(part) for part in problem["loc"][1:]) or "body"
        texts.append(f"{place}: {problem['msg'].removeprefix('Value error, ')}")
    return _answer(request, 422, "invalid_request", "; ".join(texts))


async def _answer_http_error(request: Request, error: HTTPException) -> Response:
    # FastAPI says 400 when a body can not even be parsed.
    codes = {400: "invalid_json", 404: "not_found", 405: "method_not_allowed"}
    code = codes.get(error.status_code, "http_error")
    headers = dict(error.headers) if error.headers else None
    return _answer(request, error.status_code, code, str(error.detail), headers)
