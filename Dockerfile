# One image for every role; the command selects the role. It contains no NATS or PostgreSQL server.
#   docker build --tag offhook .        docker run offhook --help

FROM python:3.11-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
RUN python -m venv /opt/offhook
# The dependencies first: they change less often than the code.
COPY deploy/locks/image.lock ./
RUN /opt/offhook/bin/pip install --require-hashes --only-binary :all: -r image.lock
COPY . .
RUN /opt/offhook/bin/pip install --no-deps --no-build-isolation --no-index .

FROM python:3.11-slim-trixie
ENV PATH="/opt/offhook/bin:$PATH" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/offhook /opt/offhook
RUN useradd --system --uid 10001 offhook
# Mount or copy flows here: their modules are imported from the working directory.
WORKDIR /flows
USER offhook
ENTRYPOINT ["offhook"]
