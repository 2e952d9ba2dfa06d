#include <algorithm>
#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "bulk/folder_output.h"
#include "bulk/output.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

using duet::bulk::v1::Record;
using text::StrCat;

// Sets the mask's pixels. REQUIRES: `pixels` is CV_16UC1 and as large as the mask's image.
void Paint(const vision::Mask& mask, std::uint16_t value, cv::Mat* pixels) {
  for (const vision::Span& span : mask.spans) {
    std::uint16_t* const row = pixels->ptr<std::uint16_t>(span.y);
    std::fill(row + span.x_begin, row + span.x_end, value);
  }
}

std::string Encode(const cv::Mat& pixels, bool in_bytes) {
  cv::Mat bytes;
  if (in_bytes) pixels.convertTo(bytes, CV_8UC1);
  std::vector<unsigned char> png;
  cv::imencode(".png", in_bytes ? bytes : pixels, png);
  return {png.begin(), png.end()};
}

}  // namespace

absl::Status WritePngOutput(const Results& results, const OutputOptions& options,
                            dataset::Findings* findings) {
  const absl::StatusOr<FolderOutput> output = FolderOutput::Begin(results, options);
  if (!output.ok()) return output.status();
  std::string names = "background\n";
  for (const std::string& name : results.head.detector->classes) names += name + "\n";
  absl::Status status = output->Write("classes.txt", names);
  if (!status.ok()) return status;
  const bool bytes_do = results.head.detector->classes.size() < 256;
  status = results.folder.ForEachResult(
      results.count, [&](const Item& item, const Record& record) -> absl::Status {
        if (!record.has_found()) return absl::OkStatus();
        const auto objects = ToDatasetObjects(record.found());
        if (!objects.ok()) return objects.status();
        const cv::Size size(static_cast<int>(record.found().width()),
                            static_cast<int>(record.found().height()));
        cv::Mat classes = cv::Mat::zeros(size, CV_16UC1);
        cv::Mat instances = cv::Mat::zeros(size, CV_16UC1);
        // The best one comes last, and lies on top.
        for (std::size_t i = objects->size(); i-- > 0;) {
          const dataset::Object& object = (*objects)[i];
          if (!object.mask) continue;
          Paint(*object.mask, static_cast<std::uint16_t>(object.class_index + 1), &classes);
          Paint(*object.mask, static_cast<std::uint16_t>(i + 1), &instances);
        }
        const absl::StatusOr<std::string> path =
            output->WriteOf(item, "classes", ".png", Encode(classes, bytes_do), findings);
        if (!path.ok()) return path.status();
        return output->Write("instances/" + *path, Encode(instances, /*in_bytes=*/false));
      });
  return status.ok() ? output->Commit() : status;
}

}  // namespace bulk
