# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors
# The command line on NVIDIA GPUs. PyTorch's wheels bring CUDA; the host needs its driver and nvidia-container-toolkit.
#   docker build -f docker/cuda.Dockerfile -t opendr-panoptic:cuda .
#   docker run --rm --gpus all -v "$PWD:/data" opendr-panoptic:cuda bag drive.mcap --out-dir labelled
# The image has not been built yet: test/test_docker.py checks this file, and its pip steps were tried without it.
FROM python:3.12-slim-bookworm

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="opendr-panoptic" \
      org.opencontainers.image.description="Panoptic segmentation with EfficientPS, on NVIDIA GPUs" \
      org.opencontainers.image.source="https://github.com/opendr-panoptic/opendr_panoptic_ros" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# What OpenCV loads. Their versions are those of the distribution.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends -y libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/opendr_panoptic_ros
# The pins first: a layer that changes with them only.
COPY requirements/core.txt requirements/fleet.txt requirements/train.txt requirements/
RUN pip install --no-cache-dir -r requirements/core.txt -r requirements/fleet.txt -r requirements/train.txt
COPY . .
RUN pip install --no-cache-dir --no-deps .

RUN useradd --create-home --uid 1000 panoptic && install -d -o panoptic -g panoptic /data
USER 1000:1000
WORKDIR /data
# The driver's parts that the container gets from the host.
ENV PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0 NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENTRYPOINT ["opendr-panoptic"]
CMD ["--help"]
