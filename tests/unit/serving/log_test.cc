#include "serving/log.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <iostream>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "serving/request_context.h"
#include "tests/testing/log_capture.h"

namespace serving {
namespace {

using duet_testing::LogCapture;
using testing::MatchesRegex;
using testing::SizeIs;

TEST(LogTest, ALineIsOneJsonObjectWithTypedFields) {
  LogCapture log;
  LogLine("predict.done")
      .Int("prompts", 3)
      .Num("model_ms", 58.25)
      .Bool("cached", true)
      .Str("code", "OK");
  ASSERT_THAT(log.lines(), SizeIs(1));
  EXPECT_THAT(log.lines()[0],
              MatchesRegex(
                  "\\{\"ts\":\"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z\","
                  "\"level\":\"info\",\"event\":\"predict.done\",\"prompts\":3,"
                  "\"model_ms\":58.25,\"cached\":true,\"code\":\"OK\"\\}"));
}

TEST(LogTest, AnyBytesComeOutAsJsonThatReadsBack) {
  LogCapture log;
  std::string every_byte;
  for (int c = 0; c < 256; ++c) every_byte += static_cast<char>(c);
  LogLine("e")
      .Str("quotes \"", "a\"b\\c\nd\te\x01 ü 漢 🙂")
      .Str("bytes", every_byte)
      .Str("cut", "\xE6\xBC");

  const boost::json::object line = boost::json::parse(log.lines().at(0)).as_object();

  EXPECT_EQ(line.at("quotes \"").as_string(), "a\"b\\c\nd\te\x01 ü 漢 🙂");
  EXPECT_EQ(line.at("cut").as_string(), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(line.at("bytes").as_string().subview(0, 128), every_byte.substr(0, 128));
}

TEST(LogTest, BytesThatOnlyLookLikeUtf8AreReplaced) {
  LogCapture log;
  // Overlong '/', a surrogate, past U+10FFFF, a lone continuation.
  for (const char* text :
       {"\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\x80"}) {
    LogLine("e").Str("text", text);
  }
  for (const std::string& line : log.lines()) {
    boost::system::error_code error;
    const boost::json::value value = boost::json::parse(line, error);
    ASSERT_FALSE(error) << line;
    EXPECT_EQ(value.at("text").as_string().subview(0, 3), "\xEF\xBF\xBD");
  }
}

TEST(LogTest, NumbersThatJsonLacksAreNull) {
  LogCapture log;
  LogLine("e").Num("nan", std::numeric_limits<double>::quiet_NaN()).Num("inf", 1.0 / 0.0);
  EXPECT_THAT(log.lines()[0], testing::HasSubstr("\"nan\":null,\"inf\":null"));
}

TEST(LogTest, LinesBelowTheLevelAreNotWritten) {
  LogCapture log;
  SetLogLevel("warning");
  LogLine("quiet");
  LogLine("loud", LogLevel::kError);
  SetLogLevel("info");
  ASSERT_THAT(log.lines(), SizeIs(1));
  EXPECT_THAT(log.lines()[0], testing::HasSubstr("loud"));
}

TEST(LogTest, ARequestBringsItsIdItsTraceAndItsNotes) {
  LogCapture log;
  RequestContext request("6f1c9a", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  request.NoteStr("embedding", "hit");
  request.NoteInt("queue_ms", 2);
  LogLine("e").Request(request).Status(absl::NotFoundError("no such image"));
  EXPECT_THAT(log.lines()[0],
              testing::HasSubstr("\"event\":\"e\",\"request_id\":\"6f1c9a\","
                                 "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\","
                                 "\"embedding\":\"hit\",\"queue_ms\":2,"
                                 "\"code\":\"NOT_FOUND\",\"error\":\"no such image\"}"));
}

TEST(LogTest, LinesOfManyThreadsDontMix) {
  LogCapture log;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 200; ++i) LogLine("e").Str("text", std::string(100, 'x')).Int("i", i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_THAT(log.lines(), SizeIs(800));
  for (const std::string& line : log.lines()) {
    EXPECT_EQ(boost::json::parse(line).at("text").as_string().size(), 100u);
  }
}

TEST(LogTest, WhatLibrariesPrintBecomesLines) {
  std::streambuf* const before = std::cerr.rdbuf();
  LogCapture log;
  RouteCerrToLog();
  std::cerr << "imdecode_(''): can't read " << 42 << "\n\nhalf a line";
  std::cerr << std::endl;
  std::cerr.rdbuf(before);
  ASSERT_THAT(log.lines("stderr"), SizeIs(2));
  EXPECT_THAT(log.lines()[0], testing::HasSubstr("\"text\":\"imdecode_(''): can't read 42\""));
  EXPECT_THAT(log.lines()[1], testing::HasSubstr("\"text\":\"half a line\""));
}

}  // namespace
}  // namespace serving
