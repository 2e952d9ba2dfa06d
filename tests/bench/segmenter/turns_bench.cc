// Duet's side of the comparison in side_by_side.py (tests/bench/turns.h).
//   bench_segmenter_turns --save=NAME:FILE    a model with random weights, as .pth or .safetensors;
//     NAME: vit_{b,l,h}, mobile_sam, hq_vit_{tiny,b,l,h}, sam2_hiera_{tiny,small,base_plus,large}
//   bench_segmenter_turns --machine                 the CPU, and what oneDNN uses of it
//   bench_segmenter_turns CHECKPOINT IMAGE [--threads=2] [--split_products]
//     --split_products: fp32's linear layers from bf16 products wherever there is bf16
//     input lines, each with fp32 or bf16 behind it; a process for each, since two networks' teams
//     of threads hold each other up:
//       encode          the encoder and what normalises its input, by the service's own clock
//       click, boxes    the decoder, likewise: three masks for a point, one for each of 16 boxes
//       answer          a click over gRPC, the image embedded before: three masks as RLE
//       answer_busy     the same while another image is encoded: the median of such clicks
//       embed:FILE      the image's embedding to a file, float32
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/pth_writer.h"
#include "checkpoint/safetensors_writer.h"
#include "nn/onednn/split_linear.h"
#include "nn/state_dict.h"
#include "nn/threads.h"
#include "segmenter_service/modeling/mobile_sam.h"
#include "segmenter_service/modeling/sam.h"
#include "segmenter_service/modeling/sam2.h"
#include "serving/cpu.h"
#include "tests/bench/turns.h"
#include "tests/testing/segmenter_server.h"

namespace segmenter {
namespace {

namespace pb = duet::segmenter::v1;

// Answers `precision`'s questions about one image.
class Contender {
 public:
  static absl::StatusOr<std::shared_ptr<Contender>> Start(const std::string& checkpoint,
                                                          const std::string& precision,
                                                          const std::string& picture, int threads) {
    absl::StatusOr<std::shared_ptr<const ServedModel>> model =
        LoadModel({checkpoint}, {.precision = precision, .threads = threads});
    if (!model.ok()) return model.status();
    auto contender = std::make_shared<Contender>(*std::move(model), picture);
    absl::Status status = contender->server_.WarmUp();
    if (!status.ok()) return status;
    return contender;
  }
  Contender(std::shared_ptr<const ServedModel> model, const std::string& picture)
      : picture_(picture), server_(std::move(model)) {}

  absl::StatusOr<bench::Work> Find(const std::string& what) {
    if (what == "encode") {
      return bench::Work([this]() -> absl::StatusOr<double> {
        picture_ += '\0';  // another image, by its id
        const auto response = server_.Embed(picture_);
        if (!response.ok()) return response.status();
        return response->timing().encode_ms();
      });
    }
    if (what.rfind("embed:", 0) == 0) {
      return bench::Timed([this, path = what.substr(6)] { return WriteEmbedding(path); });
    }
    if (absl::Status status = EnsureEmbedded(); !status.ok()) return status;
    if (what == "click" || what == "boxes") {
      return bench::Work(
          [this, request = what == "click" ? Click() : Boxes()] { return Decode(request); });
    }
    if (what == "answer") {
      return bench::Timed([this] { return server_.Segment(Click()).status(); });
    }
    if (what == "answer_busy") return bench::Work([this] { return ClickWhileEncoding(); });
    return absl::InvalidArgumentError("there is no work named " + what);
  }

 private:
  absl::Status EnsureEmbedded() {
    if (embedding_ != nullptr) return absl::OkStatus();
    absl::StatusOr<EmbedResult> answer = server_.engine().Embed(server_.host().Current(), picture_,
                                                                serving::Priority::kOpenedTask, {});
    if (!answer.ok()) return answer.status();
    image_id_ = answer->image_id;
    embedding_ = answer->embedding;
    return absl::OkStatus();
  }

  absl::Status WriteEmbedding(const std::string& path) {
    if (absl::Status status = EnsureEmbedded(); !status.ok()) return status;
    const std::vector<std::byte>& data = embedding_->features.maps[0].data;
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(data.data()),
               static_cast<std::streamsize>(data.size()));
    return file ? absl::OkStatus() : absl::InternalError(path + " could not be written");
  }

