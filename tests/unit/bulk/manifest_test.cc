#include "bulk/manifest.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace bulk {
namespace {

TEST(ManifestTest, AnyNameComesBackAndAnyPlaceCanBeGoneOnFrom) {
  const duet_testing::TempDir folder;
  const std::string path = folder.path() + "/manifest";
  const std::vector<std::string> names = {"a.jpg", "100% of\tit\n.jpg", "\xff\xfe\r", "%41", " "};
  {
    ASSERT_OK_AND_ASSIGN(ManifestWriter writer, ManifestWriter::Create(path));
    for (const std::string& name : names) writer.Add(name, name == "a.jpg" ? "" : "id\t" + name);
    ASSERT_THAT(writer.Commit(), duet_testing::IsOk());
  }

  std::vector<ManifestReader::Place> places;
  ASSERT_OK_AND_ASSIGN(ManifestReader reader, ManifestReader::Open(path, {}));
  for (const std::string& name : names) {
    places.push_back(reader.place());
    ASSERT_OK_AND_ASSIGN(const auto item, reader.Next());
    ASSERT_TRUE(item.has_value());
    EXPECT_EQ(item->name, name);
    EXPECT_EQ(item->id, name == "a.jpg" ? "" : "id\t" + name);
  }
  ASSERT_OK_AND_ASSIGN(const auto end, reader.Next());
  EXPECT_FALSE(end.has_value());

  for (std::size_t i = 0; i < places.size(); ++i) {
    ASSERT_OK_AND_ASSIGN(ManifestReader again, ManifestReader::Open(path, places[i]));
    ASSERT_OK_AND_ASSIGN(const auto item, again.Next());
    EXPECT_EQ(item->name, names[i]);
    EXPECT_EQ(item->index, i);
  }
}

TEST(ManifestTest, ALineThatIsCutOffIsADefect) {
  const duet_testing::TempDir folder;
  const std::string path = folder.Write("manifest", "a.jpg\nb.j");
  ASSERT_OK_AND_ASSIGN(ManifestReader reader, ManifestReader::Open(path, {}));
  ASSERT_THAT(reader.Next(), duet_testing::IsOk());
  EXPECT_THAT(reader.Next(), duet_testing::StatusIs(absl::StatusCode::kDataLoss,
                                                    ::testing::HasSubstr("line 2 is damaged")));
}

}  // namespace
}  // namespace bulk
