// duet-inspect-checkpoint: what Duet reads in a file of weights, and which network it makes of
// that. Nothing in the file is executed.
#include <absl/strings/str_join.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <iostream>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/wrappers.h"
#include "detector_service/inference/detection_model.h"
#include "files/mapped_file.h"
#include "hash/sha256.h"
#include "segmenter_service/inference/served_model.h"
#include "serving/cpu.h"
#include "serving/flags.h"
#include "serving/log.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace {

namespace json = boost::json;

constexpr std::size_t kShownExtra = 20;

struct Options {
  bool json = false;
  bool tensors = false;
};

// What the file is for, by its tensors' names.
enum class Kind { kDetector, kSegmenter, kUnknown };

Kind KindOf(const checkpoint::StateDict& state_dict) {
  const auto has = [&](std::span<const std::string_view> anchors) {
    checkpoint::StateDict names = state_dict;
    (void)checkpoint::RemoveWrappers(anchors, &names);
    return std::any_of(names.begin(), names.end(), [&](const auto& tensor) {
      return std::any_of(anchors.begin(), anchors.end(), [&](std::string_view anchor) {
        return tensor.first.starts_with(text::StrCat(anchor, "."));
      });
    });
  };
  constexpr std::string_view kOfSegmenters[] = {"image_encoder", "vision_encoder"};
  constexpr std::string_view kOfDetectors[] = {"backbone"};
  if (has(kOfSegmenters)) return Kind::kSegmenter;
  return has(kOfDetectors) ? Kind::kDetector : Kind::kUnknown;
}

// What a network is, if the file makes one.
struct Network {
  std::string kind;  // "detector", "segmenter"
  std::string name;  // family and variant
  std::string version;
  std::vector<std::string> classes;
  std::vector<std::string> notes;
  std::vector<std::string> extra_tensors;
  std::string problem;  // why there is none; "": there is one
};

Network LoadDetector(const std::string& path) {
  Network network{.kind = "detector"};
  const auto model = detector::DetectionModel::Load({.checkpoint = path, .plain = true});
  if (!model.ok()) {
    network.problem = std::string(model.status().message());
    return network;
  }
  network.name = (*model)->name();
  network.version = (*model)->version();
  network.classes = (*model)->classes();
  network.notes = (*model)->notes();
  return network;
}

Network LoadSegmenter(const std::string& path) {
  Network network{.kind = "segmenter"};
  const auto model = segmenter::LoadModel({.path = path, .root = "", .handle = ""}, {});
  if (!model.ok()) {
    network.problem = std::string(model.status().message());
    return network;
  }
  network.name = (*model)->name;
  network.version = (*model)->version;
  network.extra_tensors = (*model)->network->spec().extra_tensors;
  return network;
}

Network LoadNetwork(const std::string& path, const checkpoint::Checkpoint& file) {
  switch (KindOf(file.state_dict)) {
    case Kind::kDetector:
      return LoadDetector(path);
    case Kind::kSegmenter:
      return LoadSegmenter(path);
    case Kind::kUnknown:
      break;
  }
  return {
      .problem =
          "none of its tensors is called as a part of a network that Duet serves: backbone.… of "
          "a detector, image_encoder.… or vision_encoder.… of a segmenter"};
}

json::array ToJson(const std::vector<std::string>& texts) {
  json::array list;
  for (const std::string& text : texts) list.emplace_back(text::ToUtf8(text));
  return list;
}

// {"float32": 312, "int64": 80}: tensors of each type.
json::object TypesOf(const checkpoint::StateDict& state_dict) {
  std::map<std::string, std::int64_t> counts;
  for (const auto& [name, tensor] : state_dict) ++counts[checkpoint::NameOf(tensor.dtype)];
  json::object types;
  for (const auto& [name, count] : counts) types[name] = count;
  return types;
}

json::object Describe(const std::string& path, std::string_view bytes,
                      const checkpoint::Checkpoint& file, const Network& network, bool tensors) {
  std::int64_t numbers = 0;
  for (const auto& [name, tensor] : file.state_dict) numbers += tensor.NumElements();
  json::object about = {
      {"file", text::ToUtf8(path)},
      {"bytes", bytes.size()},
      {"sha256", hash::Sha256Hex(bytes)},
      {"format", file.format},
      {"content_hash", file.content_hash},
      {"state_dict_under", file.wrapper_key},
      {"tensors", file.state_dict.size()},
      {"numbers", numbers},
      {"types", TypesOf(file.state_dict)},
      {"mmengine", text::ToUtf8(file.meta.mmengine_version)},
      {"config_bytes", file.meta.config_text.size()},
      {"kind", network.kind},
      {"model", network.name},
      {"version", network.version},
      {"classes", ToJson(network.problem.empty() ? network.classes : file.meta.classes)},
      {"notes", ToJson(network.notes)},
      {"extra_tensors", ToJson(network.extra_tensors)},
      {"problem", text::ToUtf8(network.problem)}};
  if (!tensors) return about;
  json::array& list = about["tensor_list"].emplace_array();
  for (const auto& [name, tensor] : file.state_dict) {
    json::array shape;
    for (const std::int64_t side : tensor.shape) shape.emplace_back(side);
    list.push_back(json::object{{"name", text::ToUtf8(name)},
                                {"type", checkpoint::NameOf(tensor.dtype)},
                                {"shape", std::move(shape)}});
  }
  return about;
}