  pb::SegmentRequest Click() const {
    pb::SegmentRequest request;
    request.set_image_id(image_id_);
    pb::Point* point = request.add_prompts()->add_points();
    point->set_x(static_cast<float>(embedding_->geometry.original.width) / 2);
    point->set_y(static_cast<float>(embedding_->geometry.original.height) / 2);
    point->set_label(1);
    request.set_multimask_output(true);
    return request;
  }

  pb::SegmentRequest Boxes() const {
    pb::SegmentRequest request;
    request.set_image_id(image_id_);
    for (int i = 0; i < 16; ++i) {
      duet::vision::v1::Box* box = request.add_prompts()->mutable_box();
      box->set_x_min(20.0F * static_cast<float>(i));
      box->set_y_min(20.0F * static_cast<float>(i));
      box->set_x_max(20.0F * static_cast<float>(i) + 400);
      box->set_y_max(20.0F * static_cast<float>(i) + 300);
    }
    return request;
  }

  absl::StatusOr<double> Decode(const pb::SegmentRequest& request) {
    const auto response = server_.Segment(request);
    if (!response.ok()) return response.status();
    return response->timing().decode_masks_ms();
  }

  absl::StatusOr<double> ClickWhileEncoding() {
    picture_ += '\0';  // another image, by its id
    std::future<absl::Status> encoding =
        std::async(std::launch::async, [this] { return server_.Embed(picture_).status(); });
    std::vector<double> times;
    while (encoding.wait_for(std::chrono::seconds(0)) == std::future_status::timeout) {
      absl::Status status;
      times.push_back(bench::Milliseconds([&] { status = server_.Segment(Click()).status(); }));
      if (!status.ok()) return status;
    }
    if (absl::Status status = encoding.get(); !status.ok()) return status;
    std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
    return times[times.size() / 2];
  }

