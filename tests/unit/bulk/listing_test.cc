#include "bulk/listing.h"

#include <gmock/gmock.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace bulk {
namespace {

using duet_testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

struct Listed {
  absl::StatusOr<Listing> listing;
  std::vector<std::string> names;
  std::vector<std::string> ids;
};

Listed List(const ListingOptions& options) {
  Listed listed{.listing = absl::UnknownError("")};
  listed.listing = ListImages(options, [&](std::string_view name, std::string_view id) {
    listed.names.emplace_back(name);
    listed.ids.emplace_back(id);
  });
  return listed;
}

Listed ListText(const std::string& text) {
  std::istringstream stream(text);
  return List({.sources = {"-"}, .standard_input = &stream});
}

TEST(ListingTest, AFolderIsWalkedThroughInTheOrderOfNames) {
  const duet_testing::TempDir folder;
  folder.Write("b.PNG", "");
  folder.Write("a/2.jpg", "");
  folder.Write("a/10.jpeg", "");
  folder.Write("a/notes.txt", "");
  folder.Write(".hidden.jpg", "");
  folder.Write(".cache/x.jpg", "");
  folder.Write("name\nof two\xff lines.tif", "");

  const Listed listed = List({.sources = {folder.path()}});

  ASSERT_THAT(listed.listing, duet_testing::IsOk());
  EXPECT_THAT(listed.names,
              ElementsAre("a/10.jpeg", "a/2.jpg", "b.PNG", "name\nof two\xff lines.tif"));
  EXPECT_EQ(listed.listing->images, 4U);
  EXPECT_EQ(listed.listing->left_out, 1U);
  EXPECT_EQ(PathOf(*listed.listing, {.name = "b.PNG"}), folder.path() + "/b.PNG");
}

TEST(ListingTest, ALinkBackIntoItsOwnFolderEnds) {
  const duet_testing::TempDir folder;
  folder.Write("a/1.jpg", "");
  std::filesystem::create_directory_symlink(folder.path(), folder.path() + "/a/up");

  const Listed listed = List({.sources = {folder.path()}});

  EXPECT_THAT(listed.names, ElementsAre("a/1.jpg"));
}

// Of root, too: without the rights of a file system's owner, nobody's folder is open.
class AsNobody {
 public:
  AsNobody() { setfsuid(65534); }
  ~AsNobody() { setfsuid(geteuid()); }
};

TEST(ListingTest, AFolderThatMayNotBeReadIsLeftOutAndSaid) {
  namespace fs = std::filesystem;
  const duet_testing::TempDir folder;
  folder.Write("a.jpg", "");
  folder.Write("lost+found/b.jpg", "");
  folder.Write("z/c.jpg", "");
  for (const char* path : {"", "/z"}) fs::permissions(folder.path() + path, fs::perms(0755));
  fs::permissions(folder.path() + "/lost+found", fs::perms::none);

  std::optional<AsNobody> nobody(std::in_place);
  const Listed all = List({.sources = {folder.path()}});
  const Listed pattern = List({.sources = {folder.path() + "/**/*.jpg"}});
  const Listed itself = List({.sources = {folder.path() + "/lost+found"}});
  nobody.reset();
  fs::permissions(folder.path() + "/lost+found", fs::perms(0755));  // to be removed

  ASSERT_THAT(all.listing, duet_testing::IsOk());
  EXPECT_THAT(all.names, ElementsAre("a.jpg", "z/c.jpg"));
  EXPECT_EQ(all.listing->closed_folders, 1U);
  EXPECT_EQ(all.listing->first_closed, folder.path() + "/lost+found");
  ASSERT_THAT(pattern.listing, duet_testing::IsOk());
  EXPECT_EQ(pattern.names.size(), 2U);
  EXPECT_EQ(pattern.listing->closed_folders, 1U);
  EXPECT_THAT(itself.listing,
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("lost+found")));
}

TEST(ListingTest, Utf16IsRefusedAndAByteOrderMarkIsNoPartOfAName) {
  using namespace std::string_literals;
  const duet_testing::TempDir folder;
  for (const std::string& text : {"\xff\xfe" + "a\0.\0j\0p\0g\0\n\0"s, "\xfe\xff" + "\0a\0\n"s}) {
    EXPECT_THAT(ListText(text).listing,
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("the list on the standard input is in UTF-16; needed: UTF-8")));
    EXPECT_THAT(List({.sources = {folder.Write("a.json", text)}}).listing,
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a.json is in UTF-16")));
  }
  const std::string coco =
      folder.Write("b.json", "\xef\xbb\xbf{\"images\":[{\"id\":1,\"file_name\":\"a.jpg\"}]}");
  EXPECT_THAT(List({.sources = {coco}}).names, ElementsAre("a.jpg"));
}

