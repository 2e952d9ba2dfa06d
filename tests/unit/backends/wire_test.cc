#include "backends/wire.h"

#include <gmock/gmock.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <vector>

#include "duet/detector/v1/detector.pb.h"
#include "duet/segmenter/v1/segmenter.pb.h"

namespace backends {
namespace {

template <typename Message>
Message Parse(grpc::ByteBuffer buffer) {
  Message message;
  EXPECT_TRUE(grpc::SerializationTraits<Message>::Deserialize(&buffer, &message).ok());
  return message;
}

// Longer than gRPC keeps inside of a slice, and than one byte of length tells.
ImageRef EncodedImage() {
  return {.id = "0123", .bytes = std::make_shared<const std::string>(1000, '\xff')};
}

TEST(WireTest, ARequestIsReadAsItWas) {
  duet::segmenter::v1::SegmentRequest request;
  request.set_image_id("0123");
  request.add_prompts()->mutable_box()->set_x_max(10);

  const auto read = Parse<duet::segmenter::v1::SegmentRequest>(Serialize(request));

  EXPECT_EQ(read.SerializeAsString(), request.SerializeAsString());
}

TEST(WireTest, AnImageBecomesAField) {
  duet::detector::v1::DetectRequest request;
  request.set_score_threshold(0.25f);
  const ImageRef image = EncodedImage();

  const auto read = Parse<duet::detector::v1::DetectRequest>(
      Serialize(request, duet::detector::v1::DetectRequest::kImageFieldNumber, image));

  EXPECT_EQ(read.image().data(), *image.bytes);
  EXPECT_EQ(read.score_threshold(), 0.25f);
}

TEST(WireTest, AnImagesBytesAreSharedAndLiveAsLongAsTheBuffer) {
  ImageRef image = EncodedImage();
  const std::weak_ptr<const std::string> watched = image.bytes;
  const char* const bytes = image.bytes->data();

  grpc::ByteBuffer buffer = Serialize(duet::detector::v1::DetectRequest(),
                                      duet::detector::v1::DetectRequest::kImageFieldNumber, image);
  image.bytes.reset();

  {
    std::vector<grpc::Slice> slices;
    ASSERT_TRUE(buffer.Dump(&slices).ok());
    EXPECT_EQ(reinterpret_cast<const char*>(slices.back().begin()), bytes);
  }
  EXPECT_FALSE(watched.expired());
  buffer.Clear();
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace backends
