# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors
# The nodes on ROS 2 Jazzy. The command starts a node; everything else of ROS is there too.
#   docker build -f docker/jazzy.Dockerfile -t opendr-panoptic:jazzy .
#   docker run --rm --net host --ipc host opendr-panoptic:jazzy \
#       ros2 launch opendr_panoptic_ros panoptic.launch.py image_topic:=/front/image_raw
# The image has not been built yet: test/test_docker.py checks this file, and its pip steps were tried without it.
FROM ros:jazzy-ros-base

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="opendr-panoptic" \
      org.opencontainers.image.description="Panoptic segmentation with EfficientPS, nodes of ROS 2 Jazzy" \
      org.opencontainers.image.source="https://github.com/opendr-panoptic/opendr_panoptic_ros" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /opt/workspace
COPY package.xml src/opendr_panoptic_ros/
# The versions of packages are those of the ROS distribution.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends -y libgl1 libglib2.0-0 python3-venv \
    && rosdep update --rosdistro jazzy \
    && rosdep install --from-paths src --ignore-src --rosdistro jazzy --skip-keys rviz2 -y \
    && rm -rf /var/lib/apt/lists/*

# Debian's Python refuses pip outside of an environment; this one sees the modules of ROS.
ENV VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:$PATH
COPY requirements/core.txt /opt/requirements/
RUN python3 -m venv --system-site-packages "$VIRTUAL_ENV" \
    && pip install --no-cache-dir -r /opt/requirements/core.txt
COPY . src/opendr_panoptic_ros
RUN . /opt/ros/jazzy/setup.bash \
    && colcon build --merge-install --install-base /opt/panoptic \
        --cmake-args -DBUILD_TESTING=OFF "-DPython3_EXECUTABLE=$VIRTUAL_ENV/bin/python3" \
    && rm -rf build log
COPY --chmod=755 docker/entrypoint.sh /entrypoint.sh

# Ubuntu's images have a user with the id 1000.
USER 1000:1000
WORKDIR /tmp
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["/entrypoint.sh"]
CMD ["ros2", "run", "opendr_panoptic_ros", "panoptic_node"]
