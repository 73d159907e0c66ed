"""`python -m opendr_panoptic_ros`: the command `opendr-panoptic`, also for torchrun."""

from opendr_panoptic_ros.cli.main import main

main()
