#include "bulk/journal.h"

#include <gmock/gmock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace {
// What the next fdatasync does to the file before it fails; empty: none does.
std::function<void(int file)> fail_next_sync;
}  // namespace

// In place of the system's.
extern "C" int fdatasync(int file) {
  if (!fail_next_sync) return static_cast<int>(syscall(SYS_fdatasync, file));
  std::exchange(fail_next_sync, nullptr)(file);
  errno = ENOSPC;
  return -1;
}

namespace bulk {
namespace {

using duet::bulk::v1::Record;
using duet_testing::IsOk;
using duet_testing::StatusIs;
using ::testing::HasSubstr;

// A run folder with the manifest of ten images.
class JournalTest : public ::testing::Test {
 protected:
  JournalTest() {
    std::string lines;
    for (int i = 0; i < 10; ++i) lines += "image " + std::to_string(i) + ".jpg\n";
    manifest_ = folder_.Write("manifest", lines);
  }

  absl::StatusOr<Journal> Open() { return Journal::Open(folder_.path(), manifest_); }

  // Image i has i objects; every third one failed.
  static Record RecordOf(std::uint64_t index) {
    Record record;
    record.set_index(index);
    if (index % 3 == 2) {
      record.mutable_failure()->set_kind("damaged");
      return record;
    }
    for (std::uint64_t i = 0; i < index; ++i) record.mutable_found()->add_objects()->set_score(0.5);
    record.mutable_found()->set_width(640);
    return record;
  }

  // Appends the next `count` records.
  void Append(Journal& journal, int count) {
    auto items = ManifestReader::Open(manifest_, journal.place());
    ASSERT_THAT(items, IsOk());
    for (int i = 0; i < count; ++i) {
      const auto item = items->Next();
      ASSERT_TRUE(item.ok() && item->has_value());
      ASSERT_THAT(journal.Append(RecordOf((*item)->index), items->place()), IsOk());
    }
  }

  std::string JournalPath() const { return folder_.path() + "/journal"; }

  const duet_testing::TempDir folder_;
  std::string manifest_;
};

TEST_F(JournalTest, GoesOnWhereItWasWithTheSameTotals) {
  {
    ASSERT_OK_AND_ASSIGN(Journal journal, Open());
    Append(journal, 4);
    ASSERT_THAT(journal.Sync(), IsOk());
    Append(journal, 2);  // behind the checkpoint
  }
  ASSERT_OK_AND_ASSIGN(Journal journal, Open());
  EXPECT_EQ(journal.place().index, 6U);
  EXPECT_EQ(journal.totals().images, 6U);
  EXPECT_EQ(journal.totals().objects, 0U + 1 + 3 + 4);
  EXPECT_EQ(journal.totals().failures.at("damaged"), 2U);
  Append(journal, 4);

  ASSERT_OK_AND_ASSIGN(JournalReader reader, JournalReader::Open(folder_.path()));
  for (std::uint64_t i = 0; i < 10; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto record, reader.Next());
    ASSERT_TRUE(record.has_value());
    EXPECT_EQ(record->SerializeAsString(), RecordOf(i).SerializeAsString());
  }
}

// As file systems do: what could not be written is dropped, and the next call has nothing to do.
TEST_F(JournalTest, WhatASyncHasLostIsWrittenAgain) {
  {
    ASSERT_OK_AND_ASSIGN(Journal journal, Open());
    Append(journal, 2);
    ASSERT_THAT(journal.Sync(), IsOk());
    const auto synced = std::filesystem::file_size(JournalPath());
    Append(journal, 3);
    fail_next_sync = [&](int file) { ASSERT_EQ(ftruncate(file, static_cast<off_t>(synced)), 0); };

    EXPECT_THAT(journal.Sync(), StatusIs(absl::StatusCode::kResourceExhausted));
    Append(journal, 1);
    EXPECT_THAT(journal.Sync(), IsOk());
  }

  ASSERT_OK_AND_ASSIGN(Journal journal, Open());
  EXPECT_EQ(journal.place().index, 6U);
  ASSERT_OK_AND_ASSIGN(JournalReader reader, JournalReader::Open(folder_.path()));
  for (std::uint64_t i = 0; i < 6; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto record, reader.Next());
    ASSERT_TRUE(record.has_value()) << i;
    EXPECT_EQ(record->index(), i);
  }
}

