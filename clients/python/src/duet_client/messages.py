"""Between what people hand over and what goes over the wire."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence

import grpc

from . import types
from .wire.detector.v1 import detector_pb2
from .wire.segmenter.v1 import segmenter_pb2
from .wire.vision.v1 import geometry_pb2, image_pb2, mask_pb2, model_pb2

DETECTOR = "/duet.detector.v1.Detector/"
SEGMENTER = "/duet.segmenter.v1.Segmenter/"


def bytes_of(image: types.Image) -> bytes:
    return image if isinstance(image, bytes) else pathlib.Path(image).read_bytes()


def image_id_of(data: bytes) -> types.ImageId:
    return types.ImageId(hashlib.sha256(data).hexdigest())


def model_spec(name: str) -> model_pb2.ModelSpec | None:
    return model_pb2.ModelSpec(name=name) if name else None


def detect_request(image: types.Image, *, score_threshold: float | None, max_detections: int | None, classes: Sequence[str],
                   class_agnostic: bool | None, masks: bool, background: bool, model: str) -> detector_pb2.DetectRequest:
    request = detector_pb2.DetectRequest(
        image=image_pb2.Image(data=bytes_of(image)), score_threshold=score_threshold, max_detections=max_detections, classes=classes,
        omit_masks=not masks, background=background, model=model_spec(model))
    if class_agnostic is not None:
        request.class_agnostic = class_agnostic
    return request


def embed_request(image: types.Image, *, model: str) -> segmenter_pb2.EmbedRequest:
    return segmenter_pb2.EmbedRequest(image=image_pb2.Image(data=bytes_of(image)), model=model_spec(model))


def segment_request(source: types.ImageId | bytes, prompts: Sequence[types.Prompt | types.Point | types.Box], *, three_masks: bool,
                    polygons: bool, logits: bool, background: bool, model: str) -> segmenter_pb2.SegmentRequest:
    formats = [segmenter_pb2.MASK_FORMAT_COCO_RLE]
    if polygons:
        formats.append(segmenter_pb2.MASK_FORMAT_POLYGONS)
    if logits:
        formats.append(segmenter_pb2.MASK_FORMAT_LOW_RES_LOGITS)
    request = segmenter_pb2.SegmentRequest(
        prompts=[prompt_message(each) for each in prompts], multimask_output=three_masks, formats=formats, background=background,
        model=model_spec(model))
    if isinstance(source, bytes):
        request.image.data = source
    else:
        request.image_id = source
    return request


def prompt_message(prompt: types.Prompt | types.Point | types.Box) -> segmenter_pb2.Prompt:
    if isinstance(prompt, types.Point):
        prompt = types.Prompt(points=(prompt,))
    elif isinstance(prompt, types.Box):
        prompt = types.Prompt(box=prompt)
    message = segmenter_pb2.Prompt(
        points=[segmenter_pb2.Point(x=each.x, y=each.y, label=int(each.foreground)) for each in prompt.points],
        mask_logits=prompt.logits)
    if prompt.box:
        message.box.CopyFrom(geometry_pb2.Box(**dataclasses.asdict(prompt.box)))
    return message


def box(message: geometry_pb2.Box) -> types.Box:
    return types.Box(message.x_min, message.y_min, message.x_max, message.y_max)


def coco_mask(message: mask_pb2.CocoRle) -> types.CocoMask:
    return types.CocoMask(message.height, message.width, message.counts)


def detections(message: detector_pb2.DetectResponse) -> types.Detections:
    def one(each: detector_pb2.Detection) -> types.Detection:
        turned = each.rotated_box
        return types.Detection(
            box(each.box), each.score, each.label, each.class_id, coco_mask(each.mask) if each.HasField("mask") else None,
            types.RotatedBox(turned.center_x, turned.center_y, turned.width, turned.height, turned.angle)
            if each.HasField("rotated_box") else None)
    return types.Detections(message.image_width, message.image_height, message.model_version, tuple(map(one, message.detections)))


def outcome(message: detector_pb2.DetectBatchResponse) -> types.Detections | types.Failure:
    if message.WhichOneof("outcome") == "response":
        return detections(message.response)
    (code,) = [each.name for each in grpc.StatusCode if each.value[0] == message.error.code] or ["UNKNOWN"]
    return types.Failure(code, message.error.message)


def embedding(message: segmenter_pb2.EmbedResponse) -> types.Embedding:
    return types.Embedding(types.ImageId(message.image_id), message.width, message.height, message.cached, message.model_version)


def masks(message: segmenter_pb2.SegmentResponse) -> types.Masks:
    def ring(each: geometry_pb2.Polygon) -> types.Polygon:
        return types.Polygon(tuple(zip(each.xy[::2], each.xy[1::2], strict=True)), each.hole)

    def one(each: segmenter_pb2.Mask) -> types.Mask:
        return types.Mask(each.iou_score, each.area, box(each.box) if each.HasField("box") else None,
                          coco_mask(each.rle) if each.HasField("rle") else None, tuple(map(ring, each.polygons)),
                          each.low_res_logits if each.HasField("low_res_logits") else None)
    return types.Masks(message.image_width, message.image_height, types.ImageId(message.image_id), message.model_version,
                       tuple(tuple(map(one, result.masks)) for result in message.results))


def model(message: model_pb2.ModelInfo, classes: Sequence[str] = ()) -> types.Model:
    return types.Model(message.name, message.version, message.precision, message.device, tuple(classes))