  std::string picture_;
  duet_testing::SegmenterServer server_;
  std::string image_id_;
  std::shared_ptr<const ImageEmbedding> embedding_;
};

template <typename Module>
absl::Status Save(const Module& module, const std::string& path) {
  const at::NoGradGuard no_grad;
  // Torch makes these zero, which would leave them out of the comparison.
  for (auto& parameter : module->named_parameters()) {
    for (const char* part : {"rel_pos", "pos_embed", "attention_biases"}) {
      if (parameter.key().find(part) != std::string::npos) parameter.value().normal_(0, 0.02);
    }
  }
  // A trained decoder's masks are of a few pieces. Random kernels make noise, whose outline is most
  // of the image; with all taps alike a cell's pixels stay together.
  for (auto& parameter : module->named_parameters()) {
    if (parameter.key().find("output_upscaling") != std::string::npos &&
        parameter.value().dim() == 4) {
      parameter.value().copy_(
          parameter.value().mean({2, 3}, /*keepdim=*/true).expand_as(parameter.value()));
    }
  }
  const checkpoint::StateDict state_dict = nn::ToStateDict(*module);
  return path.ends_with(".pth")
             ? checkpoint::WritePth(path, state_dict, std::nullopt)
             : checkpoint::WriteSafetensors(path, state_dict, checkpoint::Meta());
}

absl::Status SaveTinyVit(bool hq, const std::string& path) {
  MobileSamConfig config;
  config.image_encoder.layers = {
      {.dim = 64, .depth = 2, .hidden = 256},
      {.dim = 128, .depth = 2, .hidden = 512, .num_heads = 4, .window = 7},
      {.dim = 160, .depth = 6, .hidden = 640, .num_heads = 5, .window = 14, .stride = 1},
      {.dim = 320, .depth = 2, .hidden = 1280, .num_heads = 10, .window = 7},
  };
  if (hq) {
    config.mask_decoder.kind = MaskDecoderConfig::Kind::kHq;
    config.mask_decoder.vit_dim = 160;
  }
  return Save(MobileSam(config), path);
}

// SAM 2.1's sizes, as in its configs.
absl::Status SaveHiera(const std::string& size, const std::string& path) {
  std::map<std::string, HieraConfig> sizes = {{"tiny", {}}};
  sizes["small"] = {.stages = {1, 2, 11, 2}, .global_att_blocks = {7, 10, 13}};
  sizes["base_plus"] = {.embed_dim = 112,
                        .num_heads = 2,
                        .stages = {2, 3, 16, 3},
                        .global_att_blocks = {12, 16, 20},
                        .window_pos_embed_bkg_spatial_size = {14, 14}};
  sizes["large"] = {.embed_dim = 144,
                    .num_heads = 2,
                    .stages = {2, 6, 36, 4},
                    .global_att_blocks = {23, 33, 43},
                    .window_spec = {8, 4, 16, 8}};
  const auto found = sizes.find(size);
  if (found == sizes.end()) return absl::InvalidArgumentError("no SAM 2 of size " + size);
  Sam2Config config;
  config.image_encoder = found->second;
  config.mask_decoder.kind = MaskDecoderConfig::Kind::kSam2;
  return Save(Sam2(config), path);
}

absl::Status SaveVit(const std::string& size, bool hq, const std::string& path) {
  struct Size {
    std::int64_t dim, heads, depth;
  };
  const std::map<std::string, Size> sizes = {
      {"b", {768, 12, 12}}, {"l", {1024, 16, 24}}, {"h", {1280, 16, 32}}};
  const auto found = sizes.find(size);
  if (found == sizes.end()) return absl::InvalidArgumentError("no ViT of size " + size);
  const auto [dim, heads, depth] = found->second;
  SamConfig config;
  ImageEncoderConfig& encoder = config.image_encoder;
  encoder.embed_dim = dim;
  encoder.num_heads = heads;
  encoder.mlp_dim = 4 * dim;
  encoder.window_sizes.assign(depth, 14);
  for (std::int64_t i = depth / 4 - 1; i < depth; i += depth / 4) encoder.window_sizes[i] = 0;
  if (hq) {
    config.mask_decoder.kind = MaskDecoderConfig::Kind::kHq;
    config.mask_decoder.vit_dim = dim;
  }
  return Save(Sam(config), path);
}

absl::Status Save(const std::string& name, const std::string& path) {
  constexpr std::string_view kHiera = "sam2_hiera_", kHq = "hq_", kVit = "vit_";
  if (name.starts_with(kHiera)) return SaveHiera(name.substr(kHiera.size()), path);
  const bool hq = name.starts_with(kHq);
  const std::string encoder = hq ? name.substr(kHq.size()) : name;
  if (encoder == "vit_tiny" || encoder == "mobile_sam") return SaveTinyVit(hq, path);
  if (encoder.starts_with(kVit)) return SaveVit(encoder.substr(kVit.size()), hq, path);
  return absl::InvalidArgumentError("no model is named " + name);
}

}  // namespace
}  // namespace segmenter

int main(int argc, char** argv) {
  serving::SetUpOpenMp(argv);  // as the service does
  std::vector<std::string> files;
  int threads = 2;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg.rfind("--save=", 0) == 0) {
      const auto colon = arg.find(':');
      const absl::Status saved = segmenter::Save(arg.substr(7, colon - 7), arg.substr(colon + 1));
      if (!saved.ok()) std::fprintf(stderr, "%s\n", saved.ToString().c_str());
      return saved.ok() ? 0 : 1;
    }
    if (arg == "--machine") return bench::PrintMachine();
    if (arg == "--split_products") {
      nn::onednn::AllowSplitProducts(nn::onednn::SplitProducts::kAlways);
    } else if (arg.rfind("--threads=", 0) == 0) {
      threads = std::atoi(arg.c_str() + 10);
    } else {
      files.push_back(arg);
    }
  }
  if (files.size() != 2) {
    std::fprintf(stderr, "usage: bench_segmenter_turns CHECKPOINT IMAGE\n");
    return 1;
  }
  nn::UseThreads(threads);
  std::ifstream file(files[1], std::ios::binary);
  const std::string picture{std::istreambuf_iterator<char>(file), {}};

  std::map<std::string, std::shared_ptr<segmenter::Contender>> contenders;
  return bench::TakeTurns(
      [&](const std::string& what, const std::string& form) -> absl::StatusOr<bench::Work> {
        if (!contenders.contains(form)) {
          auto started = segmenter::Contender::Start(files[0], form, picture, threads);
          if (!started.ok()) return started.status();
          contenders[form] = *std::move(started);
        }
        return contenders[form]->Find(what);
      },
      threads);
}
