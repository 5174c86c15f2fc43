# Images of xbind for a CPU and for CUDA: `make docker`, `make docker STAGE=cuda`.
FROM python:3.11-slim AS base

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1

# What a run compiles is kept here; mount a volume to keep it between containers. Every user may
# write to it, since `docker run --user` decides who that is.
ENV XBIND_CACHE=/cache
RUN install -d -m 1777 /cache /work \
    && useradd --uid 1000 --create-home xbind

WORKDIR /src

# torch is the largest layer, and changes least.
ARG TORCH_INDEX=""
COPY constraints.txt ./
RUN torch="$(sed -n 's/^torch==/torch==/p' constraints.txt)" \
    && python -m pip install -c constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "$torch"

COPY . .


FROM base AS cpu

RUN python -m pip install -c constraints.txt '.[openvino,video]'
WORKDIR /work
USER 1000
# in a cache of its own: what user 1000 makes in /cache others could not write to
RUN XBIND_CACHE=/tmp/cache xbind doctor \
    && rm -rf /tmp/cache
ENTRYPOINT ["xbind"]
CMD ["--help"]


FROM base AS cuda

# Triton compiles the launcher of each kernel with a C compiler.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

# CUDA's libraries come with torch; the driver comes from the host, with `docker run --gpus all`.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

RUN python -m pip install -c constraints.txt '.[video]' \
    && python -c "import torch, triton; assert torch.version.cuda, 'torch is not a CUDA build'"
WORKDIR /work
USER 1000
ENTRYPOINT ["xbind"]
CMD ["--help"]