TEST(ListingTest, SeveralSourcesKeepTheirPaths) {
  const duet_testing::TempDir folder;
  folder.Write("one/1.jpg", "");
  const std::string file = folder.Write("2.jpg", "");

  const Listed listed = List({.sources = {folder.path() + "/one", file, "s3://bucket/3.jpg"}});

  EXPECT_THAT(listed.names, ElementsAre(folder.path() + "/one/1.jpg", file, "s3://bucket/3.jpg"));
}

TEST(ListingTest, PatternsMatchWithinNamesAndAcrossFolders) {
  const duet_testing::TempDir folder;
  for (const char* name : {"1.jpg", "2.png", "x/3.jpg", "x/y/4.jpg", "x/y/5.txt", ".z/6.jpg"}) {
    folder.Write(name, "");
  }
  const std::string at = folder.path();

  EXPECT_THAT(List({.sources = {at + "/*.jpg"}}).names, ElementsAre(at + "/1.jpg"));
  EXPECT_THAT(List({.sources = {at + "/**/*.jpg"}}).names,
              ElementsAre(at + "/1.jpg", at + "/x/3.jpg", at + "/x/y/4.jpg"));
  EXPECT_THAT(List({.sources = {at + "/x/**/[45].*"}}).names,
              ElementsAre(at + "/x/y/4.jpg", at + "/x/y/5.txt"));
  EXPECT_THAT(List({.sources = {at + "/*.bmp"}}).listing,
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no file has a name like that")));
}

TEST(ListingTest, ALinesEndIsNoPartOfAName) {
  EXPECT_THAT(ListText("a.jpg\r\n b c .jpg\r\n\r\nd.jpg").names,
              ElementsAre("a.jpg", " b c .jpg", "d.jpg"));
  EXPECT_THAT(ListText("\xef\xbb\xbfone.jpg\n").names, ElementsAre("one.jpg"));
}

TEST(ListingTest, ZeroBytesEndNamesThatMayHoldLineEnds) {
  EXPECT_THAT(ListText(std::string("a\nb.jpg\0c\r.jpg\0", 15)).names,
              ElementsAre("a\nb.jpg", "c\r.jpg"));
}

TEST(ListingTest, NamesThatCrossTheReadersBlocksAreWhole) {
  std::string text;
  std::vector<std::string> names;
  for (int i = 0; i < 9000; ++i) {
    names.push_back(std::string(static_cast<std::size_t>(i % 37), 'x') + std::to_string(i));
    text += names.back() + "\n";
  }
  EXPECT_EQ(ListText(text).names, names);
}

TEST(ListingTest, CocoKeepsIdsAndCategories) {
  const duet_testing::TempDir folder;
  const std::string path = folder.Write("val.json", R"({
    "categories": [{"id": 7, "name": "cat"}, {"id": 18, "name": "dog"}],
    "images": [{"id": 42, "file_name": "x/a b.jpg"}, {"id": 5, "file_name": "c.jpg"}],
    "annotations": [{"id": 1, "image_id": 42, "category_id": 7, "bbox": [0, 0, 1, 1]}]})");

  const Listed listed = List({.sources = {path}});

  ASSERT_THAT(listed.listing, duet_testing::IsOk());
  EXPECT_THAT(listed.names, ElementsAre("x/a b.jpg", "c.jpg"));
  EXPECT_THAT(listed.ids, ElementsAre("42", "5"));
  EXPECT_TRUE(listed.listing->has_ids);
  EXPECT_THAT(listed.listing->categories, ElementsAre(Pair(7, "cat"), Pair(18, "dog")));
  EXPECT_EQ(listed.listing->root, folder.path());
}

TEST(ListingTest, SourcesThatCantBeUsedAreNamed) {
  const duet_testing::TempDir folder;
  folder.Write("empty/readme.md", "");
  const std::string coco = folder.Write("no.json", R"({"annotations": []})");
  EXPECT_THAT(List({.sources = {folder.path() + "/none"}}).listing,
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/none: there is no such file")));
  EXPECT_THAT(List({.sources = {folder.path() + "/empty"}}).listing,
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("1 files have names that end in")));
  EXPECT_THAT(ListText("").listing, StatusIs(absl::StatusCode::kNotFound, HasSubstr("no image")));
  EXPECT_THAT(List({.sources = {coco}}).listing,
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no `images`")));
  EXPECT_THAT(List({.sources = {coco, coco}}).listing,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("can't be mixed")));
}

}  // namespace
}  // namespace bulk
