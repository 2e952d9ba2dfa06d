// A request's body, as /predict, /setup and /webhook; an interactive one is followed to its answer.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "label_studio/context.h"
#include "label_studio/result.h"
#include "label_studio/task.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace ls = label_studio;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  (void)ls::ParseSetupRequest(body);
  (void)ls::ParseWebhook(body);
  const auto request = ls::ParsePredictRequest(body);
  if (!request.ok()) return 0;
  const auto config = ls::ParseLabelConfig(request->label_config);
  if (!config.ok() || !request->interactive()) return 0;
  const auto prompt = ls::ParseContext(request->context, *config);
  if (!prompt.ok()) return 0;
  const auto targets = ls::AnswerPlan(*config).ChooseTargets(*prompt);
  if (!targets.ok()) return 0;
  if (prompt->mask) ls::MaskPromptLogits(*prompt->mask, 64);
  ls::MakeAnswer(*prompt, *targets, vision::Mask{{8, 8}, {{1, 1, 5}, {2, 1, 5}}}, 0.5f);
  return 0;
}
