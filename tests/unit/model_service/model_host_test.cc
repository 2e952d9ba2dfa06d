#include "model_service/model_host.h"

#include <gmock/gmock.h>

#include <future>
#include <memory>
#include <string>

#include "model_service/model_info.h"
#include "tests/testing/status_matchers.h"

namespace model_service {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::HasSubstr;

using Host = ModelHost<const std::string>;

std::shared_ptr<const std::string> Model(const char* name) {
  return std::make_shared<const std::string>(name);
}

// Answers with `next`.
Host::Loader LoaderOf(absl::StatusOr<std::shared_ptr<const std::string>> next) {
  return [next](const std::string&, const ReloadFiles&) { return next; };
}

TEST(ModelHostTest, ItIsToldWhichModelServes) {
  serving::Metrics metrics;
  ModelInfo info(metrics);
  Host host(Model("a"), {.enabled = true}, LoaderOf(Model("b")),
            [&](const std::string& model) { info.Serves(model, model + "-1"); });
  EXPECT_THAT(metrics.Text(), HasSubstr("duet_model_info{name=\"a\",version=\"a-1\"} 1"));

  ASSERT_THAT(host.Reload({}), IsOk());

  EXPECT_THAT(metrics.Text(), HasSubstr("duet_model_info{name=\"a\",version=\"a-1\"} 0"));
  EXPECT_THAT(metrics.Text(), HasSubstr("duet_model_info{name=\"b\",version=\"b-1\"} 1"));
}

TEST(ModelHostTest, AReloadReplacesTheModelAndTellsBoth) {
  Host host(Model("a"), {.enabled = true}, LoaderOf(Model("b")));
  const std::shared_ptr<const std::string> held = host.Current();

  ASSERT_OK_AND_ASSIGN(const Reloaded<const std::string> reloaded, host.Reload({}));

  EXPECT_EQ(*host.Current(), "b");
  EXPECT_EQ(reloaded.model, host.Current());
  EXPECT_EQ(reloaded.previous, held);
  EXPECT_GT(reloaded.peak_memory_bytes, 0u);
  EXPECT_EQ(*held, "a") << "who holds the old model keeps it";
}

TEST(ModelHostTest, TheLoaderSeesTheModelThatServes) {
  std::string seen;
  Host host(Model("a"), {.enabled = true}, [&](const std::string& current, const ReloadFiles&) {
    seen = current;
    return Model("b");
  });
  host.Replace(Model("c"));

  ASSERT_THAT(host.Reload({}), IsOk());
  EXPECT_EQ(seen, "c");
}

TEST(ModelHostTest, AFailedReloadLeavesTheModelAndTheNextOneMayRun) {
  bool fail = true;
  Host host(Model("a"), {.enabled = true},
            [&](const std::string&,
                const ReloadFiles&) -> absl::StatusOr<std::shared_ptr<const std::string>> {
              if (fail) return absl::InvalidArgumentError("b: not a checkpoint");
              return Model("b");
            });

  EXPECT_THAT(host.Reload({}), StatusIs(absl::StatusCode::kInvalidArgument, "b: not a checkpoint"));
  EXPECT_EQ(*host.Current(), "a");
  fail = false;
  EXPECT_THAT(host.Reload({}), IsOk());
}

TEST(ModelHostTest, AReloadIsAbortedWhileAnotherOneRuns) {
  std::promise<void> entered, go_on;
  Host host(Model("a"), {.enabled = true}, [&](const std::string&, const ReloadFiles&) {
    entered.set_value();
    go_on.get_future().wait();
    return Model("b");
  });
  auto first = std::async(std::launch::async, [&] { return host.Reload({}).status(); });
  entered.get_future().wait();

  EXPECT_THAT(host.Reload({}), StatusIs(absl::StatusCode::kAborted, "another reload is running"));
  EXPECT_EQ(*host.Current(), "a");
  go_on.set_value();
  EXPECT_THAT(first.get(), IsOk());
  EXPECT_EQ(*host.Current(), "b");
}

TEST(ModelHostTest, NothingIsLoadedUnlessReloadingIsOn) {
  Host host(Model("a"));

  EXPECT_THAT(host.Reload({}), StatusIs(absl::StatusCode::kPermissionDenied,
                                        "ReloadModel is off; start with --enable_reload"));
}

}  // namespace
}  // namespace model_service
