"""Duet's model services from Python: boxes and masks for images.

    from pathlib import Path
    from duet_client import Detector, Segmenter

    with Detector("localhost:50051") as detector, Segmenter("localhost:50052") as segmenter:
        picture = Path("picture.jpg")
        found = detector.detect(picture, score_threshold=0.3)
        masks = segmenter.segment(picture, [each.box for each in found.detections])

`AsyncDetector` and `AsyncSegmenter` are the same for asyncio. Coordinates are pixels of the upright image, with the origin at its
top-left corner. Every call raises `DuetError`, and nothing else, for what the service or the connection says.
"""

from .aio import AsyncDetector, AsyncSegmenter
from .channel import DuetError, Tls
from .sync import Detector, Segmenter
from .types import (Box, CocoMask, Detection, Detections, Embedding, Failure, Image, ImageId, Mask, Masks, Model, Point, Polygon, Prompt,
                    RotatedBox)

__all__ = ["AsyncDetector", "AsyncSegmenter", "Box", "CocoMask", "Detection", "Detections", "Detector", "DuetError", "Embedding",
           "Failure", "Image", "ImageId", "Mask", "Masks", "Model", "Point", "Polygon", "Prompt", "RotatedBox", "Segmenter", "Tls"]
