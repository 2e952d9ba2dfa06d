"""The same clients for asyncio: see sync.py for what the arguments mean."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Self, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from . import messages
from .channel import DuetError, Tls, options
from .types import Box, Detections, Embedding, Failure, Image, ImageId, Masks, Model, Point, Prompt
from .wire.detector.v1 import detector_pb2
from .wire.segmenter.v1 import segmenter_pb2

Answer = TypeVar("Answer", bound=Message)


class _AsyncClient:
    """One connection, for tasks of the event loop that made it; `close` it, or use it in an `async with`."""

    def __init__(self, target: str, *, tls: Tls | None = None, model: str = "", timeout_s: float = 60) -> None:
        self._channel = (grpc.aio.secure_channel(target, tls.credentials(), options=options()) if tls else
                         grpc.aio.insecure_channel(target, options=options()))
        self._model = model
        self._timeout_s = timeout_s

    async def close(self) -> None:
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _call(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        call = self._channel.unary_unary(method, request_serializer=type(request).SerializeToString,
                                         response_deserializer=answer.FromString)
        try:
            return await call(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise DuetError(error.code(), error.details() or "") from None


class AsyncDetector(_AsyncClient):
    """Finds objects of known classes."""

    async def detect(self, image: Image, *, score_threshold: float | None = None, max_detections: int | None = None,
               classes: Sequence[str] = (), class_agnostic: bool | None = None, masks: bool = True,
               background: bool = False) -> Detections:
        request = messages.detect_request(
            image, score_threshold=score_threshold, max_detections=max_detections, classes=classes, class_agnostic=class_agnostic,
            masks=masks, background=background, model=self._model)
        return messages.detections(await self._call(f"{messages.DETECTOR}Detect", request, detector_pb2.DetectResponse))

    async def detect_many(self, images: Iterable[Image], *, score_threshold: float | None = None, max_detections: int | None = None,
                    classes: Sequence[str] = (), class_agnostic: bool | None = None,
                    masks: bool = True) -> AsyncIterator[Detections | Failure]:
        async def requests() -> AsyncIterator[detector_pb2.DetectBatchRequest]:
            for image in images:
                yield detector_pb2.DetectBatchRequest(request=messages.detect_request(
                    image, score_threshold=score_threshold, max_detections=max_detections, classes=classes,
                    class_agnostic=class_agnostic, masks=masks, background=True, model=self._model))
        call = self._channel.stream_stream(
            f"{messages.DETECTOR}DetectBatch", request_serializer=detector_pb2.DetectBatchRequest.SerializeToString,
            response_deserializer=detector_pb2.DetectBatchResponse.FromString)
        try:
            async for answer in call(requests()):
                yield messages.outcome(answer)
        except grpc.aio.AioRpcError as error:
            raise DuetError(error.code(), error.details() or "") from None

    async def model(self) -> Model:
        request = detector_pb2.GetModelRequest(model=messages.model_spec(self._model))
        answer = await self._call(f"{messages.DETECTOR}GetModel", request, detector_pb2.GetModelResponse)
        return messages.model(answer.model, answer.classes)


class AsyncSegmenter(_AsyncClient):
    """Makes masks of clicks and boxes."""

    async def embed(self, image: Image) -> Embedding:
        request = messages.embed_request(image, model=self._model)
        return messages.embedding(await self._call(f"{messages.SEGMENTER}Embed", request, segmenter_pb2.EmbedResponse))

    async def segment(self, image: Image | ImageId, prompts: Sequence[Prompt | Point | Box], *, three_masks: bool = False,
                polygons: bool = False, logits: bool = False, background: bool = False) -> Masks:
        async def call(source: ImageId | bytes) -> Masks:
            request = messages.segment_request(source, prompts, three_masks=three_masks, polygons=polygons, logits=logits,
                                               background=background, model=self._model)
            return messages.masks(await self._call(f"{messages.SEGMENTER}Segment", request, segmenter_pb2.SegmentResponse))
        if isinstance(image, str):
            return await call(image)
        data = messages.bytes_of(image)
        try:
            return await call(messages.image_id_of(data))
        except DuetError as error:
            if error.code != grpc.StatusCode.NOT_FOUND:
                raise
        return await call(data)

    async def model(self) -> Model:
        request = segmenter_pb2.GetModelRequest(model=messages.model_spec(self._model))
        return messages.model((await self._call(f"{messages.SEGMENTER}GetModel", request, segmenter_pb2.GetModelResponse)).model)
