#include "backends/wire.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/slice.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "duet/vision/v1/image.pb.h"

namespace backends {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

std::uint32_t TagOf(int field) {
  return WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}

// Keeps the bytes alive for as long as gRPC has the slice.
grpc::Slice Share(std::shared_ptr<const std::string> bytes) {
  using Owner = std::shared_ptr<const std::string>;
  const auto owner = std::make_unique<Owner>(std::move(bytes)).release();
  // gRPC's slices are of mutable bytes, but it doesn't write into those it sends.
  return {const_cast<char*>((*owner)->data()), (*owner)->size(),
          [](void* data) { delete static_cast<Owner*>(data); }, owner};
}

}  // namespace

grpc::ByteBuffer Serialize(const google::protobuf::MessageLite& request) {
  const grpc::Slice slice(request.SerializeAsString());
  return {&slice, 1};
}

grpc::ByteBuffer Serialize(const google::protobuf::MessageLite& request, int image_field,
                           const ImageRef& image) {
  // A field may come in any order, so the image goes last: everything before its bytes is one
  // slice.
  std::string head = request.SerializeAsString();
  {
    const std::uint32_t data_tag = TagOf(duet::vision::v1::Image::kDataFieldNumber);
    const auto length = static_cast<std::uint32_t>(image.bytes->size());
    google::protobuf::io::StringOutputStream text(&head);
    CodedOutputStream out(&text);
    out.WriteTag(TagOf(image_field));
    out.WriteVarint32(static_cast<std::uint32_t>(CodedOutputStream::VarintSize32(data_tag) +
                                                 CodedOutputStream::VarintSize32(length)) +
                      length);
    out.WriteTag(data_tag);
    out.WriteVarint32(length);
  }
  const std::array<grpc::Slice, 2> slices = {grpc::Slice(head), Share(image.bytes)};
  return {slices.data(), slices.size()};
}

}  // namespace backends