std::string Listed(const json::array& texts, std::size_t most) {
  std::vector<std::string> shown;
  for (const json::value& text : texts) {
    if (shown.size() == most) break;
    shown.emplace_back(text.get_string());
  }
  return text::StrCat(absl::StrJoin(shown, ", "), texts.size() > most ? ", …" : "");
}

void Print(const json::object& about) {
  const auto text = [&](const char* key) { return std::string(about.at(key).get_string()); };
  const auto row = [](std::string_view name, const std::string& value) {
    if (!value.empty()) {
      std::cout << name << std::string(18 - name.size(), ' ') << value << "\n";
    }
  };
  const auto list = [&](const char* key, std::string_view name, std::size_t most) {
    const json::array& texts = about.at(key).get_array();
    if (texts.empty()) return;
    row(name, text::StrCat(texts.size(), ": ", Listed(texts, most)));
  };
  row("file", text("file"));
  row("kind", text("kind"));
  row("model", text("model"));
  row("version", text("version"));
  list("classes", "classes", 100);
  std::vector<std::string> types;
  for (const auto& [type, count] : about.at("types").get_object()) {
    types.push_back(text::StrCat(count.get_int64(), " ", std::string(type)));
  }
  row("tensors",
      text::StrCat(about.at("tensors").to_number<std::int64_t>(), " (", absl::StrJoin(types, ", "),
                   "), ", about.at("numbers").get_int64(), " numbers"));
  list("extra_tensors", "not used", kShownExtra);
  row("size",
      text::StrCat(about.at("bytes").to_number<std::int64_t>(), " bytes, ", text("format")));
  row("sha256", text("sha256"));
  row("content hash", text("content_hash"));
  row("state_dict under", text("state_dict_under"));
  row("mmengine", text("mmengine"));
  for (const json::value& note : about.at("notes").get_array()) {
    row("note", std::string(note.get_string()));
  }
  row("not served", text("problem"));
  const json::value* const tensors = about.if_contains("tensor_list");
  if (tensors == nullptr) return;
  std::cout << "\n";
  for (const json::value& tensor : tensors->get_array()) {
    std::cout << tensor.at("name").get_string().c_str() << "  "
              << tensor.at("type").get_string().c_str() << "  "
              << json::serialize(tensor.at("shape")) << "\n";
  }
}

// 0: it is served; 1: it isn't; 2: it can't be read, or was asked wrongly.
int Inspect(const std::string& path, const Options& options) {
  const auto bytes = files::MappedFile::Open(path);
  const absl::StatusOr<checkpoint::Checkpoint> file = checkpoint::ReadCheckpoint(path);
  if (!bytes.ok() || !file.ok()) {
    std::cerr << (bytes.ok() ? file.status() : bytes.status()).message() << "\n";
    return 2;
  }
  const Network network = LoadNetwork(path, *file);
  const json::object about = Describe(path, (*bytes)->bytes(), *file, network, options.tensors);
  if (options.json) {
    std::cout << json::serialize(about) << "\n";
  } else {
    Print(about);
  }
  return network.problem.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  serving::SetUpOpenMp(argv);
  serving::SetLogLevel("error");
  Options options;
  serving::FlagTable flags(
      "duet models inspect FILE",
      "Says what Duet reads in a file of weights, .pth or .safetensors, without executing anything "
      "in it: family and variant, classes, tensors, those that are missing or not used, hashes. "
      "Exit code 0: Duet serves it; 1: it doesn't, and says why; 2: it can't be read.\n\n"
      "Example: duet models inspect rtmdet_tiny.pth");
  flags.Add("json", &options.json, "As one JSON object.");
  flags.Add("tensors", &options.tensors, "All tensors too, with their types and shapes.");
  const bool has_file = argc > 1 && argv[1][0] != '-';
  std::vector<const char*> rest = {"duet-inspect-checkpoint"};
  rest.insert(rest.end(), argv + (has_file ? 2 : std::min(argc, 1)), argv + argc);
  const absl::Status status = flags.Parse(static_cast<int>(rest.size()), rest.data(), getenv);
  if (!status.ok()) {
    std::cerr << "duet models inspect: " << status.message() << "\n";
    return 2;
  }
  if (flags.help_requested()) {
    std::cout << flags.RequestedHelp();
    return 0;
  }
  if (!has_file) {
    std::cerr << "duet models inspect: no file; needed: duet models inspect FILE\n";
    return 2;
  }
  return Inspect(argv[1], options);
}
