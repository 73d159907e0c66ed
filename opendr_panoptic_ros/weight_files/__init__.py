# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Files of weights, read without running code in them: `.pth` in `torch_file` and `pickled`, both kinds in `stored`."""
