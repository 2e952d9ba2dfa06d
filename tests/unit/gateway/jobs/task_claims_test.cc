#include "gateway/jobs/task_claims.h"

#include <gtest/gtest.h>

#include <memory>

namespace gateway::jobs {
namespace {

TEST(TaskClaimsTest, ATaskHasOneOwnerAtATime) {
  TaskClaims claims;
  const TaskClaims::Owner first = claims.NewOwner();
  const TaskClaims::Owner second = claims.NewOwner();

  EXPECT_TRUE(claims.Take("task", first));
  EXPECT_FALSE(claims.Take("task", second));
  claims.Release("task", second);
  EXPECT_TRUE(claims.Has("task", first)) << "only its owner releases a task";
  claims.Release("task", first);
  EXPECT_TRUE(claims.Take("task", second));
}

TEST(TaskClaimsTest, OnlyTheOwnerHandsATaskOver) {
  TaskClaims claims;
  const TaskClaims::Owner request = claims.NewOwner();
  const TaskClaims::Owner other = claims.NewOwner();
  const TaskClaims::Owner job = claims.NewOwner();
  ASSERT_TRUE(claims.Take("task", request));
  // Somebody opened the task and got its answer; another request works on it now.
  claims.Release("task");
  ASSERT_TRUE(claims.Take("task", other));

  EXPECT_FALSE(claims.HandOver("task", request, job));
  EXPECT_TRUE(claims.Has("task", other));
  EXPECT_FALSE(claims.HandOver("unknown", request, job));
  EXPECT_TRUE(claims.HandOver("task", other, job));
  EXPECT_TRUE(claims.Has("task", job));
}

TEST(TaskClaimsTest, ARequestReleasesAtItsEndWhatIsStillItsOwn) {
  const auto claims = std::make_shared<TaskClaims>();
  const TaskClaims::Owner job = claims->NewOwner();
  {
    RequestClaims request(claims);
    ASSERT_TRUE(request.Take("answered"));
    ASSERT_TRUE(request.Take("left"));
    EXPECT_FALSE(request.Take("left"));
    ASSERT_TRUE(claims->HandOver("left", request.owner(), job));
  }
  EXPECT_TRUE(claims->Take("answered", claims->NewOwner()));
  EXPECT_TRUE(claims->Has("left", job));
}

}  // namespace
}  // namespace gateway::jobs
