// duet-train: trains the demo models, and draws the scenes that they learn from.
#include <absl/flags/flag.h>
#include <absl/flags/parse.h>
#include <absl/flags/usage.h>
#include <absl/strings/str_cat.h>

#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include "trainer/scenes/scene.h"
#include "trainer/scenes/scene_files.h"

ABSL_FLAG(std::uint64_t, seed, 1, "everything that is random follows from this number");
ABSL_FLAG(std::string, out, "", "directory that the results are written to; made if missing");
ABSL_FLAG(int, count, 4, "scenes: how many to write");

namespace {

constexpr char kUsage[] =
    "duet-train scenes --seed=N --out=DIRECTORY [--count=N]: write held-out scenes";

absl::Status WriteScenes() {
  // The formats that a user's pictures come in: square, landscape, portrait, small.
  const std::vector<cv::Size> sizes{{512, 512}, {640, 480}, {384, 512}, {320, 240}};
  for (int n = 0; n < absl::GetFlag(FLAGS_count); ++n) {
    trainer::SceneOptions options;
    options.size = sizes[n % sizes.size()];
    const auto seed = trainer::SceneSeed(absl::GetFlag(FLAGS_seed), "held-out", n);
    const absl::Status status = trainer::WriteScene(
        trainer::DrawScene(seed, options), absl::GetFlag(FLAGS_out), absl::StrCat("scene_", n));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(kUsage);
  const std::vector<char*> arguments = absl::ParseCommandLine(argc, argv);
  const std::string command = arguments.size() == 2 ? arguments[1] : "";
  if (command != "scenes" || absl::GetFlag(FLAGS_out).empty()) {
    std::cerr << kUsage << '\n';
    return 2;
  }
  const absl::Status status = WriteScenes();
  if (!status.ok()) std::cerr << status << '\n';
  return status.ok() ? 0 : 1;
}
