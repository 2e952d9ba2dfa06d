#include "serving/flags.h"

#include <gmock/gmock.h>

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace serving {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

struct Options {
  std::string checkpoint;
  int port = 50051;
  double score_threshold = 0.5;
  bool reload = false;
  std::vector<std::string> hosts;
  std::string precision = "fp32";
};

class FlagTableTest : public testing::Test {
 protected:
  FlagTableTest() {
    flags_.Required("checkpoint", &options_.checkpoint, "The weights.");
    flags_.Add("port", &options_.port, "gRPC port.", InRange(0, 65535));
    flags_.Add("score_threshold", &options_.score_threshold, "Least score.");
    flags_.Add("reload", &options_.reload, "Allow ReloadModel.");
    flags_.Add("hosts", &options_.hosts, "Allowed hosts.");
    flags_.Add("precision", &options_.precision, "Arithmetic.", OneOf({"fp32", "bf16"}));
  }

  absl::Status Parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "duet-detector");
    return flags_.Parse(static_cast<int>(arguments.size()), arguments.data(),
                        [this](const char* name) -> const char* {
                          const auto found = environment_.find(name);
                          return found == environment_.end() ? nullptr : found->second.c_str();
                        });
  }

  Options options_;
  std::map<std::string, std::string> environment_;
  FlagTable flags_{"duet-detector", "Finds objects."};
};

TEST_F(FlagTableTest, ReadsEveryKindOfValue) {
  ASSERT_THAT(Parse({"--checkpoint=a=b.pth", "--port", "0", "--score_threshold=0.25", "--reload",
                     "--hosts=a.example,b.example"}),
              IsOk());
  EXPECT_EQ(options_.checkpoint, "a=b.pth");
  EXPECT_EQ(options_.port, 0);
  EXPECT_EQ(options_.score_threshold, 0.25);
  EXPECT_TRUE(options_.reload);
  EXPECT_THAT(options_.hosts, ElementsAre("a.example", "b.example"));
}

TEST_F(FlagTableTest, TheCommandLineWinsOverTheEnvironmentWhichWinsOverTheDefault) {
  environment_ = {{"DUET_CHECKPOINT", "env.pth"}, {"DUET_PORT", "7"}, {"DUET_RELOAD", "true"}};
  ASSERT_THAT(Parse({"--port=8", "--noreload"}), IsOk());
  EXPECT_EQ(options_.checkpoint, "env.pth");
  EXPECT_EQ(options_.port, 8);
  EXPECT_FALSE(options_.reload);
  EXPECT_EQ(options_.score_threshold, 0.5);
}

TEST_F(FlagTableTest, AnEmptyVariableCountsAsUnset) {
  environment_ = {{"DUET_CHECKPOINT", ""}, {"DUET_PORT", ""}};
  EXPECT_THAT(Parse({}), StatusIs(absl::StatusCode::kInvalidArgument,
                                  "--checkpoint (or DUET_CHECKPOINT) must be given (see --help)"));
}

TEST_F(FlagTableTest, WhatIsWrongIsNamed) {
  const auto invalid = [](const std::string& message) {
    return StatusIs(absl::StatusCode::kInvalidArgument, message);
  };
  EXPECT_THAT(Parse({"--prot=1"}),
              invalid("unknown flag --prot (see --help); did you mean --port?"));
  EXPECT_THAT(Parse({"--noport"}), invalid("unknown flag --noport (see --help)"));
  EXPECT_THAT(Parse({"--port=x"}), invalid("--port=x: must be a whole number"));
  EXPECT_THAT(Parse({"--port="}), invalid("--port=: must be a whole number"));
  EXPECT_THAT(Parse({"--port=65536"}), invalid("--port=65536: must be from 0 to 65535"));
  EXPECT_THAT(Parse({"--port"}), invalid("--port needs a value"));
  EXPECT_THAT(Parse({"--reload=maybe"}), invalid("--reload=maybe: must be true or false"));
  EXPECT_THAT(Parse({"--precision=int8"}), invalid("--precision=int8: must be one of fp32, bf16"));
  EXPECT_THAT(Parse({"--checkpoint=", "s3cret"}),
              invalid("unexpected argument after '--checkpoint=': no space follows the '='"));
  EXPECT_THAT(Parse({"model.pth"}), invalid("unexpected argument 'model.pth': flags look like "
                                            "--name=value"));
  environment_ = {{"DUET_PORT", "x"}};
  EXPECT_THAT(Parse({}), invalid("DUET_PORT=x: must be a whole number"));
}

