// duet-train: trains the demo models, and draws the scenes that they learn from.
#include <absl/flags/flag.h>
#include <absl/flags/parse.h>
#include <absl/flags/usage.h>
#include <absl/strings/str_cat.h>

#include <boost/json.hpp>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "trainer/demo.h"
#include "trainer/evaluate/held_out_scores.h"
#include "trainer/scenes/held_out.h"
#include "trainer/scenes/scene.h"
#include "trainer/scenes/scene_files.h"

ABSL_FLAG(std::uint64_t, seed, 1, "everything that is random follows from this number");
ABSL_FLAG(std::string, out, "", "directory that the results are written to; made if missing");
ABSL_FLAG(std::string, only, "", "demo, evaluate: only one of them, detector or segmenter");
ABSL_FLAG(int, steps, 0, "demo: fewer training steps than the recipe's, to try it out");
ABSL_FLAG(int, count, 4, "scenes, evaluate: how many held-out scenes");
ABSL_FLAG(std::string, precision, "fp32", "evaluate: the detector's arithmetic, fp32 or bf16");

namespace {

constexpr char kUsage[] =
    "duet-train demo --seed=N --out=DIRECTORY: train rtmdet-demo.pth and sam-demo.pth\n"
    "duet-train evaluate --seed=N --out=DIRECTORY [--count=N]: score the models there on held-out "
    "scenes\n"
    "duet-train scenes --seed=N --out=DIRECTORY [--count=N]: write held-out scenes";

absl::Status TrainDemo(const std::string& out) {
  const trainer::DemoOptions options{.seed = absl::GetFlag(FLAGS_seed),
                                     .steps = absl::GetFlag(FLAGS_steps)};
  const std::string only = absl::GetFlag(FLAGS_only);
  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (error) return absl::UnavailableError(absl::StrCat(out, ": ", error.message()));
  if (only != "segmenter") {
    const absl::Status status = trainer::TrainDemoDetector(options, out + "/rtmdet-demo.pth");
    if (!status.ok()) return status;
  }
  if (only != "detector") {
    const absl::Status status = trainer::TrainDemoSegmenter(options, out + "/sam-demo.pth");
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status WriteScenes(const std::string& out) {
  int n = 0;
  for (const trainer::Scene& scene :
       trainer::HeldOutScenes(absl::GetFlag(FLAGS_seed), absl::GetFlag(FLAGS_count))) {
    const absl::Status status = trainer::WriteScene(scene, out, absl::StrCat("scene_", n++));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

boost::json::object ToJson(const trainer::DetectorScore& score) {
  boost::json::object by_class;
  for (const auto& [class_id, ap] : score.ap50.by_class)
    by_class[trainer::ShapeNames()[class_id]] = ap;
  return {{"box_ap50", score.ap50.mean},
          {"box_ap50_by_class", by_class},
          {"precision_at_0.5", score.precision},
          {"recall_at_0.5", score.recall},
          {"objects", score.objects}};
}

boost::json::object ToJson(const trainer::SegmenterScore& score) {
  return {{"mask_iou_from_box", score.box},
          {"mask_iou_from_click", score.click},
          {"mask_iou_from_second_click", score.second_click},
          {"objects", score.objects}};
}

// One JSON object on stdout.
absl::Status Evaluate(const std::string& directory) {
  const auto scenes = trainer::HeldOutScenes(absl::GetFlag(FLAGS_seed), absl::GetFlag(FLAGS_count));
  const std::string only = absl::GetFlag(FLAGS_only);
  boost::json::object report{{"scenes", absl::GetFlag(FLAGS_count)}};
  if (only != "segmenter") {
    const auto score = trainer::ScoreDetector(directory + "/rtmdet-demo.pth", scenes,
                                              absl::GetFlag(FLAGS_precision));
    if (!score.ok()) return score.status();
    report["detector"] = ToJson(*score);
  }
  if (only != "detector") {
    const auto score = trainer::ScoreSegmenter(directory + "/sam-demo.pth", scenes);
    if (!score.ok()) return score.status();
    report["segmenter"] = ToJson(*score);
  }
  std::cout << boost::json::serialize(report) << '\n';
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(kUsage);
  const std::vector<char*> arguments = absl::ParseCommandLine(argc, argv);
  const std::string command = arguments.size() == 2 ? arguments[1] : "";
  const std::string out = absl::GetFlag(FLAGS_out);
  absl::Status (*run)(const std::string&) = command == "demo"       ? TrainDemo
                                            : command == "evaluate" ? Evaluate
                                            : command == "scenes"   ? WriteScenes
                                                                    : nullptr;
  if (run == nullptr || out.empty()) {
    std::cerr << kUsage << '\n';
    return 2;
  }
  const absl::Status status = run(out);
  if (!status.ok()) std::cerr << status << '\n';
  return status.ok() ? 0 : 1;
}
