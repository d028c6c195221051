# The Loppestars API. docs/image.md says what each stage is for and how the caching works.
#
#   base -> dependencies -> models -> runtime
#
# Build secrets, both optional, mounted only where something is downloaded:
#   ca-bundle  PEM file of the certificate authorities to trust, in place of the system's
#   pip-conf   pip.conf that names a package index, with credentials if it needs them
#
# Every step gives what it makes the time SOURCE_DATE_EPOCH (seconds since 1970), so that the same
# sources give the same layers. BuildKit can do that when it exports, too (rewrite-timestamp), but
# then compresses every layer anew with every build.

ARG BASE_IMAGE=python:3.13-slim-trixie
ARG SOURCE_DATE_EPOCH=1735689600

# ---- base: what every other stage shares --------------------------------------------------
FROM ${BASE_IMAGE} AS base
ARG SOURCE_DATE_EPOCH
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# The account the service runs as, and the standard library's bytecode where the base image
# comes without it (compileall skips what is up to date): else each start of a container would
# compile what it imports. Unchecked hashes rather than time stamps, so that the same sources
# give the same bytes. Without column positions bytecode is smaller and loads faster: the service
# starts in a tenth less time, and tracebacks still have the lines.
RUN --network=none <<'SCRIPT'
set -eu
start=$(date +%s)
echo 'loppestars:x:10001:10001:Loppestars API:/nonexistent:/usr/sbin/nologin' >> /etc/passwd
echo 'loppestars:x:10001:' >> /etc/group
stdlib=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
PYTHONNODEBUGRANGES=1 python3 -m compileall -q --invalidation-mode unchecked-hash \
    -x '/(site-packages|dist-packages|test|tests|idlelib|tkinter|turtledemo|ensurepip|pydoc_data)/' \
    "$stdlib"
touch --date="@$SOURCE_DATE_EPOCH" /etc
find /etc/passwd /etc/group "$stdlib" -newermt "@$start" -exec touch --date="@$SOURCE_DATE_EPOCH" {} +
SCRIPT

# ---- dependencies: an empty virtual environment, and what fills it from outside ------------
FROM base AS dependencies
ARG SOURCE_DATE_EPOCH
ENV PATH=/root/pip/bin:$PATH \
    PIP_CONFIG_FILE=/run/secrets/pip-conf \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_INPUT=1 \
    PIP_ONLY_BINARY=:all: \
    PIP_PROGRESS_BAR=off \
    PIP_ROOT_USER_ACTION=ignore \
    UV_LINK_MODE=copy \
    UV_NO_BUILD=1 \
    UV_NO_CONFIG=1 \
    UV_NO_PROGRESS=1 \
    UV_PYTHON_DOWNLOADS=never
COPY --chmod=755 <<'SCRIPT' /usr/local/bin/with-ca-bundle
#!/bin/sh -eu
# Runs a command with the secret `ca-bundle`, if there is one, as the trusted authorities.
if [ -f /run/secrets/ca-bundle ]; then
    export PIP_CERT=/run/secrets/ca-bundle SSL_CERT_FILE=/run/secrets/ca-bundle
fi
exec "$@"
SCRIPT
RUN --mount=type=cache,target=/root/.cache \
    --mount=type=secret,id=ca-bundle \
    --mount=type=secret,id=pip-conf \
    --mount=type=bind,source=api/requirements/install.txt,target=/requirements/install.txt <<'SCRIPT'
set -eu
python3 -m venv --without-pip /opt/venv
rm /opt/venv/bin/[Aa]ctivate*
python3 -m venv /root/pip
with-ca-bundle pip install --quiet --no-compile --require-hashes --requirement /requirements/install.txt
SCRIPT
COPY --chmod=755 <<'SCRIPT' /usr/local/bin/compile-packages
#!/usr/bin/env -S python3 -X no_debug_ranges
"""Compiles the packages in a folder. What has not changed comes out of the cache.

Each package has a process of its own that starts from the same state. What a compiled file holds
depends on what its process has compiled before, and the same sources are to give the same bytes,
whatever is installed beside them.
"""

