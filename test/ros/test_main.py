# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

from __future__ import annotations

import sys

from opendr_panoptic_ros.ros.main import main


def test_without_ros_the_error_names_what_to_install(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith(("rclpy", "opendr_panoptic_ros.ros"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rclpy", None)  # an import then fails, as where it is not installed
    monkeypatch.setattr("signal.signal", lambda *_: None)  # this process keeps its own
    assert main([]) == 1
    error = capsys.readouterr().err
    assert "'rclpy' is missing" in error
    assert "opendr_panoptic_ros[ros]" in error
