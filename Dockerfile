# The app and the command line of flax_glitch, on a CPU:
#
#     docker build -t flax-glitch .
#     docker run --rm -p 7860:7860 flax-glitch                                      the app; for this machine
#                                                                                   alone: -p 127.0.0.1:7860:7860
#     docker run --rm -p 7860:7860 -v flax-glitch:/cache flax-glitch                keeps strain, compiled code
#     docker run --rm -v "$PWD:/data:ro" -w /data flax-glitch classify pictures/    any command of flax-glitch
#
# Not built yet, for want of a Docker daemon; packaging/README.md says which of its commands were tried by hand.
FROM python:3.12.12-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/flax_glitch
WORKDIR /src
COPY pyproject.toml requirements.lock ./
COPY packaging/core_lock.py packaging/
# What is locked is what is installed: pip resolves nothing, and refuses a file of another hash.
RUN python packaging/core_lock.py > core.lock \
    && python packaging/core_lock.py setuptools > build.lock \
    && /opt/flax_glitch/bin/python -m pip install --no-deps --require-hashes -r core.lock \
    && python -m pip install --no-deps --require-hashes -r build.lock
COPY . .
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/flax_glitch/bin/python -m pip install --no-deps /dist/*.whl

FROM python:3.12.12-slim-bookworm
RUN useradd --create-home --uid 1000 glitch \
    && install --directory --owner glitch --group glitch /cache
COPY --from=build /opt/flax_glitch /opt/flax_glitch
COPY checkpoints/default /opt/checkpoints/default
ENV PATH=/opt/flax_glitch/bin:$PATH \
    XDG_CACHE_HOME=/cache \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    PYTHONUNBUFFERED=1
USER 1000
WORKDIR /opt
VOLUME /cache
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=4)"]
ENTRYPOINT ["flax-glitch"]
CMD ["app", "--checkpoint", "/opt/checkpoints/default", "--no-browser"]
