#include "model_service/common_options.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>

#include <algorithm>
#include <cstdint>

namespace model_service {

bool AbslParseFlag(absl::string_view text, Device* device, std::string* error) {
  constexpr std::size_t kMaxDigits = 3;
  const std::string lower = absl::AsciiStrToLower(text);
  absl::string_view index = lower;
  const bool cpu = absl::ConsumePrefix(&index, "cpu");
  const bool gpu =
      !cpu && (absl::ConsumePrefix(&index, "cuda") || absl::ConsumePrefix(&index, "gpu"));
  const bool indexed = absl::ConsumePrefix(&index, ":");
  const bool number = !index.empty() && index.size() <= kMaxDigits &&
                      std::all_of(index.begin(), index.end(), absl::ascii_isdigit);
  if (!(cpu || gpu) || (indexed ? !number : !index.empty()) || (cpu && indexed && index != "0")) {
    *error = "must be cpu, cuda or cuda:N";
    return false;
  }
  device->name = cpu ? "cpu" : indexed ? absl::StrCat("cuda:", index) : "cuda";
  return true;
}

std::string AbslUnparseFlag(const Device& device) { return device.name; }

vision::ImageLimits CommonOptions::image_limits() const {
  const int max_mb = max_image_mb > 0 ? max_image_mb : server.max_message_mb;
  return {.max_bytes = std::int64_t{max_mb} << 20,
          .max_pixels = std::int64_t{max_image_megapixels} * 1'000'000};
}

NamedModelsOptions CommonOptions::named_models(model_store::Kind kind) const {
  return {.model_root = reload.model_root,
          .kind = kind,
          .budget_bytes = static_cast<std::uint64_t>(model_budget_mb) << 20,
          .poll_interval = absl::Milliseconds(model_poll_ms),
          .max_waiting = std::max(1, std::min(queue_size, server.max_handlers / 4))};
}

void AddFlags(CommonOptions* options, std::string_view checkpoint_help, serving::FlagTable* flags) {
  using serving::InRange;
  flags->Required("checkpoint", &options->checkpoint, checkpoint_help);
  flags->Add("device", &options->device, "Where to compute: cpu, cuda or cuda:N.");
  flags->Add("precision", &options->precision,
             "Arithmetic: fp32; bf16, which is used on CPUs where it is faster; or "
             "fp32-strict, which never makes float32 products of bf16 ones, as fp32 may in "
             "SAM's ViT on CPUs with AMX (their error is 4e-6 of their size, not 3e-7).",
             serving::OneOf({"fp32", "fp32-strict", "bf16"}));
  flags->Add("threads", &options->threads,
             "Threads that compute; 0: as many as the process has CPUs.", InRange(0, 1024));
  flags->Add("kernel_plan", &options->kernel_plan,
             "File in which the choice of the faster kernel for each layer is kept, measured where "
             "it has none for this kind of CPU. With the same plan the same CPU gives the same "
             "bits. Empty: each process measures.");
  flags->Add("queue_size", &options->queue_size,
             "Work that may wait; more is refused with RESOURCE_EXHAUSTED.", InRange(1, 1 << 16));
  flags->Add("image_root", &options->image_root,
             "Directory below which requests may name files (file://); empty: none.");
  flags->Add("max_image_mb", &options->max_image_mb,
             "Largest image file, MiB; 0: as --max_message_mb.", InRange(0, 2000));
  flags->Add("max_image_megapixels", &options->max_image_megapixels,
             "Largest image, millions of pixels; each takes 3 MB while it is decoded.",
             InRange(1, 2000));
  flags->Add("enable_reload", &options->reload.enabled, "Allow ReloadModel.");
  flags->Add("model_root", &options->reload.model_root,
             "Directory of trained models, which serve under their names; also below which "
             "ReloadModel may read files. Empty: none but --checkpoint.");
  flags->Add("model_budget_mb", &options->model_budget_mb,
             "Memory for the models below --model_root, MiB; those used least recently make room.",
             InRange(1, 1 << 20));
  flags->Add("model_poll_ms", &options->model_poll_ms,
             "How often it is looked which of their versions are to serve.", InRange(10, 60'000));
  AddFlags(&options->server, flags);
  otlp::AddFlags(&options->otlp, flags);
  AddFlags(&options->process, flags);
}

}  // namespace model_service
