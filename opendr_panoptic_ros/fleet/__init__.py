# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Work on several processes and machines: workers on Ray, shards of batch services, files in object stores."""
