#include "segmenter_service/rpc/translate.h"

#include <absl/strings/match.h>
#include <absl/time/time.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <type_traits>
#include <vector>

#include "serving/exceptions.h"

namespace segmenter {
namespace {

namespace pb = duet::segmenter::v1;

float Milliseconds(absl::Duration duration) {
  return static_cast<float>(absl::ToDoubleMilliseconds(duration));
}

// Calls work(i) for 0 <= i < count, on a few threads if there is more than one. `work` must not
// throw.
void ForEach(std::size_t count, const std::function<void(std::size_t)>& work) {
  constexpr std::size_t kMaxThreads = 4;
  std::atomic<std::size_t> next = 0;
  const auto run = [&] {
    for (std::size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::jthread> helpers;
  const std::size_t threads =
      std::min({count, kMaxThreads, std::size_t{std::thread::hardware_concurrency()}});
  for (std::size_t i = 1; i < threads; ++i) helpers.emplace_back(run);
  run();
}

}  // namespace

serving::Priority PriorityOf(pb::EmbedRank rank) {
  switch (rank) {
    case pb::EMBED_RANK_BATCH:
      return serving::Priority::kBatch;
    case pb::EMBED_RANK_PREFETCH:
      return serving::Priority::kPrefetch;
    case pb::EMBED_RANK_STOCK:
      return serving::Priority::kStock;
    default:
      return serving::Priority::kOpenedTask;
  }
}

MaskGeneratorOptions ReadOptions(const pb::SegmentEverythingRequest& request) {
  MaskGeneratorOptions options;
  const auto set = [](bool has, auto value, auto* field) {
    if (has) *field = static_cast<std::remove_pointer_t<decltype(field)>>(value);
  };
  set(request.has_points_per_side(), request.points_per_side(), &options.points_per_side);
  set(request.has_points_per_batch(), request.points_per_batch(), &options.points_per_batch);
  set(request.has_pred_iou_thresh(), request.pred_iou_thresh(), &options.pred_iou_thresh);
  set(request.has_stability_score_thresh(), request.stability_score_thresh(),
      &options.stability_score_thresh);
  set(request.has_stability_score_offset(), request.stability_score_offset(),
      &options.stability_score_offset);
  set(request.has_box_nms_thresh(), request.box_nms_thresh(), &options.box_nms_thresh);
  set(request.has_crop_n_layers(), request.crop_n_layers(), &options.crop_n_layers);
  set(request.has_crop_nms_thresh(), request.crop_nms_thresh(), &options.crop_nms_thresh);
  set(request.has_crop_overlap_ratio(), request.crop_overlap_ratio(), &options.crop_overlap_ratio);
  set(request.has_crop_n_points_downscale_factor(), request.crop_n_points_downscale_factor(),
      &options.crop_n_points_downscale_factor);
  set(request.has_min_mask_region_area(), request.min_mask_region_area(),
      &options.min_mask_region_area);
  set(request.has_mask_threshold(), request.mask_threshold(), &options.mask_threshold);
  return options;
}

void WriteTimes(const CallTimes& times, pb::Timing* timing) {
  timing->set_queue_ms(Milliseconds(times.queue));
  timing->set_decode_image_ms(Milliseconds(times.decode_image));
  timing->set_encode_ms(Milliseconds(times.encode));
  timing->set_decode_masks_ms(Milliseconds(times.decode_masks));
}

void WriteModelInfo(const ServedModel& model, duet::vision::v1::ModelInfo* info) {
  const NetworkSpec& spec = model.network->spec();
  info->set_name(model.name);
  info->set_version(model.version);
  info->set_input_width(static_cast<std::uint32_t>(spec.image_size));
  info->set_input_height(static_cast<std::uint32_t>(spec.image_size));
  info->set_precision(absl::EndsWith(spec.arithmetic, "bf16") ? "bf16" : "fp32");
  info->set_device(model.options.device);
  info->set_parameter_count(model.parameter_count);
}

absl::Status WriteResults(const SegmentResult& answer, const MaskFormats& formats,
                          pb::SegmentResponse* response) {
  const vision::MaskRenderer renderer =
      MakeMaskRenderer(answer.image.embedding->geometry, answer.masks.size);
  const std::size_t per_prompt = answer.masks.masks_per_prompt;
  std::vector<pb::Mask*> messages;
  for (std::size_t i = 0; i < answer.masks.iou_scores.size(); ++i) {
    if (i % per_prompt == 0) response->add_results();
    messages.push_back(response->mutable_results()->rbegin()->add_masks());
  }
  std::vector<absl::Status> statuses(messages.size());
  const auto write = [&](std::size_t i) {
    const std::size_t prompt = i / per_prompt;
    const int mask = static_cast<int>(i % per_prompt);
    messages[i]->set_iou_score(answer.masks.IouScore(prompt, mask));
    const std::vector<float> handed_out =
        formats.low_res_logits ? answer.masks.ClampedLogits(prompt, mask) : std::vector<float>();
    return WriteMask(renderer.Render(answer.masks.Logits(prompt, mask)), handed_out, formats,
                     messages[i]);
  };
  ForEach(messages.size(), [&](std::size_t i) {
    statuses[i] = serving::CatchAll("render a mask", [&] { return write(i); });
  });
  for (const absl::Status& status : statuses) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status WriteGenerated(const GeneratedMask& generated, const MaskFormats& formats,
                            pb::GeneratedMask* message) {
  message->mutable_mask()->set_iou_score(generated.iou_score);
  message->set_point_x(generated.point.x);
  message->set_point_y(generated.point.y);
  message->mutable_crop_box()->set_x_min(generated.crop_box.x_min);
  message->mutable_crop_box()->set_y_min(generated.crop_box.y_min);
  message->mutable_crop_box()->set_x_max(generated.crop_box.x_max);
  message->mutable_crop_box()->set_y_max(generated.crop_box.y_max);
  return WriteMask({generated.mask, generated.stability_score}, {}, formats,
                   message->mutable_mask());
}

}  // namespace segmenter
