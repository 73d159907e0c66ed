# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Reading files of weights without running code in them.

`stored` opens `.safetensors` and `.pth` files; `torch_file`, `storages` and `pickled` read `.pth` files.
"""
