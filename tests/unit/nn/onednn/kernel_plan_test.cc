#include "nn/onednn/kernel_plan.h"

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>

#include <string>
#include <thread>
#include <vector>

#include "files/atomic_file.h"
#include "files/text_file.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace nn::onednn {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;

// A layer's two kernels; counts measurements.
struct Kernels {
  double direct_s = 2, winograd_s = 1;
  int measured = 0;

  std::vector<KernelPlan::Candidate> candidates() {
    return {{"direct", [this] { return ++measured, direct_s; }},
            {"winograd", [this] { return ++measured, winograd_s; }}};
  }
};

class KernelPlanTest : public testing::Test {
 protected:
  std::string Text() { return files::ReadText(path_, 1 << 20).value(); }

  const duet_testing::TempDir folder_;
  const std::string path_ = folder_.path() + "/plan";
};

TEST_F(KernelPlanTest, TheFastestIsChosenAndMeasuredOnce) {
  KernelPlan plan("Z80");
  Kernels a, b{.direct_s = 1, .winograd_s = 3};
  EXPECT_EQ(plan.Choose("a", a.candidates()), "winograd");
  EXPECT_EQ(plan.Choose("b", b.candidates()), "direct");
  a.winograd_s = 9;
  EXPECT_EQ(plan.Choose("a", a.candidates()), "winograd");
  EXPECT_EQ(a.measured, 4);  // each of the two twice, which tells
  EXPECT_EQ(plan.summary().layers, 2);
  EXPECT_EQ(plan.summary().measured, 2);
}

TEST_F(KernelPlanTest, WhoeverIsDisturbedOnceIsMeasuredAgain) {
  KernelPlan plan("Z80");
  int turn = 0;
  const std::string chosen = plan.Choose(
      "a", {{"slow", [] { return 1.05; }}, {"fast", [&] { return ++turn == 1 ? 1.5 : 1.0; }}});
  EXPECT_EQ(chosen, "fast");
  EXPECT_EQ(turn, 5);  // neither was ahead by a tenth
}

TEST_F(KernelPlanTest, AnotherProcessChoosesTheSameWithoutMeasuring) {
  Kernels first, second{.direct_s = 1, .winograd_s = 9};
  {
    KernelPlan plan("Z80");
    ASSERT_THAT(plan.KeepIn(path_), IsOk());
    EXPECT_EQ(plan.Choose("a", first.candidates()), "winograd");
    EXPECT_THAT(plan.summary().kept, IsOk());
  }
  KernelPlan plan("Z80");
  ASSERT_THAT(plan.KeepIn(path_), IsOk());
  EXPECT_EQ(plan.Choose("a", second.candidates()), "winograd");
  EXPECT_EQ(second.measured, 0);
  EXPECT_EQ(plan.summary().layers, 1);
  EXPECT_EQ(plan.summary().measured, 0);
}

TEST_F(KernelPlanTest, OfTwoThatMeasureAtOnceTheFirstDecides) {
  Kernels first, second{.direct_s = 1, .winograd_s = 9};
  KernelPlan one("Z80"), other("Z80");
  ASSERT_THAT(one.KeepIn(path_), IsOk());
  ASSERT_THAT(other.KeepIn(path_), IsOk());
  EXPECT_EQ(one.Choose("a", first.candidates()), "winograd");
  EXPECT_EQ(other.Choose("a", second.candidates()), "winograd");
  EXPECT_EQ(other.Choose("b", second.candidates()), "direct");
  EXPECT_THAT(Text(), AllOf(HasSubstr("\na = winograd\nb = direct\n"), HasSubstr("\n[Z80]\n")));
}

TEST_F(KernelPlanTest, ThoseThatWriteAtOnceLoseNothing) {
  constexpr int kWriters = 4, kLayers = 25;
  std::vector<std::thread> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([this, writer] {
      Kernels kernels;
      KernelPlan plan("Z80");
      ASSERT_THAT(plan.KeepIn(path_), IsOk());
      for (int layer = 0; layer < kLayers; ++layer) {
        plan.Choose(absl::StrCat(writer, " ", layer), kernels.candidates());
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  KernelPlan plan("Z80");
  ASSERT_THAT(plan.KeepIn(path_), IsOk());
  EXPECT_EQ(plan.summary().layers, kWriters * kLayers);
}

TEST_F(KernelPlanTest, EachKindOfMachineHasChoicesOfItsOwn) {
  Kernels mine, other{.direct_s = 1, .winograd_s = 9};
  KernelPlan z80("Z80"), m68k("68000");
  ASSERT_THAT(z80.KeepIn(path_), IsOk());
  ASSERT_THAT(m68k.KeepIn(path_), IsOk());
  EXPECT_EQ(z80.Choose("a", mine.candidates()), "winograd");
  EXPECT_EQ(m68k.Choose("a", other.candidates()), "direct");
  EXPECT_EQ(z80.Choose("b", mine.candidates()), "winograd");
  EXPECT_THAT(Text(), HasSubstr("[Z80]\na = winograd\nb = winograd\n[68000]\na = direct\n"));
}

TEST_F(KernelPlanTest, AKernelThatIsNoLongerThereIsChosenAnew) {
  ASSERT_THAT(files::WriteFile(path_, "[Z80]\n# a note\na = fft\n"), IsOk());
  Kernels kernels;
  KernelPlan plan("Z80");
  ASSERT_THAT(plan.KeepIn(path_), IsOk());
  EXPECT_EQ(plan.Choose("a", kernels.candidates()), "winograd");
  EXPECT_EQ(Text(), "[Z80]\n# a note\na = winograd\n");
}

TEST_F(KernelPlanTest, WhatIsNoPlanIsRefusedByItsLine) {
  KernelPlan plan("Z80");
  for (const std::string text : {"[Z80]\na = winograd\nPK\x03\x04\n", "[Z80]\n\n= winograd\n",
                                 "# x\n[68000]\na =\n", "# x\n# y\na = winograd\n"}) {
    ASSERT_THAT(files::WriteFile(path_, text), IsOk());
    EXPECT_THAT(plan.KeepIn(path_), StatusIs(absl::StatusCode::kInvalidArgument,
                                             AllOf(HasSubstr(path_), HasSubstr("line 3"))))
        << text;
  }
}

TEST_F(KernelPlanTest, WhereItCantBeWrittenTheChoiceHoldsForTheProcess) {
  KernelPlan plan("Z80");
  Kernels kernels;
  ASSERT_THAT(plan.KeepIn(folder_.path() + "/no_such_folder/plan"), IsOk());
  EXPECT_EQ(plan.Choose("a", kernels.candidates()), "winograd");
  EXPECT_EQ(plan.Choose("a", kernels.candidates()), "winograd");
  EXPECT_EQ(kernels.measured, 4);
  EXPECT_THAT(plan.summary().kept,
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no_such_folder")));
}

TEST(ThisMachineTest, SaysWhatTimesDependOn) {
  EXPECT_THAT(ThisMachine(),
              testing::ContainsRegex(".+ [0-9]+\\.[0-9]+\\.[0-9]+, .+, oneDNN [0-9]+"));
}

}  // namespace
}  // namespace nn::onednn
