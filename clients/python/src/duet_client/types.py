"""What is asked with, and what is answered. Pixels of the upright original image everywhere."""

from __future__ import annotations

import dataclasses
import os
from typing import NewType, Union

# A file's bytes, or where the file is.
Image = Union[bytes, "os.PathLike[str]"]
# SHA-256 of an image's bytes, lower-case hex: what a segmenter knows an image by that it has seen.
ImageId = NewType("ImageId", str)


@dataclasses.dataclass(frozen=True)
class Box:
    """Covers x in [x_min, x_max) and y in [y_min, y_max)."""
    x_min: float
    y_min: float
    x_max: float
    y_max: float

    @property
    def width(self) -> float:
        return self.x_max - self.x_min

    @property
    def height(self) -> float:
        return self.y_max - self.y_min


@dataclasses.dataclass(frozen=True)
class RotatedBox:
    """The angle is in radians, clockwise as seen on the screen."""
    center_x: float
    center_y: float
    width: float
    height: float
    angle: float


@dataclasses.dataclass(frozen=True)
class Point:
    """A click: on the object, or on what isn't of it."""
    x: float
    y: float
    foreground: bool = True


@dataclasses.dataclass(frozen=True)
class Prompt:
    """One object, by any mix of these."""
    points: tuple[Point, ...] = ()
    box: Box | None = None
    # Mask.low_res_logits of an earlier answer.
    logits: bytes | None = None


@dataclasses.dataclass(frozen=True)
class CocoMask:
    """COCO's compressed run-length string."""
    height: int
    width: int
    counts: str

    def as_dict(self) -> dict[str, object]:
        """As pycocotools takes it, and COCO files have it."""
        return {"size": [self.height, self.width], "counts": self.counts}


@dataclasses.dataclass(frozen=True)
class Polygon:
    """A closed ring, whose first point isn't repeated; or a hole in the ring before it."""
    points: tuple[tuple[float, float], ...]
    hole: bool


@dataclasses.dataclass(frozen=True)
class Detection:
    """`mask` and `rotated_box` are there if the model makes them; then `box` is around rotated_box."""
    box: Box
    score: float  # [0, 1]
    label: str
    class_id: int
    mask: CocoMask | None
    rotated_box: RotatedBox | None


@dataclasses.dataclass(frozen=True)
class Detections:
    """Of one image; the best score first."""
    width: int
    height: int
    model_version: str
    detections: tuple[Detection, ...]


@dataclasses.dataclass(frozen=True)
class Failure:
    """An image of many that has no detections, and why."""
    code: str  # "INVALID_ARGUMENT"
    message: str


@dataclasses.dataclass(frozen=True)
class Embedding:
    """`cached`: it was there already."""
    image_id: ImageId
    width: int
    height: int
    cached: bool
    model_version: str


@dataclasses.dataclass(frozen=True)
class Mask:
    """`iou` is the model's own estimate and may exceed 1. What wasn't asked for is None, or ()."""
    iou: float
    area: int
    box: Box | None  # None: the mask is empty
    coco: CocoMask | None
    polygons: tuple[Polygon, ...]
    low_res_logits: bytes | None


@dataclasses.dataclass(frozen=True)
class Masks:
    """`masks` has for each prompt the model's masks: one, or three from part to whole."""
    width: int
    height: int
    image_id: ImageId
    model_version: str
    masks: tuple[tuple[Mask, ...], ...]

    def best(self) -> tuple[Mask, ...]:
        """For each prompt the one that the model believes in most."""
        return tuple(max(each, key=lambda mask: mask.iou) for each in self.masks)


@dataclasses.dataclass(frozen=True)
class Model:
    """`version` changes whenever answers may. `classes` is of detectors alone."""
    name: str
    version: str
    precision: str
    device: str
    classes: tuple[str, ...] = ()
