"""Connections, and what goes wrong on them."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence

import grpc

# What the services take and send at most by default (--max_message_mb).
MAX_MESSAGE_BYTES = 64 << 20


class DuetError(Exception):
    """What a service answered instead, in one sentence; `code` is gRPC's."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message

    @property
    def may_pass(self) -> bool:
        """The same call may succeed later. (While a service is starting, it has been repeated for some seconds already.)"""
        return self.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)


@dataclasses.dataclass(frozen=True)
class Tls:
    """Files as PEM. `ca`: who has signed the service's certificate; the others if the service asks for one of the client."""
    ca: os.PathLike[str]
    certificate: os.PathLike[str] | None = None
    key: os.PathLike[str] | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        def read(file: os.PathLike[str] | None) -> bytes | None:
            return None if file is None else pathlib.Path(file).read_bytes()
        return grpc.ssl_channel_credentials(read(self.ca), read(self.key), read(self.certificate))


def options() -> Sequence[tuple[str, object]]:
    """Large messages, all replicas behind a name in turn, and another attempt where a service is starting or draining."""
    retry = {"maxAttempts": 5, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 2,
             "retryableStatusCodes": ["UNAVAILABLE"]}
    config = {"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": [{"name": [{}], "retryPolicy": retry}]}
    return [("grpc.max_send_message_length", MAX_MESSAGE_BYTES), ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.service_config", json.dumps(config))]
