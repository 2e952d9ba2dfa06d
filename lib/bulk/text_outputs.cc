// The formats of one text an image: YOLO's, Pascal VOC's and DOTA's.
#include <absl/strings/str_format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "bulk/folder_output.h"
#include "bulk/output.h"
#include "dataset/object_corners.h"
#include "dataset/yolo_writer.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace bulk {
namespace {

using dataset::Findings;
using dataset::Object;
using duet::bulk::v1::Found;
using duet::bulk::v1::Record;
using text::StrAppend;
using text::StrCat;

// What a format writes of one image.
using MakeText = std::string (*)(const Head& head, const Item& item, vision::Size size,
                                 const std::vector<Object>& objects, Findings* findings);

// Writes FOLDER/NAME+ending for each image with a result.
absl::Status WriteTexts(const Results& results, const FolderOutput& output, std::string_view folder,
                        std::string_view ending, MakeText make, Findings* findings) {
  return results.folder.ForEachResult(
      results.count, [&](const Item& item, const Record& record) -> absl::Status {
        if (!record.has_found()) return absl::OkStatus();
        const auto objects = ToDatasetObjects(record.found());
        if (!objects.ok()) return objects.status();
        const vision::Size size = {static_cast<int>(record.found().width()),
                                   static_cast<int>(record.found().height())};
        const std::string text = make(results.head, item, size, *objects, findings);
        return output.WriteOf(item, folder, ending, text, findings).status();
      });
}

std::string NamesText(const Head& head) {
  std::string text;
  for (const std::string& name : head.detector->classes) StrAppend(&text, name, "\n");
  return text;
}

std::string YoloText(const Head& head, const Item& item, vision::Size size,
                     const std::vector<Object>& objects, Findings* findings) {
  const auto shape =
      head.masks != MaskMaker::kNone ? dataset::YoloShape::kOutline : dataset::YoloShape::kBox;
  const std::string where = StrCat("'", Shown(item.name), "'");
  std::string text;
  for (const Object& object : objects) {
    dataset::AppendYoloLine(object, size, shape, where, &text, findings);
  }
  return text;
}

// Text between XML's tags. What XML can't hold at all becomes U+FFFD.
std::string Escaped(std::string_view bytes) {
  std::string escaped;
  for (const char c : text::ToUtf8(bytes)) {
    switch (c) {
      case '&':
        escaped.append("&amp;");
        break;
      case '<':
        escaped.append("&lt;");
        break;
      case '>':
        escaped.append("&gt;");
        break;
      case '\n':
        escaped.append("&#10;");
        break;
      case '\r':
        escaped.append("&#13;");
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 && c != '\t') {
          escaped.append("\xef\xbf\xbd");
        } else {
          escaped.push_back(c);
        }
    }
  }
  return escaped;
}

std::string VocText(const Head& head, const Item& item, vision::Size size,
                    const std::vector<Object>& objects, Findings* findings) {
  std::string text =
      StrCat("<annotation>\n  <filename>", Escaped(item.name), "</filename>\n  <size><width>",
             size.width, "</width><height>", size.height, "</height><depth>3</depth></size>\n",
             "  <segmented>0</segmented>\n");
  for (const Object& object : objects) {
    if (object.rotated_box) {
      findings->Add("turned boxes, of which the upright box around them was written",
                    StrCat("'", Shown(item.name), "'"));
    }
    // Pixels are counted from 1, and the last one belongs to the box, which has one at least.
    const vision::Box& box = object.box;
    const auto first = [](float edge, int side) {
      return std::clamp<long>(std::lround(edge) + 1, 1, side);
    };
    const auto last = [](float edge, long first, int side) {
      return std::clamp<long>(std::lround(edge), first, side);
    };
    const long left = first(box.x_min, size.width);
    const long top = first(box.y_min, size.height);
    StrAppend(&text, "  <object><name>",
              Escaped(head.detector->classes[static_cast<std::size_t>(object.class_index)]),
              "</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
              "<bndbox><xmin>",
              left, "</xmin><ymin>", top, "</ymin><xmax>", last(box.x_max, left, size.width),
              "</xmax><ymax>", last(box.y_max, top, size.height), "</ymax></bndbox></object>\n");
  }
  text.append("</annotation>\n");
  return text;
}

std::string DotaText(const Head& head, const Item&, vision::Size,
                     const std::vector<Object>& objects, Findings*) {
  std::string text;
  for (const Object& object : objects) {
    const char* separator = "";
    for (const vision::Point& corner : dataset::CornersOf(object)) {
      absl::StrAppendFormat(&text, "%s%.1f %.1f", separator, corner.x, corner.y);
      separator = " ";
    }
    // White space ends a name.
    std::string name = head.detector->classes[static_cast<std::size_t>(object.class_index)];
    std::replace_if(
        name.begin(), name.end(), [](unsigned char c) { return c <= ' '; }, '-');
    StrAppend(&text, " ", name, " 0\n");
  }
  return text;
}

}  // namespace

absl::Status WriteYoloOutput(const Results& results, const OutputOptions& options,
                             Findings* findings) {
  const absl::StatusOr<FolderOutput> output = FolderOutput::Begin(results, options);
  if (!output.ok()) return output.status();
  absl::Status status =
      output->Write("data.yaml", dataset::YoloDataYaml(results.head.detector->classes));
  if (status.ok()) status = output->Write("classes.txt", NamesText(results.head));
  if (status.ok()) status = WriteTexts(results, *output, "labels", ".txt", YoloText, findings);
  return status.ok() ? output->Commit() : status;
}

absl::Status WriteVocOutput(const Results& results, const OutputOptions& options,
                            Findings* findings) {
  const absl::StatusOr<FolderOutput> output = FolderOutput::Begin(results, options);
  if (!output.ok()) return output.status();
  absl::Status status = WriteTexts(results, *output, "Annotations", ".xml", VocText, findings);
  return status.ok() ? output->Commit() : status;
}

absl::Status WriteDotaOutput(const Results& results, const OutputOptions& options,
                             Findings* findings) {
  const absl::StatusOr<FolderOutput> output = FolderOutput::Begin(results, options);
  if (!output.ok()) return output.status();
  absl::Status status = WriteTexts(results, *output, "labelTxt", ".txt", DotaText, findings);
  return status.ok() ? output->Commit() : status;
}

}  // namespace bulk
