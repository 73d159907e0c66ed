# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The parts of `make demo`: camera, recorder, report, page, and the session that runs them."""
