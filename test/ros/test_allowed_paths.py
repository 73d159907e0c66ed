# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Which files a peer on the network can make the node read: requests over real DDS."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
from rcl_interfaces.srv import SetParameters, SetParametersAtomically  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

SERVICES = {"set_parameters": SetParameters, "set_parameters_atomically": SetParametersAtomically}


@pytest.fixture
def request_of(bench):
    """Return a function that sets parameters as a peer does and returns why they are refused."""
    clients = {
        name: bench.client.create_client(kind, f"panoptic_segmentation/{name}") for name, kind in SERVICES.items()
    }

    def request(service="set_parameters", **values):
        client = clients[service]
        bench.wait_for(client.service_is_ready, "the service")
        message = SERVICES[service].Request()
        message.parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        future = client.call_async(message)
        bench.wait_for(future.done, "the response")
        response = future.result()
        results = response.results if service == "set_parameters" else [response.result]
        assert all(result.successful == (not result.reason) for result in results)
        return next((result.reason for result in results if result.reason), "")

    return request


@pytest.fixture
def folder(tmp_path, tiny_checkpoint):
    """A folder with weights, a configuration and a mask, beside one with a secret."""
    allowed, secret = tmp_path / "allowed", tmp_path / "secret"
    for path in (allowed / "sub", secret):
        path.mkdir(parents=True)
    shutil.copy(tiny_checkpoint, allowed / "sub" / "tiny.safetensors")
    cv2.imwrite(str(allowed / "mask.png"), np.zeros((48, 64), np.uint8))
    (secret / "key").write_text("BEGIN PRIVATE KEY")
    (allowed / "link").symlink_to(secret / "key")
    return allowed


@pytest.mark.parametrize("service", SERVICES)
def test_other_files_are_refused_whether_they_exist_or_not(bench, tiny_checkpoint, folder, request_of, service):
    node = bench.node(checkpoint=str(tiny_checkpoint), allowed_paths=[str(folder)])
    bench.spin(node)
    secret = folder.parent / "secret" / "key"
    outside = [
        str(secret),
        str(secret.with_name("missing")),
        f"{folder}/../secret/key",
        f"{folder}/link",  # leads out
        f"{folder}2",
        "/etc/passwd",
        "/dev/zero",
        "~/.ssh/id_rsa",
        "~nosuchuser/key",
        "key",
        "a\nb",
        "x" * 100_000,
    ]
    before = node.settings()
    for name in ("checkpoint", "config", "label_map", "ego_mask"):
        reasons = set()
        for path in outside:
            reason = request_of(service, **{name: [path] if name == "ego_mask" else path})
            assert "is not inside one of allowed_paths" in reason, (name, path)
            assert len(reason) < 300
            reasons.add(reason.partition("which")[2])
        assert len(reasons) == 1, "the reason does not tell which files exist"
    assert "not inside" in request_of(service, ego_mask=[str(folder / "mask.png"), str(secret)])
    assert "allowed_paths" in request_of(service, allowed_paths=["/"])
    assert node.settings() == before
    inside = str(folder / "sub" / "tiny.safetensors")
    assert request_of(service, checkpoint=inside, ego_mask=[f"{folder}/sub/../mask.png"], config="kitti") == ""
    assert node.settings().checkpoint == inside
    assert request_of(service, checkpoint=str(tiny_checkpoint), config="", label_map="identity", ego_mask=[""]) == ""
    assert node.start(), node.last_error


def test_by_default_only_values_of_the_start_and_names_are_accepted(bench, tiny_checkpoint, folder, request_of):
    """So that launch files and parameter files work as they are."""
    mask = str(folder / "mask.png")
    node = bench.node(checkpoint=str(tiny_checkpoint), ego_mask=[mask])
    bench.spin(node)
    assert "not inside" in request_of(checkpoint=str(folder / "sub" / "tiny.safetensors"))
    assert "not inside" in request_of(config=str(tiny_checkpoint)), "the value of another parameter"
    for name in ("demo", "cityscapes", "kitti", str(tiny_checkpoint)):
        assert request_of(checkpoint=name) == ""
    for masks in ([""], [mask], [mask, ""]):
        assert request_of(ego_mask=masks) == ""
    assert request_of(ego_mask=[mask]) == ""
    assert node.start(), node.last_error