TEST_F(FlagTableTest, ABadValueLeavesTheFieldAlone) {
  EXPECT_FALSE(Parse({"--checkpoint=a", "--port=70000"}).ok());
  EXPECT_EQ(options_.port, 50051);
}

TEST_F(FlagTableTest, HelpShowsFlagsDefaultsAndVariablesAndNothingElse) {
  ASSERT_THAT(Parse({"--nonsense", "--help"}), IsOk());
  EXPECT_TRUE(flags_.help_requested());
  EXPECT_EQ(flags_.Help(),
            "duet-detector: Finds objects.\n"
            "\n"
            "Flags:\n"
            "  --checkpoint=VALUE  (required; env: DUET_CHECKPOINT)\n"
            "      The weights.\n"
            "  --port=VALUE  (default: 50051; env: DUET_PORT)\n"
            "      gRPC port.\n"
            "  --score_threshold=VALUE  (default: 0.5; env: DUET_SCORE_THRESHOLD)\n"
            "      Least score.\n"
            "  --reload  (default: false; env: DUET_RELOAD)\n"
            "      Allow ReloadModel.\n"
            "  --hosts=VALUE  (default: none; env: DUET_HOSTS)\n"
            "      Allowed hosts.\n"
            "  --precision=VALUE  (default: fp32; env: DUET_PRECISION)\n"
            "      Arithmetic.\n"
            "  --help\n"
            "      Prints this and exits; --help=json prints it as JSON.\n"
            "  --version\n"
            "      Prints the version and exits.\n");
  EXPECT_EQ(flags_.RequestedHelp(), flags_.Help());
}

TEST_F(FlagTableTest, HelpAsJsonSaysTheSame) {
  FlagTable flags("duet-detector", "Finds \"objects\".");
  flags.Required("checkpoint", &options_.checkpoint, "The weights.");
  flags.Add("port", &options_.port, "gRPC port.");
  const char* const arguments[] = {"duet-detector", "--nonsense", "--help=json"};

  ASSERT_THAT(flags.Parse(3, arguments, [](const char*) { return nullptr; }), IsOk());

  EXPECT_TRUE(flags.help_requested());
  EXPECT_EQ(flags.RequestedHelp(),
            R"({"program":"duet-detector","purpose":"Finds \"objects\".","flags":[)"
            R"({"name":"checkpoint","default":"","required":true,"variable":"DUET_CHECKPOINT",)"
            R"("help":"The weights."},)"
            R"({"name":"port","default":"50051","required":false,"variable":"DUET_PORT",)"
            R"("help":"gRPC port."}]})"
            "\n");
}

class RenamedFlagTest : public FlagTableTest {
 protected:
  RenamedFlagTest() {
    flags_.Renamed("grpc_port", "port");
    flags_.Renamed("allow_reload", "reload");
    environment_ = {{"DUET_CHECKPOINT", "a.pth"}};
  }
};

TEST_F(RenamedFlagTest, TheFormerNameWorksWithAWarning) {
  ASSERT_THAT(Parse({"--grpc_port=7", "--allow_reload"}), IsOk());
  EXPECT_EQ(options_.port, 7);
  EXPECT_TRUE(options_.reload);
  EXPECT_THAT(
      flags_.warnings(),
      ElementsAre("--grpc_port is now --port; the next release won't know the former name",
                  "--allow_reload is now --reload; the next release won't know the former name"));

  ASSERT_THAT(Parse({"--noallow_reload"}), IsOk());
  EXPECT_FALSE(options_.reload);
  EXPECT_THAT(flags_.warnings(), ElementsAre(HasSubstr("--allow_reload is now --reload")));
}

