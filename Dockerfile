# syntax=docker/dockerfile:1

# The command to run is the argument: `docker run offload frontend`, `docker run offload worker`.
# Configuration is expected at /etc/offload/offload.toml.

FROM python:3.12-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# Dependencies first: they change less often than the source.
COPY constraints.txt requirements.txt ./
RUN python -m venv /opt/offload \
    && /opt/offload/bin/pip install --require-hashes -r requirements.txt \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes -r constraints.txt

COPY pyproject.toml setup.py README.md LICENSE ./
COPY offload offload
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/offload/bin/pip install --no-deps dist/*.whl \
    && /opt/offload/bin/pip check

FROM python:3.12-slim-bookworm
RUN groupadd --system --gid 990 offload \
    && useradd --system --uid 990 --gid offload --home-dir /var/lib/offload --create-home offload \
    && install -d -o offload -g offload -m 0750 /etc/offload /run/offload
COPY --from=build /opt/offload /opt/offload
ENV PATH=/opt/offload/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER offload
WORKDIR /var/lib/offload

EXPOSE 8443
# TERM drains.
STOPSIGNAL SIGTERM
# Asks the admin address, which the configuration must set: admin = "127.0.0.1:9180".
ENV OFFLOAD_HEALTH_URL=http://127.0.0.1:9180/healthz
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ['OFFLOAD_HEALTH_URL'], timeout=2)"]
ENTRYPOINT ["offload"]
CMD ["frontend"]
