# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Messages made of arrays, and what happens where a package of ROS is missing or broken."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from opendr_panoptic_ros.errors import ImageEncodingError, PanopticError
from opendr_panoptic_ros.labels import CITYSCAPES
from opendr_panoptic_ros.outputs import COMPRESSED, OUTPUTS
from opendr_panoptic_ros.prediction import PanopticPrediction

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy")
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from opendr_panoptic_ros.ros import messages  # noqa: E402


@pytest.fixture
def header():
    header = Header(frame_id="front_camera")
    header.stamp.sec, header.stamp.nanosec = 12, 34
    return header


@pytest.fixture
def context(header):
    probability = np.zeros((4, 6), np.uint8)
    prediction = PanopticPrediction(np.zeros((4, 6), np.int32), (), CITYSCAPES, stuff_probability=probability)
    return messages.MessageContext(
        image_rgb=np.zeros((4, 6, 3), np.uint8), prediction=prediction, header=header, camera_info=None, jpeg_quality=80
    )


def test_an_image_message_holds_copies(header):
    pixels = np.array([[1, 258], [65535, 0]], np.uint16)
    image = messages.image_message(pixels, "mono16", header)
    assert (image.height, image.width, image.encoding, image.is_bigendian, image.step) == (2, 2, "mono16", 0, 4)
    assert image.data.typecode == "B"
    assert image.header == header
    header.stamp.sec = 99
    pixels[...] = 0
    assert image.header.stamp.sec == 12
    assert image.data.tolist() == [1, 0, 2, 1, 255, 255, 0, 0]


def test_a_jpeg_message_holds_a_copy_of_the_header(header):
    message = messages.jpeg_message(np.full((16, 24, 3), 99, np.uint8), header, quality=90)
    assert message.format == "rgb8; jpeg compressed bgr8"
    assert message.data.typecode == "B"
    assert message.header == header
    assert message.header is not header


@pytest.mark.parametrize("topic", OUTPUTS)
def test_every_row_of_the_table_makes_a_message(topic, context):
    image = messages.make_message(topic, context)
    assert (image.height, image.width, image.encoding) == (4, 6, OUTPUTS[topic].encoding)
    assert image.header == context.header
    assert (f"{topic}/compressed" in messages.MAKE_MESSAGE) == OUTPUTS[topic].compressed


def test_every_output_has_a_type():
    types = messages.message_types()
    assert {*types.outputs, *types.unavailable} - {"label_info"} == set(messages.MAKE_MESSAGE)
    assert set(COMPRESSED) < set(types.outputs)


def test_an_unknown_topic_is_an_error(context):
    with pytest.raises(PanopticError, match="no output panoptic/semantics; expected one of semantic, instance"):
        messages.make_message("semantics", context)


def test_the_reason_why_an_output_is_unavailable_is_kept(monkeypatch):
    monkeypatch.setitem(sys.modules, "opendr_panoptic_ros.msg", None)
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", ModuleType("vision_msgs.msg"))
    types = messages.message_types()
    assert "segmentation" not in types.outputs
    assert isinstance(types.unavailable["segmentation"], ModuleNotFoundError)
    assert "cannot import name 'LabelInfo'" in str(types.unavailable["label_info"])


def test_an_encoding_that_neither_codec_nor_cv_bridge_knows():
    image = Image(height=2, width=2, encoding="h264", step=6)
    with pytest.raises(ImageEncodingError, match=r"'h264'; expected one of .*bayer_rggb8.*rgb8") as error:
        messages.decode_image(image)
    assert "install" not in str(error.value)


def test_what_the_codec_refuses_of_a_known_encoding_is_not_passed_on():
    image = Image(height=2, width=2, encoding="rgb8", step=6)
    with pytest.raises(ImageEncodingError, match=r"data holds 0 bytes; 2 rows of step 6 take 12\. The message is"):
        messages.decode_image(image)
