#include "prelabel/project_cache.h"

#include <gmock/gmock.h>
#include <malloc.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <string>

#include "tests/testing/status_matchers.h"

namespace prelabel {
namespace {

// `count` labels in each of `controls` controls; `name` tells configs apart.
std::string Config(const std::string& name, int count, int controls = 1) {
  std::string xml = "<View><Image name=\"image\" value=\"$image\"/>";
  for (int control = 0; control < controls; ++control) {
    const char* const tag = control == 0 ? "RectangleLabels" : "BrushLabels";
    xml += std::string("<") + tag + " name=\"c" + std::to_string(control) + "\" toName=\"image\">";
    for (int i = 0; i < count; ++i) {
      xml += "<Label value=\"" + name + std::to_string(i) + "\"/>";
    }
    xml += std::string("</") + tag + ">";
  }
  return xml + "</View>";
}

std::shared_ptr<Project> Get(ProjectCache& cache, const std::string& config,
                             const Settings& settings = {}) {
  boost::asio::io_context io;
  boost::asio::thread_pool pool(1);
  absl::StatusOr<std::shared_ptr<Project>> got;
  boost::asio::co_spawn(io, cache.Get(pool, config, settings),
                        [&](const std::exception_ptr&, auto project) { got = std::move(project); });
  io.run();
  EXPECT_TRUE(got.ok()) << got.status();
  return got.ok() ? *got : nullptr;
}

TEST(ProjectCacheTest, TheSameTextAndSettingsAreParsedOnce) {
  ProjectCache cache;
  const auto first = Get(cache, Config("a", 3));

  EXPECT_EQ(Get(cache, Config("a", 3)), first);
  EXPECT_EQ(Get(cache, Config("a", 3), {.background = Background::kPush}), first)
      << "who finishes a batch doesn't matter to its answers";
  EXPECT_NE(Get(cache, Config("b", 3)), first);
  EXPECT_NE(Get(cache, Config("a", 3), {.score_threshold = 0.25}), first);
}

TEST(ProjectCacheTest, OverBudgetDropsTheLeastRecentlyUsed) {
  ProjectCache measure;
  Get(measure, Config("a", 1000));
  const std::size_t each = measure.bytes();
  ProjectCache cache(each * 5 / 2);  // room for two
  const auto a = Get(cache, Config("a", 1000));
  const auto b = Get(cache, Config("b", 1000));
  Get(cache, Config("a", 1000));  // a use, which leaves b the oldest

  Get(cache, Config("c", 1000));

  EXPECT_LE(cache.bytes(), each * 5 / 2);
  EXPECT_EQ(Get(cache, Config("a", 1000)), a);
  EXPECT_NE(Get(cache, Config("b", 1000)), b);
}

TEST(ProjectCacheTest, WhatIsLargerThanTheBudgetIsNotKept) {
  ProjectCache cache(1000);

  EXPECT_NE(Get(cache, Config("a", 1000)), nullptr);

  EXPECT_EQ(cache.bytes(), 0u);
}

// What the allocator has handed out while `make` ran and is still in use.
template <typename Make>
std::size_t BytesOf(const Make& make) {
  malloc_trim(0);
  const auto in_use = [] {
    const auto info = mallinfo2();
    return info.uordblks + info.hblkhd;
  };
  const std::size_t before = in_use();
  const auto made = make();
  return in_use() - before;
}

TEST(ProjectCacheTest, AProjectTakesMemoryInProportionToItsConfig) {
  // Some 2 MB: the largest that anybody has, short labels in two controls.
  const std::string config = Config("golden retriever ", 25'000, 2);
  std::size_t estimate = 0;
  auto detector = std::make_shared<backends::DetectorModel>();
  for (int i = 0; i < 25'000; ++i) {
    detector->classes.push_back("golden retriever " + std::to_string(i));
  }
  const ServedModels models = {detector, std::make_shared<backends::SegmenterModel>()};

  const std::size_t taken = BytesOf([&] {
    auto project = Project::Create(config, {});
    EXPECT_TRUE(project.ok()) << project.status();
    estimate = (*project)->memory_bytes();
    EXPECT_FALSE((*project)->ModelVersion(models).empty());
    return *project;
  });

  RecordProperty("config_bytes", static_cast<int>(config.size()));
  RecordProperty("project_bytes", static_cast<int>(taken));
  EXPECT_LT(taken, 5 * config.size()) << config.size();
  EXPECT_NEAR(static_cast<double>(estimate), static_cast<double>(taken), 0.3 * taken);
}

TEST(ProjectCacheTest, LabelsThatManyControlsShareAreKeptOnce) {
  // A hundred plain controls beside one <Labels> of 400 KB.
  std::string config =
      "<View><Image name=\"image\" value=\"$image\"/>"
      "<Labels name=\"labels\" toName=\"image\">";
  for (int i = 0; i < 4; ++i) {
    config += "<Label value=\"" + std::string(100'000, static_cast<char>('a' + i)) + "\"/>";
  }
  config += "</Labels>";
  for (int i = 0; i < 100; ++i) {
    config += "<Rectangle name=\"r" + std::to_string(i) + "\" toName=\"image\"/>";
  }
  config += "</View>";

  const std::size_t taken = BytesOf([&] { return *Project::Create(config, {}); });

  EXPECT_LT(taken, 2 * config.size());
}

}  // namespace
}  // namespace prelabel
