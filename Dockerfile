# lit-unlearn in a container: docker build -t lit-unlearn . && docker run --rm lit-unlearn fit -c demo.yaml
#
# For GPUs: docker build --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 -t lit-unlearn:cuda . and `docker run --gpus all`.
# torch's wheel for Linux brings its own CUDA libraries, so that either base runs it; for a smaller image without them, give
# the index of torch's wheels for the processor as --build-arg PIP_EXTRA_INDEX_URL=URL.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# python3 3.11 or newer: the default base has it, Ubuntu 24.04 has 3.12 as a package.
RUN command -v python3 > /dev/null && python3 -m venv --help > /dev/null 2>&1 \
    || (apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*)
RUN python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' && python3 -m venv /opt/lit-unlearn
ENV PATH=/opt/lit-unlearn/bin:$PATH

ARG PIP_EXTRA_INDEX_URL=
ARG EXTRAS=report,tune,lora
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY lit_unlearn lit_unlearn
COPY configs configs
RUN pip install --no-cache-dir --constraint constraints.txt ".[${EXTRAS}]"

# Models and data sets are kept in /cache, runs in /work: mount a folder on each.
RUN useradd --create-home --uid 10001 researcher && mkdir /cache /work && chown researcher /cache /work
USER researcher
ENV HF_HOME=/cache
WORKDIR /work
ENTRYPOINT ["lit-unlearn"]
CMD ["--help"]
