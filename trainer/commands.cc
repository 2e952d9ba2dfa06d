#include "trainer/commands.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "nn/threads.h"
#include "serving/cpu.h"
#include "serving/flags.h"
#include "trainer/demo.h"
#include "trainer/evaluate/evaluate_files.h"
#include "trainer/evaluate/held_out_scores.h"
#include "trainer/gate/compare_files.h"
#include "trainer/scenes/held_out.h"
#include "trainer/scenes/scene.h"
#include "trainer/scenes/scene_files.h"
#include "trainer/segmenter/compare_segmenters.h"

namespace {

constexpr char kPurpose[] =
    "Compares and scores models, trains the demo models, and draws the scenes that they learn "
    "from.\n"
    "\n"
    "COMMAND is one of these:\n"
    "  compare   says whether a new model is better than an old one on annotated images that "
    "neither\n"
    "            has learned from\n"
    "  demo      trains rtmdet-demo.pth and sam-demo.pth\n"
    "  evaluate  scores these models on held-out scenes, or with --data a detector, or what any\n"
    "            program found, on annotated images; prints one JSON object\n"
    "  scenes    writes held-out scenes, and coco.json with their annotations\n"
    "\n"
    "Exit code 0: done; 1: it could not be; 2: asked wrongly.\n"
    "\n"
    "Example: duet-train scenes --count=8 --out=scenes";

struct Options {
  std::uint64_t seed = 1;
  std::string out;
  std::string only;
  int steps = 0;
  int count = 4;
  std::vector<std::string> shapes;
  std::string precision = "fp32";
  trainer::EvaluationFiles evaluation;
  trainer::ComparedFiles compared;
  trainer::CompareOptions comparison;
  int threads = 0;
  bool progress = false;
  bool json = false;
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

void AddComparisonFlags(Options* options, serving::FlagTable* flags) {
  trainer::ComparedFiles* const compared = &options->compared;
  flags->Add("old", &compared->old_checkpoint,
             "compare: the checkpoint that serves. Neither it nor --old_detections: nothing has "
             "served before.");
  flags->Add(
      "new", &compared->new_checkpoint,
      "compare: the checkpoint that shall serve: a detector, or a segmenter, whose masks are "
      "compared from a box and after each of five clicks.");
  flags->Add("old_detections", &compared->old_detections,
             "compare: what the old model has found on --images, instead of --old: a file of "
             "COCO's results format, as evaluate's --found writes it.");
  flags->Add("new_detections", &compared->new_detections, "compare: the same instead of --new.");
  flags->Add("label_config", &compared->label_config,
             "compare: of the Label Studio project, XML: which of its labels the classes of the "
             "checkpoints stand for. Empty: those of the same name.");
  flags->Add("looks", &options->comparison.looks,
             "compare: how often these very images have decided, this time included: the more "
             "often, the surer a gain must be.",
             [](const double& looks) { return looks >= 1 ? "" : "must be 1 or more"; });
  flags->Add("annotated", &options->comparison.annotated,
             "compare: how many annotated images --data is a part of, as the validation side of a "
             "training is; how many are needed is then told as a number of such. 0: it is all.",
             serving::InRange(0, 1'000'000'000));
  flags->Add("progress", &options->progress,
             "compare: prints a JSON object after each image, before the result.");
  flags->Add("json", &options->json,
             "compare: prints one JSON object with all figures instead of a sentence.");
}

void AddFlags(Options* options, serving::FlagTable* flags) {
  flags->Add("seed", &options->seed, "Everything that is random follows from this number.");
  flags->Add(
      "out", &options->out,
      "The directory of the models or scenes; made if it is missing. All commands need it but "
      "compare, and evaluate with --data.");
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
             "evaluate, compare: the arithmetic of the detector, fp32 or bf16.");
  flags->Add("threads", &options->threads,
             "evaluate, compare: threads that compute; 0: as many as the process has CPUs.",
             serving::InRange(0, 1024));
  flags->Add("data", &options->evaluation.annotations,
             "evaluate, compare: the annotations to score by, with COCO's AP and AR: COCO, or with "
             "checkpoints also Label Studio's export JSON. For evaluate either --checkpoint or "
             "--detections is needed, too.");
  flags->Add("images", &options->evaluation.images,
             "evaluate, compare: the folder that the images of --data lie in.");
  flags->Add(
      "checkpoint", &options->evaluation.checkpoint,
      "evaluate: the detector's file. It is scored on --images through the code that serves.");
  flags->Add("detections", &options->evaluation.detections,
             "evaluate: a file of COCO's results format that any program wrote; it is scored "
             "instead of a checkpoint.");
  flags->Add("found", &options->evaluation.found,
             "evaluate: a file that is written with what --checkpoint finds, in COCO's results "
             "format; --data must be COCO.");
  AddComparisonFlags(options, flags);
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
  return trainer::WriteAnnotatedScenes(trainer::HeldOutScenes(options.seed, options.count, shapes),
                                       options.out);
}

boost::json::object ToJson(const trainer::DetectorScore& score) {
  const trainer::CocoEvaluation& boxes = score.boxes;
  boost::json::object by_class;
  for (std::size_t c = 0; c < boxes.by_class.size(); ++c) {
    if (const auto& ap50 = boxes.by_class[c].ap50) by_class[trainer::ShapeNames()[c]] = *ap50;
  }
  return {{"box_ap", boxes.all.ap.value_or(0)},
          {"box_ap50", boxes.all.ap50.value_or(0)},
          {"box_ap50_by_class", by_class},
          {"precision_at_0.5", score.mistakes.precision},
          {"recall_at_0.5", score.mistakes.recall},
          {"objects", score.mistakes.hits + score.mistakes.missed}};
}

boost::json::object ToJson(const trainer::SegmenterScore& score) {
  return {{"mask_iou_from_box", score.box},
          {"mask_iou_from_click", score.click},
          {"mask_iou_from_second_click", score.second_click},
          {"objects", score.objects}};
}

void UseThreads(const Options& options) {
  nn::UseThreads(options.threads > 0 ? options.threads : serving::ReadCpuBudget().threads());
}

// One JSON object on stdout.
absl::Status Evaluate(const Options& options) {
  UseThreads(options);
  if (!options.evaluation.annotations.empty()) {
    const auto report = trainer::EvaluateFiles(options.evaluation, options.precision);
    if (report.ok()) std::cout << boost::json::serialize(*report) << '\n';
    return report.status();
  }
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

// One JSON object, or a sentence, on stdout.
absl::Status Compare(const Options& options) {
  UseThreads(options);
  trainer::CompareOptions comparison = options.comparison;
  comparison.precision = options.precision;
  comparison.seed = options.seed;
  comparison.threads = options.threads;
  if (options.progress) {
    comparison.progress = [](std::size_t done, std::size_t all) {
      std::cout << boost::json::object{{"event", "compared"}, {"images", done}, {"of", all}} << '\n'
                << std::flush;
    };
  }
  trainer::ComparedFiles files = options.compared;
  files.annotations = options.evaluation.annotations;
  files.images = options.evaluation.images;
  const auto report = trainer::IsSegmenter(files.new_checkpoint)
                          ? trainer::CompareSegmenters(files, comparison)
                          : trainer::CompareFiles(files, comparison);
  if (!report.ok()) return report.status();
  if (options.json) {
    std::cout << boost::json::serialize(*report) << '\n';
  } else {
    const auto text = [&](const char* name) {
      return std::string_view(report->at(name).as_string());
    };
    std::cout << text("outcome") << ": " << text("reason") << '\n';
  }
  return absl::OkStatus();
}

struct Command {
  const char* name;
  absl::Status (*run)(const Options&);
};
constexpr Command kCommands[] = {
    {"compare", Compare}, {"demo", TrainDemo}, {"evaluate", Evaluate}, {"scenes", WriteScenes}};

// Whether it makes files in --out.
bool NeedsOut(std::string_view command, const Options& options) {
  return command != "compare" && (command != "evaluate" || options.evaluation.annotations.empty());
}

}  // namespace

namespace trainer {

int RunCommand(int argc, const char* const* argv) {
  Options options;
  serving::FlagTable flags("duet-train COMMAND", kPurpose);
  AddFlags(&options, &flags);
  const std::string command = argv[1];
  const absl::Status parsed = flags.Parse(argc - 1, argv + 1, std::getenv);
  if (flags.help_requested()) {
    std::cout << flags.RequestedHelp();
    return 0;
  }
  const Command* const found =
      std::find_if(std::begin(kCommands), std::end(kCommands),
                   [&](const Command& one) { return one.name == command; });
  if (!parsed.ok() || found == std::end(kCommands)) {
    std::cerr << "duet-train: "
              << (parsed.ok()
                      ? absl::StrCat("there is no command '", command,
                                     "'; there are compare, demo, evaluate, scenes and "
                                     "segmenter, and without one it trains a detector (see --help)")
                      : std::string(parsed.message()))
              << '\n';
    return 2;
  }
  if (options.out.empty() && NeedsOut(command, options)) {
    std::cerr << "duet-train: --out is missing (see --help)\n";
    return 2;
  }
  const absl::Status status = found->run(options);
  if (!status.ok()) std::cerr << status << '\n';
  return status.ok() ? 0 : 1;
}

}  // namespace trainer
