#include "detector_service/rpc/options.h"

namespace detector {
namespace {

// "" if `value` is from `least` to `most`; NaN is not.
std::string CheckNumber(double value, double least, double most, const char* wanted) {
  return value >= least && value <= most ? "" : wanted;
}

}  // namespace

LoadOptions Options::load_options() const {
  LoadOptions load{.checkpoint = checkpoint,
                   .config_file = config_file,
                   .device = device,
                   .precision = precision,
                   .plain = plain,
                   .score_threshold = score_threshold};
  if (max_detections > 0) load.max_detections = max_detections;
  if (nms_iou_threshold >= 0) load.nms_iou_threshold = nms_iou_threshold;
  if (input_size > 0) load.input_side = input_size;
  return load;
}

vision::ImageLimits Options::image_limits() const {
  return {.max_bytes = std::int64_t{server.max_message_mb} << 20,
          .max_pixels = std::int64_t{max_megapixels} * 1'000'000};
}

void AddFlags(Options* options, serving::FlagTable* flags) {
  flags->Required("checkpoint", &options->checkpoint,
                  "The weights: RTMDet's or MMYOLO's .pth (zip or legacy) or .safetensors.");
  flags->Add("config_file", &options->config_file,
             "An mmengine config (.py) to use instead of the one in the checkpoint.");
  flags->Add("device", &options->device, "Where to compute: cpu, cuda or cuda:N.");
  flags->Add("precision", &options->precision,
             "Arithmetic: fp32; or bf16 allowed, used on CPUs where it is faster.",
             serving::OneOf({"fp32", "bf16"}));
  flags->Add("plain", &options->plain,
             "Compute with LibTorch's operators on the CPU too, to compare with the packed form.");
  flags->Add("threads", &options->threads,
             "Threads per picture; 0: as many as the process has CPUs.", serving::InRange(0, 1024));
  flags->Add("score_threshold", &options->score_threshold,
             "Detections must score more than this, unless the request says otherwise.",
             [](double v) { return CheckNumber(v, 0, 1, "must be from 0 to 1"); });
  flags->Add("max_detections", &options->max_detections,
             "At most so many detections per picture, unless the request says otherwise; 0: the "
             "model config's.",
             serving::InRange(0, 100'000));
  flags->Add(
      "nms_iou_threshold", &options->nms_iou_threshold,
      "Overlap (IoU) above which the weaker of two boxes of a class is dropped; -1: the model "
      "config's.",
      [](double v) {
        constexpr char kNeeded[] = "must be from 0 to 1, or -1";
        return v < 0 && v != -1 ? std::string(kNeeded) : CheckNumber(v, -1, 1, kNeeded);
      });
  flags->Add(
      "input_size", &options->input_size,
      "Side of the network's square input in pixels, a multiple of 32; 0: the model config's.",
      [](int v) {
        return v >= 0 && v <= 4096 && v % 32 == 0 ? std::string()
                                                  : "must be a multiple of 32 up to 4096";
      });
  flags->Add("queue_size", &options->queue_size,
             "Requests that may wait; further ones are refused (RESOURCE_EXHAUSTED).",
             serving::InRange(1, 10'000));
  flags->Add("image_root", &options->image_root,
             "Directory below which file:// pictures may be read; empty: none.");
  flags->Add("max_megapixels", &options->max_megapixels,
             "Larger pictures are refused before they are decoded.", serving::InRange(1, 2000));
  flags->Add("enable_reload", &options->enable_reload, "Allow ReloadModel.");
  flags->Add("model_root", &options->model_root,
             "Directory below which ReloadModel may read checkpoints and configs.");
  AddFlags(&options->server, flags);
  AddFlags(&options->process, flags);
}

}  // namespace detector