TEST_F(JournalTest, WhateverIsLeftOfTheLastRecordIsWrittenAnew) {
  std::uintmax_t whole = 0;
  {
    ASSERT_OK_AND_ASSIGN(Journal journal, Open());
    Append(journal, 3);
    ASSERT_THAT(journal.Sync(), IsOk());
    Append(journal, 1);
    whole = std::filesystem::file_size(JournalPath());
    Append(journal, 1);
  }
  const std::string complete = duet_testing::ReadFile(JournalPath());
  for (std::size_t size = whole; size < complete.size(); ++size) {
    folder_.Write("journal", complete.substr(0, size));
    ASSERT_OK_AND_ASSIGN(Journal journal, Open());
    ASSERT_EQ(journal.place().index, 4U) << size;
    Append(journal, 1);
    ASSERT_EQ(duet_testing::ReadFile(JournalPath()), complete) << size;
  }
}

TEST_F(JournalTest, ARecordThatWasChangedDoesntCount) {
  std::uintmax_t whole = 0;
  {
    ASSERT_OK_AND_ASSIGN(Journal journal, Open());
    Append(journal, 1);
    whole = std::filesystem::file_size(JournalPath());
    Append(journal, 1);
  }
  std::string changed = duet_testing::ReadFile(JournalPath());
  changed.back() = static_cast<char>(changed.back() ^ 1);
  folder_.Write("journal", changed);
  ASSERT_OK_AND_ASSIGN(Journal journal, Open());
  EXPECT_EQ(journal.place().index, 1U);
  EXPECT_EQ(std::filesystem::file_size(JournalPath()), whole);
}

TEST_F(JournalTest, ADamagedLengthTakesNoMemory) {
  const std::string bytes = std::string("\xff\xff\xff\x3f", 4) + std::string(100, 'x');  // 1 GiB
  std::size_t at = 0;
  const auto read = [&](char* to, std::size_t count) {
    if (count > bytes.size() - at) return false;
    at += bytes.copy(to, count, at);
    return true;
  };
  std::string payload;
  Record record;

  EXPECT_FALSE(ReadRecord(read, &payload, &record));

  EXPECT_LT(payload.capacity(), std::size_t{4} << 20);
}

TEST_F(JournalTest, ARecordOfAnotherImageDoesntCount) {
  {
    ASSERT_OK_AND_ASSIGN(Journal journal, Open());
    Append(journal, 2);
  }
  // The second one once more, as a whole.
  const std::string two = duet_testing::ReadFile(JournalPath());
  ASSERT_OK_AND_ASSIGN(JournalReader reader, JournalReader::Open(folder_.path()));
  ASSERT_THAT(reader.Next(), IsOk());
  folder_.Write("journal", two + two.substr(reader.offset()));
  ASSERT_OK_AND_ASSIGN(Journal journal, Open());
  EXPECT_EQ(journal.place().index, 2U);
  EXPECT_EQ(duet_testing::ReadFile(JournalPath()), two);
}

TEST_F(JournalTest, ACheckpointThatKnowsMoreThanTheJournalIsRefused) {
  {
    ASSERT_OK_AND_ASSIGN(Journal journal, Open());
    Append(journal, 3);
    ASSERT_THAT(journal.Sync(), IsOk());
  }
  const std::string kept = duet_testing::ReadFile(folder_.path() + "/journal");
  folder_.Write("journal", "");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("doesn't fit the journal")));
  folder_.Write("journal", kept);
  for (const char* checkpoint : {R"({"journal_bytes": -1})", R"({"journal_bytes": 1e300})",
                                 R"({"journal_bytes": "5"})", "[]", "{"}) {
    folder_.Write("checkpoint", checkpoint);
    EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("doesn't fit the journal")))
        << checkpoint;
  }
  EXPECT_EQ(duet_testing::ReadFile(folder_.path() + "/journal"), kept);
}

}  // namespace
}  // namespace bulk
