// Requests as gRPC sends them: serialized once, however many replicas are asked, and images are
// never copied. Internal to backends.
#ifndef DUET_BACKENDS_WIRE_H_
#define DUET_BACKENDS_WIRE_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>

#include "backends/client.h"

namespace backends {

grpc::ByteBuffer Serialize(const google::protobuf::MessageLite& request);

// `request` with `image` in its field `image_field`, a duet.vision.v1.Image, which it must not have
// yet. The buffer shares the image's bytes.
grpc::ByteBuffer Serialize(const google::protobuf::MessageLite& request, int image_field,
                           const ImageRef& image);

}  // namespace backends

#endif  // DUET_BACKENDS_WIRE_H_
