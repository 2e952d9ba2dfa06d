#include "gateway/http/message.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace gateway::http {
namespace {

TEST(MessageTest, ADroppedBodyLeavesNoMemoryBehind) {
  const auto budget = std::make_shared<ByteBudget>(2 << 20);
  Request request;
  request.body.assign(1 << 20, 'x');
  request.memory = ByteLease(budget);
  ASSERT_TRUE(request.memory.Grow(request.body.size()));

  request.DropBody();

  EXPECT_EQ(budget->taken(), 0u);
  EXPECT_EQ(request.body.capacity(), std::string().capacity());
}

}  // namespace
}  // namespace gateway::http