TEST_F(RenamedFlagTest, SoDoesTheFormerVariableUnlessTheNewOneIsSet) {
  environment_["DUET_GRPC_PORT"] = "7";
  ASSERT_THAT(Parse({}), IsOk());
  EXPECT_EQ(options_.port, 7);
  EXPECT_THAT(flags_.warnings(), ElementsAre(HasSubstr("DUET_GRPC_PORT is now DUET_PORT")));

  environment_["DUET_PORT"] = "8";
  ASSERT_THAT(Parse({}), IsOk());
  EXPECT_EQ(options_.port, 8);
  ASSERT_THAT(Parse({"--grpc_port=9"}), IsOk());
  EXPECT_EQ(options_.port, 9) << "the command line wins over the environment";
}

TEST_F(RenamedFlagTest, TheFormerVariableIsNotLookedAtIfTheNewOneIsSet) {
  environment_["DUET_GRPC_PORT"] = "not a port";
  environment_["DUET_PORT"] = "8";

  ASSERT_THAT(Parse({}), IsOk());
  EXPECT_EQ(options_.port, 8);
  EXPECT_THAT(flags_.warnings(), testing::IsEmpty());

  environment_["DUET_PORT"] = "";  // counts as unset
  environment_["DUET_GRPC_PORT"] = "7";
  ASSERT_THAT(Parse({}), IsOk());
  EXPECT_EQ(options_.port, 7);
}

TEST_F(RenamedFlagTest, TheNewNameGivesNoWarning) {
  ASSERT_THAT(Parse({"--port=7"}), IsOk());
  EXPECT_THAT(flags_.warnings(), testing::IsEmpty());
}

TEST_F(RenamedFlagTest, ABadValueIsToldUnderTheNameThatWasGiven) {
  EXPECT_THAT(Parse({"--grpc_port=x"}), StatusIs(absl::StatusCode::kInvalidArgument,
                                                 "--grpc_port=x: must be a whole number"));
  environment_["DUET_GRPC_PORT"] = "x";
  EXPECT_THAT(Parse({}), StatusIs(absl::StatusCode::kInvalidArgument,
                                  "DUET_GRPC_PORT=x: must be a whole number"));
}

TEST_F(RenamedFlagTest, OnlyTheJsonKnowsTheFormerName) {
  EXPECT_THAT(flags_.Help(), testing::Not(HasSubstr("grpc_port")));
  EXPECT_THAT(flags_.HelpAsJson(),
              HasSubstr(R"("help":"gRPC port.","former_names":["grpc_port"]})"));
}

TEST_F(RenamedFlagTest, WhatClashesIsAnErrorOfTheProgram) {
  EXPECT_THROW(flags_.Renamed("hosts", "port"), std::logic_error);
  EXPECT_THROW(flags_.Renamed("old", "none"), std::logic_error);
  int value = 0;
  EXPECT_THROW(flags_.Add("grpc_port", &value, "Taken."), std::logic_error);
}

TEST(FlagTableHelpTest, LongHelpIsWrappedAtAHundredColumns) {
  int value = 0;
  FlagTable flags("x", "y");
  std::string words;
  for (int i = 0; i < 40; ++i) words += "word ";
  flags.Add("long", &value, words);
  std::size_t start = 0;
  const std::string help = flags.Help();
  for (std::size_t end; (end = help.find('\n', start)) != std::string::npos; start = end + 1) {
    EXPECT_LE(end - start, 100u);
  }
}

TEST(FlagCheckTest, BothEndsOfARangeAreInIt) {
  const FlagCheck<int> check = InRange(1, 3);
  for (const int value : {1, 2, 3}) EXPECT_EQ(check(value), "") << value;
  for (const int value : {0, 4, -2}) EXPECT_EQ(check(value), "must be from 1 to 3") << value;
}

}  // namespace
}  // namespace serving
