# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""The command `opendr-panoptic`; one file per subcommand, registered in `main`."""
