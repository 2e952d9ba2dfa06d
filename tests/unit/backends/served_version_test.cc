#include "backends/served_version.h"

#include <gtest/gtest.h>

namespace backends {
namespace {

TEST(ChooseVersionTest, StaysWhileAnyReplicaServesIt) {
  EXPECT_EQ(ChooseVersion("a", {"a", "a"}), "a");
  EXPECT_EQ(ChooseVersion("a", {"b", "b", "a"}), "a");
  EXPECT_EQ(ChooseVersion("a", {"b", "b", "c"}), "b");
}

TEST(ChooseVersionTest, GatewaysThatSeeTheSameAgree) {
  EXPECT_EQ(ChooseVersion("", {"b", "a"}), ChooseVersion("", {"a", "b"}));
  EXPECT_EQ(ChooseVersion("old", {"b", "c", "c", "b", "a"}), "b");
}

TEST(ChooseVersionTest, SilenceChangesNothing) {
  EXPECT_EQ(ChooseVersion("a", {}), "a");
  EXPECT_EQ(ChooseVersion("", {}), "");
}

// One replica after another: a, b in every state of the roll-out.
TEST(ChooseVersionTest, ARollOutMovesItOnce) {
  std::string current = "a";
  int moves = 0;
  std::vector<std::string> replicas(5, "a");
  for (std::string& replica : replicas) {
    replica = "b";
    for (int look = 0; look < 3; ++look) {
      const std::string next = ChooseVersion(current, replicas);
      moves += next != current;
      current = next;
    }
  }
  EXPECT_EQ(moves, 1);
  EXPECT_EQ(current, "b");
}

}  // namespace
}  // namespace backends
