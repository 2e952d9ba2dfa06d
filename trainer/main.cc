// duet-train: trains the demo models, and draws the scenes that they learn from.
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include <boost/json.hpp>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "serving/flags.h"
#include "trainer/demo.h"
#include "trainer/evaluate/held_out_scores.h"
#include "trainer/scenes/held_out.h"
#include "trainer/scenes/scene.h"
#include "trainer/scenes/scene_files.h"

namespace {

constexpr char kPurpose[] =
    "Trains the demo models and draws the scenes that they learn from.\n"
    "\n"
    "The first argument is one of these commands:\n"
    "  demo      trains rtmdet-demo.pth and sam-demo.pth\n"
    "  evaluate  scores these models on held-out scenes and prints one JSON object\n"
    "  scenes    writes held-out scenes, and coco.json with their annotations";

struct Options {
  std::uint64_t seed = 1;
  std::string out;
  std::string only;
  int steps = 0;
  int count = 4;
  std::vector<std::string> shapes;
  std::string precision = "fp32";
};

std::string Shapes(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (!trainer::ShapeOf(name)) {
      return absl::StrCat("must name shapes: ", absl::StrJoin(trainer::ShapeNames(), ", "),
                          " or drop");
    }
  }
  return "";
}

void AddFlags(Options* options, serving::FlagTable* flags) {
  flags->Add("seed", &options->seed, "Everything that is random follows from this number.");
  flags->Required("out", &options->out,
                  "The directory of the models or scenes; made if it is missing.");
  flags->Add("only", &options->only,
             "demo, evaluate: only one of the models, detector or segmenter; without it: both.",
             serving::OneOf({"detector", "segmenter"}));
  flags->Add("steps", &options->steps,
             "demo: training steps, to try it out with fewer; 0: as many as the recipe has.");
  flags->Add("count", &options->count, "scenes, evaluate: how many held-out scenes.");
  flags->Add(
      "shapes", &options->shapes,
      "scenes: what is drawn, as star,drop; each as often as it is named. Without it the demo's "
      "ten. Its models have never seen a drop.",
      Shapes);
  flags->Add("precision", &options->precision,
             "evaluate: the arithmetic of the detector, fp32 or bf16.");
}

absl::Status TrainDemo(const Options& options) {
  const trainer::DemoOptions demo{.seed = options.seed, .steps = options.steps};
  std::error_code error;
  std::filesystem::create_directories(options.out, error);
  if (error) return absl::UnavailableError(absl::StrCat(options.out, ": ", error.message()));
  if (options.only != "segmenter") {
    const absl::Status status = trainer::TrainDemoDetector(demo, options.out + "/rtmdet-demo.pth");
    if (!status.ok()) return status;
  }
  if (options.only != "detector") {
    const absl::Status status = trainer::TrainDemoSegmenter(demo, options.out + "/sam-demo.pth");
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status WriteScenes(const Options& options) {
  std::vector<trainer::Shape> shapes;
  for (const std::string& name : options.shapes) shapes.push_back(*trainer::ShapeOf(name));
  const auto scenes = trainer::HeldOutScenes(options.seed, options.count, shapes);
  std::vector<std::string> names;
  for (const trainer::Scene& scene : scenes) {
    names.push_back(absl::StrCat("scene_", names.size()));
    const absl::Status status = trainer::WriteScene(scene, options.out, names.back());
    if (!status.ok()) return status;
  }
  return trainer::WriteSceneAnnotations(scenes, names, options.out + "/coco.json");
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
absl::Status Evaluate(const Options& options) {
  const auto scenes = trainer::HeldOutScenes(options.seed, options.count);
  boost::json::object report{{"scenes", options.count}};
  if (options.only != "segmenter") {
    const auto score =
        trainer::ScoreDetector(options.out + "/rtmdet-demo.pth", scenes, options.precision);
    if (!score.ok()) return score.status();
    report["detector"] = ToJson(*score);
  }
  if (options.only != "detector") {
    const auto score = trainer::ScoreSegmenter(options.out + "/sam-demo.pth", scenes);
    if (!score.ok()) return score.status();
    report["segmenter"] = ToJson(*score);
  }
  std::cout << boost::json::serialize(report) << '\n';
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  serving::FlagTable flags("duet-train", kPurpose);
  AddFlags(&options, &flags);
  const std::string command =
      argc > 1 && !std::string_view(argv[1]).starts_with("--") ? argv[1] : "";
  const int skipped = command.empty() ? 0 : 1;
  const absl::Status parsed = flags.Parse(argc - skipped, argv + skipped, std::getenv);
  if (flags.help_requested()) {
    std::cout << flags.RequestedHelp();
    return 0;
  }
  absl::Status (*run)(const Options&) = command == "demo"       ? TrainDemo
                                        : command == "evaluate" ? Evaluate
                                        : command == "scenes"   ? WriteScenes
                                                                : nullptr;
  if (!parsed.ok() || run == nullptr) {
    std::cerr << "duet-train: "
              << (parsed.ok() ? "the command must be demo, evaluate or scenes (see --help)"
                              : parsed.message())
              << '\n';
    return 2;
  }
  const absl::Status status = run(options);
  if (!status.ok()) std::cerr << status << '\n';
  return status.ok() ? 0 : 1;
}
