#include "vision/webp_decoder.h"

#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>

namespace vision {
namespace {

const std::uint8_t* BytesOf(std::string_view data) {
  return reinterpret_cast<const std::uint8_t*>(data.data());
}

// Fills `image`, whose size must be that of the bitstream `data`.
absl::Status DecodeInto(std::string_view data, cv::Mat image) {
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) {
    return absl::InternalError("libwebp is not the version that this was built with");
  }
  VP8StatusCode status = WebPGetFeatures(BytesOf(data), data.size(), &config.input);
  // Before libwebp allocates for the size that the bitstream says.
  if (status == VP8_STATUS_OK &&
      (config.input.width != image.cols || config.input.height != image.rows)) {
    return absl::InvalidArgumentError("the WebP's bitstream has another size than its header");
  }
  if (status == VP8_STATUS_OK) {
    config.output.colorspace = MODE_BGR;
    config.output.is_external_memory = 1;
    config.output.u.RGBA = {.rgba = image.data,
                            .stride = static_cast<int>(image.step[0]),
                            .size = image.step[0] * static_cast<std::size_t>(image.rows - 1) +
                                    image.elemSize() * static_cast<std::size_t>(image.cols)};
    status = WebPDecode(BytesOf(data), data.size(), &config);
  }
  if (status == VP8_STATUS_OK) return absl::OkStatus();
  if (status == VP8_STATUS_OUT_OF_MEMORY) {
    return absl::ResourceExhaustedError("no memory to decode the WebP");
  }
  return absl::InvalidArgumentError("the WebP is damaged or of a kind that cannot be decoded");
}

struct DeleteDemuxer {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};

absl::Status DecodeFirstFrame(std::string_view bytes, cv::Mat canvas) {
  const WebPData data{.bytes = BytesOf(bytes), .size = bytes.size()};
  const std::unique_ptr<WebPDemuxer, DeleteDemuxer> demuxer(WebPDemux(&data));
  WebPIterator frame{};
  if (demuxer == nullptr || !WebPDemuxGetFrame(demuxer.get(), 1, &frame)) {
    return absl::InvalidArgumentError("the WebP's animation is damaged");
  }
  const cv::Rect place(frame.x_offset, frame.y_offset, frame.width, frame.height);
  const std::string_view payload(reinterpret_cast<const char*>(frame.fragment.bytes),
                                 frame.fragment.size);
  WebPDemuxReleaseIterator(&frame);  // the payload is a part of `bytes`
  if ((place & cv::Rect(0, 0, canvas.cols, canvas.rows)) != place || place.empty()) {
    return absl::InvalidArgumentError("the WebP's first frame is not within its canvas");
  }
  return DecodeInto(payload, canvas(place));
}

}  // namespace

absl::StatusOr<DecodedImage> DecodeWebp(std::string_view bytes, Size size) {
  WebPBitstreamFeatures features;
  const bool animated = WebPGetFeatures(BytesOf(bytes), bytes.size(), &features) == VP8_STATUS_OK &&
                        features.has_animation != 0;
  DecodedImage image;
  image.pixels.create(size.height, size.width, CV_8UC3);
  if (animated) image.pixels.setTo(0);
  const absl::Status status =
      animated ? DecodeFirstFrame(bytes, image.pixels) : DecodeInto(bytes, image.pixels);
  if (!status.ok()) return status;
  return image;
}

}  // namespace vision
