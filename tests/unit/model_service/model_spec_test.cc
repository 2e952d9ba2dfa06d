#include "model_service/model_spec.h"

#include <gmock/gmock.h>

#include <string>

#include "tests/testing/status_matchers.h"

namespace model_service {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::HasSubstr;

duet::vision::v1::ModelSpec Spec(const std::string& name, const std::string& version) {
  duet::vision::v1::ModelSpec spec;
  spec.set_name(name);
  spec.set_version(version);
  return spec;
}

TEST(ModelSpecTest, AnEmptyNameIsTheDefaultModels) {
  EXPECT_TRUE(IsDefault(Spec("", "")));
  EXPECT_TRUE(IsDefault(Spec("default", "v1")));
  EXPECT_FALSE(IsDefault(Spec("project-7", "")));
}

TEST(ModelSpecTest, AnEmptyVersionIsAny) {
  EXPECT_THAT(CheckVersion(Spec("", ""), "v1"), IsOk());
  EXPECT_THAT(CheckVersion(Spec("", "v1"), "v1"), IsOk());
}

TEST(ModelSpecTest, AnotherModelIsAFailedPrecondition) {
  EXPECT_THAT(NoNamedModels(Spec("project-7", "v1")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "model.name is 'project-7', but this replica serves 'default' only"));
  EXPECT_THAT(CheckVersion(Spec("default", "v2"), "v1"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "model.version is 'v2', but this replica serves version 'v1'"));
  EXPECT_THAT(CheckVersion(Spec("default", "v0"), "v1"),
              StatusIs(absl::StatusCode::kFailedPrecondition))
      << "an earlier one";
}

TEST(ModelSpecTest, ALongNameIsCutOffInTheMessage) {
  const absl::Status status = NoNamedModels(Spec(std::string(5000, 'x'), ""));
  EXPECT_LT(status.message().size(), 300u);
}

TEST(ModelSpecTest, WhatIsWrittenIsServed) {
  duet::vision::v1::ModelSpec spec;
  WriteSpec("default", "v1", &spec);
  EXPECT_TRUE(IsDefault(spec));
  EXPECT_THAT(CheckVersion(spec, "v1"), IsOk());
}

}  // namespace
}  // namespace model_service
