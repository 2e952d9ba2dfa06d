// Compares what the reader makes of config files with what mmengine makes of them
// (tools/make_config_corpus.py): those of tests/data/configs, and of the folder that
// DUET_CONFIG_CORPUS names.
#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "detector_service/config/config_file.h"
#include "detector_service/config/config_reader.h"
#include "detector_service/config/detector_settings.h"
#include "detector_service/config/network_settings.h"
#include "tests/testing/status_matchers.h"

namespace detector {
namespace {

namespace json = boost::json;

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct Differences {
  std::vector<std::string> wrong;
  std::vector<std::string> opaque;  // paths that only mmengine knows
};

double NumberOf(const json::value& value) {
  if (value.is_object()) {  // {"$": "inf"}
    const json::string& text = value.at("$").as_string();
    return std::strtod(text.c_str(), nullptr);
  }
  return value.to_number<double>();
}

// Boost.JSON rounds the last digit of some numbers.
bool IsSame(double a, double b) { return a == b || std::abs(a - b) <= 1e-15 * std::abs(b); }

void Compare(const json::value& wanted, const PythonValue* found, const std::string& path,
             Differences* differences) {
  const auto wrong = [&] {
    differences->wrong.push_back(path + ": " + (found != nullptr ? Show(*found) : "absent") +
                                 " instead of " + json::serialize(wanted).substr(0, 80));
  };
  if (found == nullptr) return wrong();
  if (found->opaque() != nullptr) return differences->opaque.push_back(path);
  double number = 0;
  if (wanted.is_null()) {
    if (!found->is_none()) wrong();
  } else if (wanted.is_bool()) {
    if (found->boolean() == nullptr || *found->boolean() != wanted.as_bool()) wrong();
  } else if (wanted.is_string()) {
    if (found->string() == nullptr || *found->string() != wanted.as_string()) wrong();
  } else if (wanted.is_array()) {
    const json::array& items = wanted.as_array();
    if (found->list() == nullptr || found->list()->size() != items.size()) return wrong();
    for (std::size_t i = 0; i < items.size(); ++i) {
      Compare(items[i], &(*found->list())[i], path + "[" + std::to_string(i) + "]", differences);
    }
  } else if (wanted.is_object() && !wanted.as_object().contains("$")) {
    if (found->dict() == nullptr) return wrong();
    for (const auto& [key, value] : wanted.as_object()) {
      Compare(value, found->Find(std::string_view(key)), path + "." + std::string(key),
              differences);
    }
    for (const auto& [key, value] : *found->dict()) {
      if (wanted.as_object().contains(key)) continue;
      (value.opaque() != nullptr ? differences->opaque : differences->wrong)
          .push_back(path + "." + key + "?");
    }
  } else if (!found->number(&number) || !IsSame(number, NumberOf(wanted))) {
    wrong();
  }
}

std::vector<std::filesystem::path> Corpus() {
  std::vector<std::filesystem::path> folders = {std::string(DUET_TEST_DATA) + "/configs"};
  if (const char* more = std::getenv("DUET_CONFIG_CORPUS")) folders.emplace_back(more);
  std::vector<std::filesystem::path> files;
  for (const auto& folder : folders) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() == ".json") files.push_back(entry.path());
    }
  }
  return files;
}

TEST(ConfigCorpusTest, ValuesAreThoseThatMmengineReads) {
  int compared = 0;
  for (const std::filesystem::path& file : Corpus()) {
    SCOPED_TRACE(file.string());
    const json::value wanted = json::parse(ReadFile(file));
    const std::filesystem::path config = wanted.at("config").as_string().c_str();
    ASSERT_OK_AND_ASSIGN(const PythonConfig found,
                         ReadConfigFile((file.parent_path() / config).string()));
    Differences differences;
    Compare(wanted.at("values"), &found.values, "", &differences);

    EXPECT_THAT(differences.wrong, testing::IsEmpty());
    for (const std::string& path : differences.opaque) {
      const bool matters = path.find("model") != std::string::npos ||
                           path.find("test_pipeline") != std::string::npos ||
                           path.find("test_dataloader") != std::string::npos;
      EXPECT_FALSE(matters) << path << " is opaque";
    }
    ++compared;
  }
  EXPECT_GE(compared, 4);
}

// Every official config of a supported model is read without a word: no key of it is unknown.
TEST(ConfigCorpusTest, OfficialConfigsOfSupportedModelsAreFollowedWithoutAWarning) {
  for (const std::filesystem::path& file : Corpus()) {
    const std::string name = file.filename().string();
    const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
    // Models, and test pipelines, that are refused by name.
    if (has("p6") || has("ins_") || has("-ins") || has("pose") || has("razor") || has("tta") ||
        has("swin") || has("convnext") || has("distill") || has("-detect_") || has("deploy_") ||
        has("608x352")) {
      continue;
    }
    SCOPED_TRACE(file.string());
    const json::value wanted = json::parse(ReadFile(file));
    const std::filesystem::path path = wanted.at("config").as_string().c_str();
    ASSERT_OK_AND_ASSIGN(const PythonConfig config,
                         ReadConfigFile((file.parent_path() / path).string()));
    const bool mmyolo = config.values.Find({"model", "bbox_head", "head_module"}) != nullptr;
    if (!mmyolo && has("yolox")) continue;
    const PostprocessRule rule = mmyolo ? PostprocessRule::kMmyolo : PostprocessRule::kMmdet;
    std::vector<std::string> warnings;
    const auto settings = ReadSettings(config, {.rule = rule}, &warnings);
    EXPECT_TRUE(settings.ok()) << settings.status();
    const auto network = ReadNetworkSettings(config, rule, &warnings);
    EXPECT_TRUE(network.ok()) << network.status();
    EXPECT_THAT(warnings, testing::IsEmpty());
  }
}

}  // namespace
}  // namespace detector
