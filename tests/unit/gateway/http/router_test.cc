#include "gateway/http/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace gateway::http {
namespace {

using boost::beast::http::verb;

Router SmallRouter() {
  Router router;
  router.AddQuick(verb::get, "/", [](const Request&, Context&) { return Response{}; });
  router.AddQuick(verb::get, "/health", [](const Request&, Context&) { return Response{}; });
  router.AddQuick(verb::post, "/predict", [](const Request&, Context&) { return Response{}; });
  router.AddQuick(verb::delete_, "/jobs/{id}", [](const Request&, Context&) { return Response{}; });
  router.set_prefix_rule([](std::string_view prefix, const Route&) {
    return prefix.empty() || prefix == "/p/street";
  });
  return router;
}

// "pattern prefix" of what was found, or the refusal's status.
std::string Find(const Router& router, verb method, std::string path) {
  const Request request{.method = method, .path = std::move(path)};
  Context context;
  const auto found = router.Find(request, context);
  if (const auto* refusal = std::get_if<Response>(&found)) return std::to_string(refusal->status);
  return context.route + " " + context.prefix;
}

TEST(RouterTest, FindsARouteBehindAKnownPrefixOnly) {
  const Router router = SmallRouter();

  EXPECT_EQ(Find(router, verb::get, "/health"), "/health ");
  EXPECT_EQ(Find(router, verb::get, "/p/street/health"), "/health /p/street");
  EXPECT_EQ(Find(router, verb::get, "/p/street"), "/ /p/street");
  EXPECT_EQ(Find(router, verb::get, "/p/forest/health"), "404");
  EXPECT_EQ(Find(router, verb::get, "/healthy"), "404");
  EXPECT_EQ(Find(router, verb::get, "/nothing"), "404");
}

TEST(RouterTest, SlashesTooManyDoNoHarm) {
  const Router router = SmallRouter();

  EXPECT_EQ(Find(router, verb::get, "/"), "/ ");
  EXPECT_EQ(Find(router, verb::get, "//health/"), "/health ");
  EXPECT_EQ(Find(router, verb::get, "/p/street//health"), "/health /p/street");
}

TEST(RouterTest, ASegmentInBracesMatchesAnything) {
  EXPECT_EQ(Find(SmallRouter(), verb::delete_, "/jobs/17"), "/jobs/{id} ");
}

TEST(RouterTest, HeadIsAnsweredAsGet) {
  EXPECT_EQ(Find(SmallRouter(), verb::head, "/health"), "/health ");
}

TEST(RouterTest, TheWrongMethodIsToldTheRightOne) {
  const Router router = SmallRouter();
  const Request request{.method = verb::get, .path = "/predict"};
  Context context;

  const auto found = router.Find(request, context);

  const auto& refusal = std::get<Response>(found);
  EXPECT_EQ(refusal.status, 405);
  EXPECT_THAT(refusal.headers, testing::ElementsAre(testing::Pair("Allow", "POST")));
  EXPECT_EQ(refusal.body, R"({"error":"/predict takes POST."})");
}

TEST(RouterTest, TheGateRefusesBeforeTheHandler) {
  Router router = SmallRouter();
  router.Seal([](Route& route) {
    route.gate = [](const Request&, const Context& context) -> std::optional<Response> {
      if (context.route == "/health") return std::nullopt;
      return ErrorResponse(401, "No.");
    };
  });

  EXPECT_EQ(Find(router, verb::get, "/health"), "/health ");
  EXPECT_EQ(Find(router, verb::post, "/predict"), "401");
}

TEST(RouterTest, NoRouteIsAddedBehindTheGates) {
  Router router = SmallRouter();
  router.Seal([](Route& route) {
    route.gate = [](const Request&, const Context&) { return ErrorResponse(401, "No."); };
  });

  EXPECT_THROW(
      router.AddQuick(verb::get, "/late", [](const Request&, Context&) { return Response{}; }),
      std::logic_error);
  EXPECT_THROW(router.Add(verb::post, "/late", Handler()), std::logic_error);

  EXPECT_EQ(Find(router, verb::get, "/late"), "404");
  EXPECT_EQ(Find(router, verb::get, "/health"), "401");
}

TEST(ErrorResponseTest, IsJsonWhateverBytesAMessageHolds) {
  EXPECT_EQ(ErrorResponse(400, "no 'caf\xe9'").body, "{\"error\":\"no 'caf\xEF\xBF\xBD'\"}");
  EXPECT_EQ(ErrorResponse(400, "no 'é'").body, "{\"error\":\"no 'é'\"}");
}

TEST(ErrorResponseTest, TellsTheClientWhenToComeBack) {
  const Response away = ErrorResponse(absl::UnavailableError("the detector is away"));

  EXPECT_EQ(away.status, 503);
  EXPECT_EQ(away.body, R"({"error":"the detector is away"})");
  EXPECT_THAT(away.headers, testing::ElementsAre(testing::Pair("Retry-After", "2")));
  EXPECT_EQ(ErrorResponse(absl::InvalidArgumentError("tasks is missing")).status, 400);
}

}  // namespace
}  // namespace gateway::http
