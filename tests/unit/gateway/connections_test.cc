#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/options.h"
#include "tests/testing/log_capture.h"

namespace gateway {
namespace {

int Fitted(int max_connections, int descriptors) {
  http::ServerOptions options;
  options.max_connections = max_connections;
  FitConnections(descriptors, &options);
  return options.max_connections;
}

TEST(FitConnectionsTest, ConnectionsLeaveDescriptorsForTheRest) {
  EXPECT_EQ(Fitted(1024, 1'000'000), 1024);
  EXPECT_EQ(Fitted(1024, 1280), 1024);
  EXPECT_EQ(Fitted(1024, 1024), 768);
  EXPECT_EQ(Fitted(1024, 100), 50);
}

TEST(FitConnectionsTest, FewerThanWantedIsSaid) {
  const duet_testing::LogCapture log;

  Fitted(1024, 1280);
  EXPECT_THAT(log.lines("connections.limited"), testing::IsEmpty());
  Fitted(1024, 1024);

  EXPECT_THAT(log.lines("connections.limited"), testing::SizeIs(1));
}

}  // namespace
}  // namespace gateway
