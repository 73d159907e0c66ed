"""Training, on mmdet and mmengine. It trains the weights of `network/`: what was trained is what runs."""
