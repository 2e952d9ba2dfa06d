#include <absl/container/flat_hash_map.h>
#include <absl/strings/numbers.h>

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "bulk/output.h"
#include "bulk/text_file_writer.h"
#include "dataset/coco_writer.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

using duet::bulk::v1::Record;

struct Category {
  std::int64_t id = 0;
  std::string name;
};

// One a class of the model, in its order: the source's of that name, else one with a new id.
std::vector<Category> CategoriesOf(const Head& head) {
  absl::flat_hash_map<std::string, std::int64_t> by_name;
  std::set<std::int64_t> taken;
  for (const auto& [id, name] : head.listing.categories) {
    by_name.emplace(name, id);
    taken.insert(id);
  }
  // New ids follow the highest one, if any number does.
  constexpr std::int64_t kHighest = std::numeric_limits<std::int64_t>::max();
  std::int64_t next = taken.empty() || *taken.rbegin() == kHighest ? 1 : *taken.rbegin() + 1;
  const auto new_id = [&] {
    while (!taken.insert(next).second) next = next == kHighest ? 1 : next + 1;
    return next;
  };
  std::vector<Category> categories;
  for (const std::string& name : head.detector->classes) {
    const auto found = by_name.find(name);
    categories.push_back({found == by_name.end() ? new_id() : found->second, name});
  }
  return categories;
}

std::int64_t ImageId(const Listing& listing, const Item& item) {
  std::int64_t id = 0;
  if (listing.has_ids && absl::SimpleAtoi(item.id, &id)) return id;
  return static_cast<std::int64_t>(item.index) + 1;
}

}  // namespace

absl::Status WriteCocoOutput(const Results& results, const OutputOptions& options,
                             dataset::Findings* findings) {
  absl::StatusOr<TextFileWriter> file = TextFileWriter::Create(options.out);
  if (!file.ok()) return file.status();
  const Listing& listing = results.head.listing;
  const std::vector<Category> categories = CategoriesOf(results.head);
  std::string json = "{\"info\":{\"description\":\"written by Duet\"},\n\"categories\":[\n";
  for (std::size_t i = 0; i < categories.size(); ++i) {
    if (i > 0) json.append(",\n");
    dataset::AppendCocoCategory(categories[i].id, categories[i].name, &json);
  }
  json.append("],\n\"images\":[\n");
  bool first = true;
  absl::Status status = results.folder.ForEachResult(
      results.count, [&](const Item& item, const Record& record) -> absl::Status {
        if (!record.has_found()) return absl::OkStatus();
        if (!first) json.append(",\n");
        first = false;
        dataset::AppendCocoImage(
            ImageId(listing, item), item.name,
            {static_cast<int>(record.found().width()), static_cast<int>(record.found().height())},
            &json);
        file->Append(json);
        json.clear();
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  json.append("],\n\"annotations\":[\n");
  std::int64_t annotation_id = 0;
  const dataset::CocoWriteOptions masks = {.masks = options.polygons ? dataset::CocoMasks::kPolygons
                                                                     : dataset::CocoMasks::kRle};
  status = results.folder.ForEachResult(
      results.count, [&](const Item& item, const Record& record) -> absl::Status {
        if (!record.has_found() || record.found().objects().empty()) return absl::OkStatus();
        const auto objects = ToDatasetObjects(record.found());
        if (!objects.ok()) return objects.status();
        const std::string where = text::StrCat("'", Shown(item.name), "'");
        for (std::size_t i = 0; i < objects->size(); ++i) {
          const dataset::Object& object = (*objects)[i];
          if (annotation_id > 0) json.append(",\n");
          dataset::AppendCocoAnnotation(
              {.id = ++annotation_id,
               .image_id = ImageId(listing, item),
               .category_id = categories.at(static_cast<std::size_t>(object.class_index)).id,
               .score = record.found().objects(static_cast<int>(i)).score()},
              object, masks, where, &json, findings);
        }
        file->Append(json);
        json.clear();
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  json.append("]}\n");
  file->Append(json);
  return file->Commit();
}

}  // namespace bulk