import hashlib
import importlib.util
import os
import py_compile
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

CACHE = Path("/root/.cache/bytecode")
PROCESSES = len(os.sched_getaffinity(0))


def compile_package(package: Path) -> None:
    files = sorted(package.rglob("*.py")) if package.is_dir() else [package]
    key = hashlib.sha256(sys.version.encode() + Path(__file__).read_bytes())
    for file in files:
        key.update(f"{file} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    cached = CACHE / key.hexdigest()
    if not cached.is_dir():
        compiled = Path(tempfile.mkdtemp(dir=CACHE))
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        for number, file in enumerate(files):
            # What is not Python, such as a template, stays as it is.
            py_compile.compile(file, compiled / str(number), str(file), quiet=2, invalidation_mode=mode)
        try:
            compiled.rename(cached)
        except OSError:  # another build was faster
            shutil.rmtree(compiled)
    for number, file in enumerate(files):
        if (cached / str(number)).exists():
            place = Path(importlib.util.cache_from_source(file))
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(cached / str(number), place)


def start(package: Path) -> None:
    if os.fork() == 0:
        try:
            compile_package(package)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)


CACHE.mkdir(parents=True, exist_ok=True)
packages = sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir() or path.suffix == ".py")
failed = 0
for number, package in enumerate(packages):
    if number >= PROCESSES:
        failed |= os.wait()[1]
    start(package)
for _ in packages[-PROCESSES:]:
    failed |= os.wait()[1]
sys.exit(failed != 0)
SCRIPT
COPY --chmod=755 <<'SCRIPT' /usr/local/bin/install-requirements
#!/bin/sh -eu
# Installs the hash-pinned file $1 into /opt/venv, without what only development needs, and
# compiles it.
set -- --no-deps --require-hashes --requirement "$1"
if [ -f /run/secrets/pip-conf ]; then
    # Only pip knows what is in it.
    with-ca-bundle pip download --dest /root/.cache/wheels "$@"
    set -- --no-index --find-links /root/.cache/wheels "$@"
fi
with-ca-bundle uv pip install --python /opt/venv/bin/python "$@"

