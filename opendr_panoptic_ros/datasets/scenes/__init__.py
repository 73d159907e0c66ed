"""The parts of the synthetic street scenes: camera, drawing, objects, street, traffic, light and lens."""
