// duet predict: what is in a few pictures, as a list, drawn, or as JSON.
#include <absl/strings/match.h>
#include <absl/strings/str_format.h>
#include <unistd.h>

#include <boost/asio/thread_pool.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/tls_options.h"
#include "bulk/image_loader.h"
#include "bulk/item.h"
#include "cli/await_here.h"
#include "cli/bulk_options.h"
#include "cli/commands.h"
#include "cli/json_line.h"
#include "cli/picture_drawing.h"
#include "cli/picture_services.h"
#include "files/atomic_file.h"
#include "image_fetch/source_options.h"
#include "prelabel/settings.h"
#include "serving/flags.h"
#include "text/json_numbers.h"
#include "text/str_cat.h"
#include "text/utf8.h"
#include "vision/image_codec.h"
#include "vision/mask.h"
#include "vision/mask_rle.h"

namespace cli {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using text::StrCat;

constexpr int kPoolThreads = 1;  // reads files

struct Options {
  std::vector<std::string> pictures;
  std::string out;
  bool json = false;
  double score_threshold = prelabel::Settings().score_threshold;
  bool masks = true;
  bulk::ServiceOptions services;
  backends::TlsOptions tls;
};

// What --out names.
enum class OutKind { kNothing, kDrawing, kFolder, kJson };

bool IsDrawing(std::string_view ending) {
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

absl::StatusOr<OutKind> KindOf(const Options& options) {
  const std::string& out = options.out;
  if (out.empty()) return OutKind::kNothing;
  std::error_code error;
  if (out.ends_with('/') || fs::is_directory(out, error)) {
    if (fs::is_directory(out, error)) return OutKind::kFolder;
    return absl::NotFoundError(StrCat("--out=", out, ": there is no such folder"));
  }
  if (const fs::path folder = fs::path(out).parent_path();
      !folder.empty() && !fs::is_directory(folder, error)) {
    return absl::NotFoundError(
        StrCat("--out=", out, ": there is no such folder, ", folder.native()));
  }
  const std::string ending = fs::path(out).extension().native();
  if (ending == ".json") return OutKind::kJson;
  if (!IsDrawing(ending)) {
    return absl::InvalidArgumentError(
        StrCat("--out=", out, ": needed: a name that ends in .png, .jpg or .json, or a folder"));
  }
  if (options.pictures.size() == 1) return OutKind::kDrawing;
  return absl::InvalidArgumentError(StrCat("--out=", out, " for ", options.pictures.size(),
                                           " pictures; needed: a folder, or a name that ends in "
                                           ".json"));
}

// Where the drawing of a picture goes.
std::string DrawingOf(const Options& options, OutKind kind, const std::string& picture) {
  if (kind == OutKind::kDrawing) return options.out;
  const std::string path = picture.substr(0, picture.find_first_of("?#"));
  const std::string stem = fs::path(path).stem().native();
  return (fs::path(options.out) / (StrCat(stem.empty() ? "picture" : stem, ".png"))).native();
}

// That no drawing replaces a picture, or another drawing.
absl::Status CheckDrawings(const Options& options, OutKind kind) {
  if (kind != OutKind::kDrawing && kind != OutKind::kFolder) return absl::OkStatus();
  std::map<std::string, std::string> pictures;  // by the drawing
  for (const std::string& picture : options.pictures) {
    const std::string drawing = DrawingOf(options, kind, picture);
    std::error_code error;
    for (const std::string& other : options.pictures) {
      if (fs::equivalent(drawing, other, error) && !error) {
        return absl::InvalidArgumentError(StrCat(
            "--out=", options.out, ": the drawing would replace the picture ", bulk::Shown(other)));
      }
    }
    const auto [before, is_new] = pictures.emplace(drawing, picture);
    if (!is_new) {
      return absl::InvalidArgumentError(StrCat("--out=", options.out, ": the drawings of ",
                                               bulk::Shown(before->second), " and ",
                                               bulk::Shown(picture), " would both be ", drawing));
    }
  }
  return absl::OkStatus();
}

struct Picture {
  std::string name;
  backends::ImageRef image;
  prelabel::ImageObjects found;
};

class PictureReader {
 public:
  // `services` outlives this.
  static absl::StatusOr<std::unique_ptr<PictureReader>> Make(PictureServices& services) {
    std::unique_ptr<PictureReader> reader(new PictureReader(services));
    image_fetch::SourceOptions from;
    auto network = image_fetch::MakeNetwork(from);
    if (!network.ok()) return network.status();
    auto options = image_fetch::FetcherOptions(from, *network);
    options.allow_all_private = true;  // who names an address here could ask for it without us
    auto fetcher = image_fetch::ImageFetcher::Create(options);
    if (!fetcher.ok()) return fetcher.status();
    reader->fetcher_ = *std::move(fetcher);
    std::error_code error;
    bulk::Listing listing;
    listing.root = fs::current_path(error).native();
    reader->loader_ = std::make_unique<bulk::ImageLoader>(listing, *reader->fetcher_, reader->pool_,
                                                          options.max_bytes, *std::move(network));
    return reader;
  }

  // One sentence that names it, if it can't be had or is no picture.
  absl::StatusOr<backends::ImageRef> Read(const std::string& name) {
    std::error_code error;
    if (!bulk::IsAddress(name) && !fs::exists(name, error)) {
      return absl::NotFoundError(StrCat(bulk::Shown(name), ": there is no such file"));
    }
    if (fs::is_directory(name, error)) {
      return absl::InvalidArgumentError(StrCat(
          bulk::Shown(name), ": is a folder; needed: pictures (duet prelabel takes folders)"));
    }
    const bulk::Item item{.name = name};
    return AwaitHere(services_.io(), loader_->Load(item));
  }

 private:
  explicit PictureReader(PictureServices& services) : services_(services) {}

  PictureServices& services_;
  boost::asio::thread_pool pool_{kPoolThreads};
  std::unique_ptr<image_fetch::ImageFetcher> fetcher_;
  std::unique_ptr<bulk::ImageLoader> loader_;
};

json::object ToJson(const label_studio::Object& object) {
  json::object written = {{"label", text::ToUtf8(object.class_name)}, {"score", object.score}};
  const vision::Box& box = object.box;
  written["box"] = {box.x_min, box.y_min, box.x_max, box.y_max};
  if (const auto& turned = object.rotated_box) {
    written["rotated_box"] = {turned->center.x, turned->center.y, turned->width, turned->height,
                              turned->angle};
  }
  if (object.mask) {
    written["mask"] = {{"size", {object.mask->size.height, object.mask->size.width}},
                       {"counts", vision::EncodeCocoRle(*object.mask)}};
    written["area"] = vision::Area(*object.mask);
    written["mask_score"] = object.mask_score;
  }
  return written;
}

json::object ToJson(const Picture& picture) {
  json::array objects;
  for (const label_studio::Object& object : picture.found.objects)
    objects.push_back(ToJson(object));
  return {{"image", text::ToUtf8(picture.name)},
          {"width", picture.found.size.width},
          {"height", picture.found.size.height},
          {"objects", std::move(objects)}};
}

// A square in the label's colour, where somebody sees it.
std::string Square(const std::vector<std::string>& classes, const std::string& name) {
  const char* const no_color = std::getenv("NO_COLOR");
  if (isatty(STDOUT_FILENO) == 0 || (no_color != nullptr && *no_color != '\0')) return "";
  const label_studio::Rgb color = ColorOfClass(classes, name);
  return absl::StrFormat("\x1b[38;2;%d;%d;%dm\u25a0\x1b[0m ", color.red, color.green, color.blue);
}

void Print(const Picture& picture, const std::vector<std::string>& classes) {
  const auto& objects = picture.found.objects;
  std::cout << bulk::Shown(picture.name) << ": " << picture.found.size.width << " x "
            << picture.found.size.height << " pixels, " << objects.size()
            << (objects.size() == 1 ? " object\n" : " objects\n");
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const label_studio::Object& object = objects[i];
    const std::string name = bulk::Shown(object.class_name);
    std::cout << absl::StrFormat("  %3d  %s%-20s %.2f  at %.0f,%.0f to %.0f,%.0f",
                                 static_cast<int>(i + 1), Square(classes, object.class_name), name,
                                 object.score, object.box.x_min, object.box.y_min, object.box.x_max,
                                 object.box.y_max);
    if (object.mask) {
      std::cout << absl::StrFormat(", mask of %d pixels", vision::Area(*object.mask));
    }
    std::cout << "\n";
  }
}

absl::Status Draw(const Picture& picture, const std::vector<std::string>& classes,
                  const std::string& path) {
  const auto decoded = vision::DecodeImage(*picture.image.bytes, {});
  if (!decoded.ok()) {
    return absl::Status(decoded.status().code(),
                        StrCat(bulk::Shown(picture.name), ": ", decoded.status().message()));
  }
  const cv::Mat drawn = DrawObjects(decoded->pixels, picture.found.objects, classes);
  std::vector<unsigned char> bytes;
  try {
    if (!cv::imencode(fs::path(path).extension().native(), drawn, bytes)) {
      return absl::InternalError(StrCat(path, ": could not be encoded"));
    }
  } catch (const cv::Exception& e) {
    return absl::InvalidArgumentError(StrCat(path, ": could not be encoded: ", e.what()));
  }
  return files::WriteFile(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

// What is done with one picture.
absl::Status Predict(const Options& options, OutKind kind, const std::string& name,
                     PictureReader& reader, PictureServices& services, json::array* images) {
  absl::StatusOr<backends::ImageRef> image = reader.Read(name);
  if (!image.ok()) return image.status();
  // The services look at what there is of it, and don't say so.
  if (const auto decoded = vision::DecodeImage(*image->bytes, {});
      decoded.ok() && !decoded->damage.empty()) {
    std::cerr << bulk::Shown(name) << ": " << decoded->damage << "\n";
  }
  const prelabel::Settings settings{.score_threshold = options.score_threshold};
  absl::StatusOr<prelabel::ImageObjects> found = services.Find(*image, settings);
  if (!found.ok()) {
    return absl::Status(found.status().code(),
                        StrCat(bulk::Shown(name), ": ", found.status().message()));
  }
  const Picture picture{.name = name, .image = *std::move(image), .found = *std::move(found)};
  const std::vector<std::string>& classes = services.detector_model().classes;
  if (kind == OutKind::kDrawing || kind == OutKind::kFolder) {
    const std::string path = DrawingOf(options, kind, name);
    if (absl::Status status = Draw(picture, classes, path); !status.ok()) return status;
  }
  if (kind == OutKind::kJson) images->push_back(ToJson(picture));
  if (options.json) {
    PrintJsonLine(ToJson(picture));
  } else {
    Print(picture, classes);
  }
  return absl::OkStatus();
}

absl::Status WriteJson(const PictureServices& services, json::array images,
                       const std::string& path) {
  json::object written = {{"detector", services.detector_model().version}};
  if (services.segmenter_model() != nullptr) {
    written["segmenter"] = services.segmenter_model()->version;
  }
  written["images"] = std::move(images);
  return files::WriteFile(path, text::WithPlainNumbers(json::serialize(written)) + "\n");
}

absl::Status Run(Options options) {
  if (options.pictures.empty()) {
    return absl::InvalidArgumentError(
        "no picture; needed: duet predict PICTURE... [-o out.png], the pictures before the flags");
  }
  const absl::StatusOr<OutKind> kind = KindOf(options);
  if (!kind.ok()) return kind.status();
  if (absl::Status status = CheckDrawings(options, *kind); !status.ok()) return status;
  absl::Status status = backends::LoadTls(options.tls, &options.services.grpc);
  if (!status.ok()) return status;
  const auto services = PictureServices::Connect(options.services, options.masks);
  if (!services.ok()) return services.status();
  const auto reader = PictureReader::Make(**services);
  if (!reader.ok()) return reader.status();
  json::array images;
  std::size_t failed = 0;
  for (const std::string& name : options.pictures) {
    status = Predict(options, *kind, name, **reader, **services, &images);
    if (status.ok()) continue;
    if (options.pictures.size() == 1) return status;
    std::cerr << status.message() << "\n";
    ++failed;
  }
  if (*kind == OutKind::kJson) {
    status = WriteJson(**services, std::move(images), options.out);
    if (!status.ok()) return status;
  }
  if (failed == 0) return absl::OkStatus();
  const std::string sentence = StrCat(failed, " of ", options.pictures.size(), " pictures failed");
  return failed < options.pictures.size() ? absl::AbortedError(sentence)
                                          : absl::FailedPreconditionError(sentence);
}

void AddFlags(Options* options, serving::FlagTable* flags) {
  flags->Add("out", &options->out,
             "Also -o FILE. A name that ends in .png or .jpg: the picture with masks, boxes and "
             "names in the colours of the label config that Duet makes; .json: what was found, "
             "masks as COCO's run lengths; a folder: a drawing of each picture. Empty: there is "
             "only the list on stdout.");
  flags->Add("json", &options->json, "The list as JSON, one object a picture and line.");
  flags->Add("score_threshold", &options->score_threshold, "Objects with a higher score are shown.",
             serving::InRange(0.0, 1.0));
  flags->Add("masks", &options->masks,
             "Whether each object gets its mask: the detector's own if it makes any, else the "
             "segmenter's.");
  flags->Add("detector", &options->services.detector,
             "host:port of a detector that runs; several replicas are separated by commas.");
  flags->Add("segmenter", &options->services.segmenter, "Likewise, for masks.");
  flags->Add("detector_checkpoint", &options->services.detector_checkpoint,
             "Without --detector: the weights of a detector that is started for this command and "
             "ends with it.");
  flags->Add("segmenter_checkpoint", &options->services.segmenter_checkpoint,
             "Likewise, if masks are wanted.");
  flags->Add("kernel_plan", &options->services.kernel_plan,
             "The file with the choices of kernels of services that are started, as theirs, which "
             "saves the time of measuring. Empty: they measure.");
  backends::AddFlags(&options->tls, flags);
}

// The command line with -o FILE as --out=FILE, behind the pictures.
std::vector<std::string> WithoutShortFlag(int argc, const char* const* argv) {
  std::vector<std::string> arguments;
  std::vector<std::string> out;
  for (int i = 0; i < argc; ++i) {
    if (std::string_view(argv[i]) == "-o" && i + 1 < argc) {
      out.push_back(StrCat("--out=", argv[++i]));
    } else if (std::string_view(argv[i]) == "-o") {
      out.emplace_back("--out");  // which says that it needs a value
    } else {
      arguments.emplace_back(argv[i]);
    }
  }
  arguments.insert(arguments.end(), out.begin(), out.end());
  return arguments;
}

}  // namespace

absl::Status RunPredict(int argc, const char* const* argv) {
  Options options;
  serving::FlagTable flags(
      "duet predict PICTURE...",
      "Finds what is in a few pictures, files or addresses, starting the models for that if none "
      "run. Exit code 0: all done; 1: some pictures failed; 2: nothing could be done.\n\nExample: "
      "duet predict street.jpg -o out.png");
  AddFlags(&options, &flags);
  const std::vector<std::string> arguments = WithoutShortFlag(argc, argv);
  std::vector<const char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(argument.c_str());
  return ParseSourcesAndRun(flags, &options.pictures, static_cast<int>(pointers.size()),
                            pointers.data(), [&] { return Run(options); });
}

}  // namespace cli
