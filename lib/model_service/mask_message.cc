#include "model_service/mask_message.h"

#include <cstdint>
#include <vector>

#include "vision/mask_rle.h"

namespace model_service {

void WriteCocoRle(const vision::Mask& mask, duet::vision::v1::CocoRle* message) {
  message->set_height(static_cast<std::uint32_t>(mask.size.height));
  message->set_width(static_cast<std::uint32_t>(mask.size.width));
  message->set_counts(vision::EncodeCocoRle(mask));
}

void WriteRowRuns(const vision::Mask& mask, duet::vision::v1::RowRuns* message) {
  message->set_height(static_cast<std::uint32_t>(mask.size.height));
  message->set_width(static_cast<std::uint32_t>(mask.size.width));
  const std::vector<std::uint32_t> runs = vision::EncodeRowRuns(mask);
  message->mutable_counts()->Add(runs.begin(), runs.end());
}

}  // namespace model_service
