#include "text/json_numbers.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace text {
namespace {

TEST(WithPlainNumbersTest, NumbersAreAsPeopleWriteThem) {
  EXPECT_EQ(WithPlainNumbers(R"({"a":5E-1,"b":[-2.5E-1,1E0,7,0.25,1.5E2],"c":null})"),
            R"({"a":0.5,"b":[-0.25,1,7,0.25,150],"c":null})");
  EXPECT_EQ(WithPlainNumbers("5E-1"), "0.5");
}

TEST(WithPlainNumbersTest, TheyStandForTheSameDoubles) {
  EXPECT_EQ(std::strtod(WithPlainNumbers("9.31404173374176E-1").c_str(), nullptr),
            9.31404173374176E-1);
  EXPECT_EQ(std::strtod(WithPlainNumbers("1.7976931348623157E308").c_str(), nullptr),
            1.7976931348623157E308);
  EXPECT_EQ(std::strtod(WithPlainNumbers("5E-324").c_str(), nullptr), 5E-324);
}

TEST(WithPlainNumbersTest, TextsStay) {
  const std::string texts = R"(["5E-1","a\"5E-1","\\",{"1E0":"x\\\"-1E0"}])";

  EXPECT_EQ(WithPlainNumbers(texts), texts);
  EXPECT_EQ(WithPlainNumbers(R"(["\\",5E-1])"), R"(["\\",0.5])");
}

}  // namespace
}  // namespace text
