// duet models: what lies below a model root, and what of it serves; and what a file of weights is.
#include <absl/strings/numbers.h>
#include <absl/types/span.h>
#include <pwd.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cerrno>
#include <cstdio>
#include <iomanip>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/json_line.h"
#include "model_store/model_store.h"
#include "model_store/rollback.h"
#include "serving/flags.h"
#include "serving/program_beside.h"
#include "text/nearest_name.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace cli {
namespace {

namespace json = boost::json;
using model_store::Called;
using model_store::Kind;
using model_store::ModelStore;
using text::StrCat;

struct Options {
  std::string model_root;
  std::string kind = "detector";
  std::string reason;
  bool json = false;
};

// NAME and VERSION, as they stand before the flags.
struct Words {
  std::string name;
  std::optional<std::uint64_t> version;
};

// Who does it, for serving.json and the gateway's log.
std::string User() {
  const passwd* const entry = getpwuid(getuid());
  return entry == nullptr ? StrCat("user ", getuid()) : std::string(entry->pw_name);
}

std::string Score(double value) {
  char text[16];
  std::snprintf(text, sizeof text, "%.3f", value);
  return text;
}

// What its verdict was, in one line.
std::string About(const model_store::Manifest& manifest) {
  std::string about = StrCat("from ", Called(manifest.parent), ", ", manifest.images, " images");
  if (!manifest.verdict) return about;
  text::StrAppend(&about, ", ", model_store::NameOf(manifest.verdict->outcome), ": ",
                  Score(manifest.verdict->old_score), " -> ", Score(manifest.verdict->new_score));
  return about;
}

json::object ToJson(const model_store::Manifest& manifest) {
  json::object about = {{"version", manifest.version},
                        {"created", manifest.created},
                        {"parent", manifest.parent},
                        {"images", manifest.images}};
  if (const auto& verdict = manifest.verdict) {
    about["outcome"] = model_store::NameOf(verdict->outcome);
    about["old_score"] = verdict->old_score;
    about["new_score"] = verdict->new_score;
  }
  return about;
}

// What PrintLines says of a name.
json::object ToJson(const ModelStore& store, Kind kind, const std::string& name) {
  json::object about = {{"kind", model_store::NameOf(kind)}, {"name", name}};
  const auto serving = store.ReadServing(kind, name);
  if (serving.ok() || absl::IsNotFound(serving.status())) {
    about["serves"] = serving.ok() ? serving->version : 0;  // 0: the default model
    about["by"] = serving.ok() ? text::ToUtf8(serving->by) : "";
  } else {
    about["error"] = text::ToUtf8(std::string(serving.status().message()));
  }
  const auto versions = store.ListVersions(kind, name);
  if (!versions.ok()) {
    about["error"] = text::ToUtf8(std::string(versions.status().message()));
    return about;
  }
  json::array& list = about["versions"].emplace_array();
  for (auto version = versions->rbegin(); version != versions->rend(); ++version) {
    const auto manifest = store.ReadManifest(kind, name, *version);
    if (manifest.ok()) {
      list.push_back(ToJson(*manifest));
    } else {
      list.push_back({{"version", *version},
                      {"error", text::ToUtf8(std::string(manifest.status().message()))}});
    }
  }
  return about;
}

void PrintLines(const ModelStore& store, Kind kind, const std::string& name) {
  const auto serving = store.ReadServing(kind, name);
  const bool known = serving.ok() || absl::IsNotFound(serving.status());
  const std::uint64_t serves = serving.ok() ? serving->version : 0;
  std::cout << model_store::NameOf(kind) << " " << name << ": ";
  if (known) {
    std::cout << Called(serves) << " serves";
    if (serving.ok() && !serving->by.empty()) std::cout << ", by " << serving->by;
    std::cout << "\n";
  } else {
    std::cout << serving.status().message() << "\n";
  }
  const auto versions = store.ListVersions(kind, name);
  if (!versions.ok()) {
    // The others are there all the same.
    std::cout << "    " << versions.status().message() << "\n";
    return;
  }
  for (auto version = versions->rbegin(); version != versions->rend(); ++version) {
    const auto manifest = store.ReadManifest(kind, name, *version);
    std::cout << (known && *version == serves ? "  * " : "    ") << std::left << std::setw(6)
              << *version
              << (manifest.ok() ? StrCat(manifest->created, "  ", About(*manifest))
                                : std::string(manifest.status().message()))
              << "\n";
  }
}

absl::Status List(const ModelStore& store, bool as_json) {
  bool is_empty = true;
  for (const Kind kind : {Kind::kDetector, Kind::kSegmenter}) {
    const auto names = store.ListNames(kind);
    if (!names.ok()) return names.status();
    is_empty = is_empty && names->empty();
    for (const std::string& name : *names) {
      if (as_json) {
        PrintJsonLine(ToJson(store, kind, name));
      } else {
        PrintLines(store, kind, name);
      }
    }
  }
  if (is_empty && !as_json) std::cerr << "there are no trained models\n";
  return absl::OkStatus();
}

absl::Status Rollback(const ModelStore& store, Kind kind, const Words& words,
                      const Options& options) {
  const auto done = model_store::RollBack(store, kind, words.name,
                                          {.version = words.version,
                                           .by = StrCat(User(), " (duet models rollback)"),
                                           .reason = options.reason});
  if (!done.ok()) return done.status();
  if (options.json) {
    PrintJsonLine({{"kind", model_store::NameOf(kind)},
                   {"name", words.name},
                   {"serves", done->now},
                   {"served_before", done->before}});
    return absl::OkStatus();
  }
  std::cout << words.name << " is served by " << Called(done->now) << " from now on; it was "
            << Called(done->before) << "\n";
  return absl::OkStatus();
}

absl::Status Delete(const ModelStore& store, Kind kind, const Words& words, bool as_json) {
  if (!words.version || *words.version == 0) {
    return absl::InvalidArgumentError("needed: duet models delete NAME VERSION");
  }
  if (absl::Status status = store.DeleteVersion(kind, words.name, *words.version); !status.ok()) {
    return status;
  }
  if (as_json) {
    PrintJsonLine(
        {{"kind", model_store::NameOf(kind)}, {"name", words.name}, {"deleted", *words.version}});
    return absl::OkStatus();
  }
  std::cout << Called(*words.version) << " of " << words.name << " is deleted\n";
  return absl::OkStatus();
}

// Takes the words before the flags off.
absl::StatusOr<Words> TakeWords(std::vector<const char*>& arguments) {
  std::vector<std::string> taken;
  while (arguments.size() > 1 && arguments[1][0] != '-') {
    taken.emplace_back(arguments[1]);
    arguments.erase(arguments.begin() + 1);
  }
  Words words;
  if (taken.size() > 2) {
    return absl::InvalidArgumentError(
        StrCat("unexpected argument '", taken[2], "'; needed: NAME and at most a VERSION"));
  }
  if (!taken.empty()) words.name = taken[0];
  if (taken.size() == 2) {
    std::uint64_t version = 0;
    if (taken[1] != "0" && !model_store::ParseVersion(taken[1])) {
      return absl::InvalidArgumentError(
          StrCat("'", taken[1], "' is no version; needed: its number, or 0 for the default model"));
    }
    if (!absl::SimpleAtoi(taken[1], &version)) return absl::InvalidArgumentError("no version");
    words.version = version;
  }
  return words;
}

absl::Status Run(std::string_view what, const Options& options, const Words& words) {
  if (options.model_root.empty()) {
    return absl::InvalidArgumentError(
        "--model_root is missing: the folder that trainer, gateway and services were started with");
  }
  const ModelStore store(options.model_root);
  if (what == "list") return List(store, options.json);
  if (words.name.empty()) {
    return absl::InvalidArgumentError(StrCat("needed: duet models ", what, " NAME"));
  }
  const Kind kind = *model_store::ParseKind(options.kind);
  if (what == "rollback") return Rollback(store, kind, words, options);
  return Delete(store, kind, words, options.json);
}

// A file of weights is looked at by a program of its own, since that makes networks of it.
absl::Status BecomeInspector(int argc, const char* const* argv) {
  const std::string program = serving::ProgramBeside("duet-inspect-checkpoint");
  std::vector<std::string> texts = {program};
  for (int i = 2; i < argc; ++i) texts.emplace_back(argv[i]);
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  execv(program.c_str(), pointers.data());
  return absl::ErrnoToStatus(errno, StrCat(program, ": cannot be started"));
}

}  // namespace

