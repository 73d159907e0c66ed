"""The command `opendr-panoptic`; one file per subcommand, registered in `main`."""
