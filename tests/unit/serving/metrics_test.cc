#include "serving/metrics.h"

#include <gmock/gmock.h>

#include <stdexcept>

#include "text/utf8.h"

namespace serving {
namespace {

using testing::HasSubstr;

constexpr CounterSpec kThings{"duet_things_total", "Things.", "kind,color"};
constexpr HistogramSpec kWait{"duet_wait_seconds", "Waiting."};

TEST(MetricsTest, TextHoldsWhatWasCounted) {
  Metrics metrics;
  metrics.Get(kThings, {"cat", "black"}).Increment();
  metrics.Get(kThings, {"cat", "black"}).Increment();
  metrics.Get(kThings, {"dog", "brown"}).Increment();
  metrics.Get(kWait).Observe(0.02);

  const std::string text = metrics.Text();

  EXPECT_THAT(text,
              HasSubstr("# HELP duet_things_total Things.\n# TYPE duet_things_total counter\n"));
  EXPECT_THAT(text, HasSubstr("duet_things_total{color=\"black\",kind=\"cat\"} 2"));
  EXPECT_THAT(text, HasSubstr("duet_things_total{color=\"brown\",kind=\"dog\"} 1"));
  EXPECT_THAT(text, HasSubstr("duet_wait_seconds_bucket{le=\"0.01\"} 0"));
  EXPECT_THAT(text, HasSubstr("duet_wait_seconds_bucket{le=\"0.025\"} 1"));
}

TEST(MetricsTest, TheProcessIsMeasured) {
  const std::string text = Metrics().Text();
  for (const char* name : {"process_cpu_seconds_total", "process_resident_memory_bytes",
                           "process_virtual_memory_bytes", "process_start_time_seconds",
                           "process_threads", "process_open_fds", "process_max_fds"}) {
    EXPECT_THAT(text, testing::ContainsRegex(std::string("\n") + name + " [0-9]")) << name;
  }
}

TEST(MetricsTest, BytesInALabelThatAreNotUtf8BecomeText) {
  constexpr CounterSpec kSeen{"duet_test_seen_total", "Seen.", "class"};
  Metrics metrics;
  metrics.Get(kSeen, {"caf\xe9"}).Increment();
  EXPECT_TRUE(text::IsUtf8(metrics.Text()));
}

TEST(MetricsTest, AWrongNumberOfLabelsIsAMistakeOfOurs) {
  Metrics metrics;
  EXPECT_THROW(metrics.Get(kThings, {"cat"}), std::logic_error);
}

}  // namespace
}  // namespace serving
