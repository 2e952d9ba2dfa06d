"""The clients that block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message

from . import messages
from .channel import DuetError, Tls, options
from .types import Box, Detections, Embedding, Failure, Image, ImageId, Masks, Model, Point, Prompt
from .wire.detector.v1 import detector_pb2
from .wire.segmenter.v1 import segmenter_pb2

Answer = TypeVar("Answer", bound=Message)


class _Client:
    """One connection. Threads may share it; `close` it, or use it in a `with`."""

    def __init__(self, target: str, *, tls: Tls | None = None, model: str = "", timeout_s: float = 60) -> None:
        """`target`: "host:port"; of a name with several addresses each is asked in turn. `model`: the name of a trained one."""
        self._channel = (grpc.secure_channel(target, tls.credentials(), options=options()) if tls else
                         grpc.insecure_channel(target, options=options()))
        self._model = model
        self._timeout_s = timeout_s

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        call = self._channel.unary_unary(method, request_serializer=type(request).SerializeToString,
                                         response_deserializer=answer.FromString)
        try:
            return call(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise DuetError(error.code(), error.details() or "") from None


class Detector(_Client):
    """Finds objects of known classes."""

    def detect(self, image: Image, *, score_threshold: float | None = None, max_detections: int | None = None,
               classes: Sequence[str] = (), class_agnostic: bool | None = None, masks: bool = True,
               background: bool = False) -> Detections:
        """What isn't given is as the service was started. `classes`: only these. `background`: nobody waits for this one."""
        request = messages.detect_request(
            image, score_threshold=score_threshold, max_detections=max_detections, classes=classes, class_agnostic=class_agnostic,
            masks=masks, background=background, model=self._model)
        return messages.detections(self._call(f"{messages.DETECTOR}Detect", request, detector_pb2.DetectResponse))

    def detect_many(self, images: Iterable[Image], *, score_threshold: float | None = None, max_detections: int | None = None,
                    classes: Sequence[str] = (), class_agnostic: bool | None = None,
                    masks: bool = True) -> Iterator[Detections | Failure]:
        """One answer for each image, in their order. They are read when they are sent, and `images` may be without end."""
        def requests() -> Iterator[detector_pb2.DetectBatchRequest]:
            for image in images:
                yield detector_pb2.DetectBatchRequest(request=messages.detect_request(
                    image, score_threshold=score_threshold, max_detections=max_detections, classes=classes,
                    class_agnostic=class_agnostic, masks=masks, background=True, model=self._model))
        call = self._channel.stream_stream(
            f"{messages.DETECTOR}DetectBatch", request_serializer=detector_pb2.DetectBatchRequest.SerializeToString,
            response_deserializer=detector_pb2.DetectBatchResponse.FromString)
        try:
            for answer in call(requests()):
                yield messages.outcome(answer)
        except grpc.RpcError as error:
            raise DuetError(error.code(), error.details() or "") from None

    def model(self) -> Model:
        request = detector_pb2.GetModelRequest(model=messages.model_spec(self._model))
        answer = self._call(f"{messages.DETECTOR}GetModel", request, detector_pb2.GetModelResponse)
        return messages.model(answer.model, answer.classes)


class Segmenter(_Client):
    """Makes masks of clicks and boxes."""

    def embed(self, image: Image) -> Embedding:
        """Encodes an image ahead of time, so that the first `segment` takes no longer than others."""
        request = messages.embed_request(image, model=self._model)
        return messages.embedding(self._call(f"{messages.SEGMENTER}Embed", request, segmenter_pb2.EmbedResponse))

    def segment(self, image: Image | ImageId, prompts: Sequence[Prompt | Point | Box], *, three_masks: bool = False,
                polygons: bool = False, logits: bool = False, background: bool = False) -> Masks:
        """A mask for each prompt, or three, from part to whole. The image itself is only sent if the service doesn't know it."""
        def call(source: ImageId | bytes) -> Masks:
            request = messages.segment_request(source, prompts, three_masks=three_masks, polygons=polygons, logits=logits,
                                               background=background, model=self._model)
            return messages.masks(self._call(f"{messages.SEGMENTER}Segment", request, segmenter_pb2.SegmentResponse))
        if isinstance(image, str):
            return call(image)
        data = messages.bytes_of(image)
        try:
            return call(messages.image_id_of(data))
        except DuetError as error:
            if error.code != grpc.StatusCode.NOT_FOUND:
                raise
        return call(data)

    def model(self) -> Model:
        request = segmenter_pb2.GetModelRequest(model=messages.model_spec(self._model))
        return messages.model(self._call(f"{messages.SEGMENTER}GetModel", request, segmenter_pb2.GetModelResponse).model)
