#include "serving/request_context.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace serving {
namespace {

using testing::MatchesRegex;

constexpr char kTrace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(RequestContextTest, TakesOverWellFormedIds) {
  const RequestContext request("Abc-1.2_3", kTrace);
  EXPECT_EQ(request.request_id(), "Abc-1.2_3");
  EXPECT_EQ(request.traceparent(), kTrace);
}

TEST(RequestContextTest, MakesAnIdIfThereIsNoneOrABadOne) {
  for (const std::string& id : {std::string(), std::string("a b"), std::string("a\nb"),
                                std::string(129, 'a'), std::string("\"")}) {
    EXPECT_THAT(RequestContext(id).request_id(), MatchesRegex("[0-9a-f]{32}"));
  }
  EXPECT_NE(RequestContext().request_id(), RequestContext().request_id());
}

TEST(RequestContextTest, DropsATraceThatIsNotW3c) {
  const std::string good = kTrace;
  for (const std::string& trace :
       std::vector<std::string>{good.substr(1), "01" + good.substr(2), good + "0",
                                "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                                "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"}) {
    EXPECT_EQ(RequestContext("id", trace).traceparent(), "") << trace;
  }
}

}  // namespace
}  // namespace serving