cd /opt/venv/lib/python3*/site-packages
find . \( \
    -path '*/tests/test_*.py' -o -path '*/tests/data/*' -o -path '*/tests/examples/*' \
    -o -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.a' -o -name '*.h' \
    \) -type f -delete
compile-packages "$PWD"

# Shared libraries go to /native, under the same paths: they are most of the size, and a layer of
# their own stays the same, byte for byte, while pure Python packages come and go.
mkdir /native
cd /opt
find venv/lib -type f \( -name '*.so' -o -name '*.so.*' \) -print0 | sort -z > /tmp/native
tar -c --null --files-from=/tmp/native | tar -x -C /native
xargs -0 -r rm < /tmp/native
rm /tmp/native
find /opt /native -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
SCRIPT

# Apart from each other: a change of one does not touch the layer of the other.
FROM dependencies AS dependencies-heavy
RUN --mount=type=cache,target=/root/.cache \
    --mount=type=secret,id=ca-bundle \
    --mount=type=secret,id=pip-conf \
    --mount=type=bind,source=api/requirements/heavy.txt,target=/requirements/heavy.txt \
    install-requirements /requirements/heavy.txt

FROM dependencies AS dependencies-light
RUN --mount=type=cache,target=/root/.cache \
    --mount=type=secret,id=ca-bundle \
    --mount=type=secret,id=pip-conf \
    --mount=type=bind,source=api/requirements/light.txt,target=/requirements/light.txt \
    install-requirements /requirements/light.txt

# ---- models: the face detector, checked by its hash ---------------------------------------
FROM dependencies AS models
RUN --mount=type=cache,target=/root/.cache \
    --mount=type=secret,id=ca-bundle \
    --mount=type=secret,id=pip-conf \
    --mount=type=bind,source=api/models/fetch.py,target=/fetch.py \
    with-ca-bundle python3 /fetch.py /models/models && \
    find /models -exec touch --date="@$SOURCE_DATE_EPOCH" {} +

# ---- application: the service and its bytecode --------------------------------------------
FROM base AS application
COPY api/loppestars /app/loppestars
RUN --network=none python3 -m compileall -q --invalidation-mode unchecked-hash /app && \
    find /app -exec touch --date="@$SOURCE_DATE_EPOCH" {} +

# ---- runtime: what runs -------------------------------------------------------------------
FROM base AS runtime
# Debian packages, should the service ever need one; none by default. Here and not in base, so
# that one more package does not install the Python packages again.
ARG SYSTEM_PACKAGES=""
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=tmpfs,target=/var/log \
    --mount=type=secret,id=ca-bundle <<'SCRIPT'
set -eu
if [ -n "$SYSTEM_PACKAGES" ]; then
    start=$(date +%s)
    # Debian's images delete each package after its installation; the cache mount is to keep it.
    rm -f /etc/apt/apt.conf.d/docker-clean
    set -- -o APT::Keep-Downloaded-Packages=true -o Acquire::Languages=none
    if [ -f /run/secrets/ca-bundle ]; then
        set -- "$@" -o Acquire::https::CaInfo=/run/secrets/ca-bundle
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get "$@" update
    # shellcheck disable=SC2086  # a list of names
    apt-get "$@" install --yes --no-install-recommends $SYSTEM_PACKAGES
    rm -f /var/cache/ldconfig/aux-cache
    # Mount points belong to the builder, also where what is in them does not count.
    find / -xdev \( -path /dev -o -path /proc -o -path /sys -o -path /run \
        -o -path /etc/hosts -o -path /etc/resolv.conf \) -prune -o \
        -newermt "@$start" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
fi
SCRIPT

# Each of these is a layer of its own that does not depend on the ones below it (--link), so
# only what changed is built, pushed and pulled again. The largest and most stable come first.
# Copied is the whole /opt: a directory that COPY had to make would have the time of the build.
COPY --link --from=dependencies-heavy /native /opt
COPY --link --from=models /models /opt
COPY --link --from=dependencies-heavy /opt /opt
COPY --link --from=dependencies-light /native /opt
COPY --link --from=dependencies-light /opt /opt
COPY --link --from=application /app /app

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONSAFEPATH=1 \
    MODEL_DIR=/opt/models \
    SOURCE_BUCKET=stall-photos \
    STORAGE_BUCKET=stall-photos-processed
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# Without `site` (-S) it starts twice as fast: it needs only the standard library.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --start-interval=250ms --retries=3 \
    CMD ["python3", "-S", "-m", "loppestars.healthcheck"]
# uvicorn listens to SIGTERM only once everything is imported, and the kernel drops signals that
# process 1 has no handler for: with one from the start, a stop during the start is prompt too.
# Idle connections outlive the load balancer's (60 s), so that it never sends a request into one
# that is being closed. Requests in work get 8 s to end, less than `docker stop` waits.
CMD ["python3", "-c", "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); from uvicorn.main import main; main()", \
     "loppestars.main:app", "--host", "0.0.0.0", "--port", "8080", "--no-server-header", \
     "--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "8"]

LABEL org.opencontainers.image.title="Loppestars API" \
      org.opencontainers.image.description="Anonymises the faces in photos of flea-market stalls" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
# Last, and only metadata: another commit with the same sources changes no layer.
ARG GIT_COMMIT=unknown
ARG SOURCE_URL=""
ENV GIT_COMMIT=${GIT_COMMIT}
LABEL org.opencontainers.image.revision="${GIT_COMMIT}" \
      org.opencontainers.image.source="${SOURCE_URL}"