absl::Status RunModels(int argc, const char* const* argv) {
  std::vector<const char*> arguments(argv, argv + argc);
  const std::string what = argc > 1 ? argv[1] : "--help";
  if (what == "inspect") return BecomeInspector(argc, argv);
  if (what == "list" || what == "rollback" || what == "delete") {
    arguments.erase(arguments.begin() + 1);
  } else if (what[0] != '-') {
    static constexpr std::string_view kWords[] = {"list", "rollback", "delete", "inspect"};
    return absl::InvalidArgumentError(StrCat("unknown command 'models ", what,
                                             "'; there are list, rollback, delete and inspect",
                                             text::DidYouMean(what, kWords, "'", "'")));
  }
  const auto words = TakeWords(arguments);
  if (!words.ok()) return words.status();
  Options options;
  serving::FlagTable flags(
      "duet models list|rollback NAME [VERSION]|delete NAME VERSION|inspect FILE",
      "Shows the models below a model root; lets another version of one serve, which gateway and "
      "services follow at once (without VERSION the one that served before, 0 is the default "
      "model); deletes a version that doesn't serve; says what a file of weights is (duet models "
      "inspect --help). Exit code 0: done; 1: it could not be; 2: asked wrongly.\n\nExample: duet "
      "models rollback project-7 --model_root=models");
  flags.Add("model_root", &options.model_root,
            "The folder that trainer, gateway and services were started with.");
  flags.Add("kind", &options.kind, "Whose model.", serving::OneOf({"detector", "segmenter"}));
  flags.Add("reason", &options.reason, "Why, for those who read serving.json and the log.");
  flags.Add("json", &options.json,
            "list: a JSON object a line for each name, with its versions; rollback, delete: what "
            "was done, as one.");
  return ParseAndRun(flags, static_cast<int>(arguments.size()), arguments.data(),
                     [&] { return Run(what, options, *words); });
}

}  // namespace cli
