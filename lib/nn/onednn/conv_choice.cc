#include "nn/onednn/conv_choice.h"

#include <absl/strings/str_cat.h>
#include <omp.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "nn/onednn/cpu.h"
#include "nn/onednn/kernel_plan.h"
#include "nn/onednn/kernel_time.h"

namespace nn::onednn {
namespace {

const char* NameOf(ConvKernel kernel) {
  switch (kernel) {
    case ConvKernel::kFused:
      return "fused";
    case ConvKernel::kDirect:
      return "direct";
    case ConvKernel::kWinograd:
      return "winograd";
  }
  return "";
}

const char* NameOf(Activation act) {
  switch (act) {
    case Activation::kNone:
      return "";
    case Activation::kSilu:
      return " silu";
    case Activation::kRelu:
      return " relu";
    case Activation::kLeakyRelu:
      return " leaky_relu";
    case Activation::kSigmoid:
      return " sigmoid";
    case Activation::kHardSigmoid:
      return " hard_sigmoid";
    case Activation::kGelu:
      return " gelu";
  }
  return "";
}

// All that times depend on: "conv3x3/2 bf16 48x160x160 to 96 silu add, 2 threads".
std::string LayerName(const ProgramBuild& build, int value) {
  const GraphNode& node = build.nodes[value];
  const GraphNode& in = build.nodes[node.inputs[0]];
  const auto side = node.weight.size(2);
  return absl::StrCat(
      node.conv.groups > 1 ? "depthwise" : "conv", side, "x", side, "/", node.conv.stride,
      build.precision == Precision::kBFloat16 ? " bf16 " : " fp32 ",
      build.layout.layout() == Layout::kChannelsLast ? "channels-last " : "",
      build.layout.channels(node.inputs[0]).padded(), "x", in.height, "x", in.width, " to ",
      build.layout.channels(value).padded(), NameOf(node.conv.activation),
      node.conv.residual.has_value() ? " add" : "", ", ", omp_get_max_threads(), " threads");
}

std::vector<ConvKernel> CandidatesFor(const ProgramBuild& build, int value) {
  const ConvOptions& conv = build.nodes[value].conv;
  std::vector<ConvKernel> kernels = {ConvKernel::kDirect};
  if (conv.activation != Activation::kNone || conv.residual.has_value()) {
    kernels.push_back(ConvKernel::kFused);
  }
  if (Suits(build, value, ConvKernel::kWinograd)) kernels.push_back(ConvKernel::kWinograd);
  return kernels;
}

// While it lives, a float32 image that only Run will bring is one of zeros.
class ImageOfZeros {
 public:
  explicit ImageOfZeros(const dnnl::memory& image) {
    if (!image || image.get_data_handle() != nullptr) return;
    image_ = image;
    zeros_ = AllocateZeros(image.get_desc().get_size());
    image_.set_data_handle(zeros_.get());
  }
  ~ImageOfZeros() {
    if (image_) image_.set_data_handle(nullptr);
  }
  ImageOfZeros(const ImageOfZeros&) = delete;
  ImageOfZeros& operator=(const ImageOfZeros&) = delete;

 private:
  dnnl::memory image_;
  AlignedArray<std::byte> zeros_;
};

// Of a form on one thread; infinite if there is none. Over zeros, since the time doesn't depend on
// values.
double SecondsOf(const ProgramBuild& build, const std::optional<ConvForm>& form) {
  if (!form.has_value()) return std::numeric_limits<double>::infinity();
  const AloneOnOneThread alone;
  const ImageOfZeros image(build.image);
  CompiledProgram& program = build.program;
  program.UseScratchpad(form->scratch_bytes, form->scratches);
  return LeastSeconds(3, [&] {
    for (const auto& step : form->steps) step();
    program.stream.wait();
  });
}

}  // namespace

ConvKernel ChooseKernel(const ProgramBuild& build, int value, const ConvParameters& parameters) {
  const std::vector<ConvKernel> kernels = CandidatesFor(build, value);
  if (kernels.size() == 1) return kernels.front();
  // One thread computes its share of the rows, which takes as long as all threads need for the
  // layer. So what other threads of the process do meanwhile doesn't decide (kernel_time.h).
  constexpr int kTileRows = 4;  // a share is of whole tiles, except for the last
  const int height = build.nodes[value].height;
  const int threads = omp_get_max_threads();
  const int share = (height + threads - 1) / threads;
  const int rows = std::min((share + kTileRows - 1) / kTileRows * kTileRows, height);
  std::vector<std::optional<ConvForm>> forms(kernels.size());  // made when they are first measured
  std::vector<KernelPlan::Candidate> candidates;
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    candidates.push_back({NameOf(kernels[i]), [&, i] {
                            if (!forms[i].has_value()) {
                              const AloneOnOneThread alone;
                              forms[i] = MakeForm(build, value, rows, kernels[i], parameters);
                            }
                            return SecondsOf(build, forms[i]);
                          }});
  }
  const std::string chosen = KernelPlan::OfProcess().Choose(LayerName(build, value), candidates);
  return *std::find_if(kernels.begin(), kernels.end(),
                       [&](ConvKernel kernel) { return NameOf(kernel) == chosen; });
}

}  // namespace nn::onednn
