#include "trainer/segmenter/tuning_images.h"

#include <absl/strings/str_cat.h>

#include <filesystem>
#include <utility>

#include "trainer/samples/dataset_source.h"

namespace trainer {
namespace {

// Frozen images are named by their hash.
std::string KeyOf(const dataset::Sample& sample) {
  return std::filesystem::path(sample.image).stem().string();
}

}  // namespace

void KeepObjectsWithMasks(const std::string& name, dataset::Sample* sample,
                          dataset::Findings* findings) {
  std::erase_if(sample->objects, [&](const dataset::Object& object) {
    if (object.crowd || object.ignore) return true;
    if (object.mask.has_value() && !object.mask->spans.empty()) return false;
    findings->Add("objects without a mask, left out", absl::StrCat("on '", name, "'"));
    return true;
  });
}

TuningImages::TuningImages(const dataset::Dataset& data,
                           const std::map<std::string, std::string>& names,
                           dataset::Findings* findings)
    : classes_(data.classes) {
  for (dataset::Sample sample : data.samples) {
    const std::string& name = names.at(sample.image);
    KeepObjectsWithMasks(name, &sample, findings);
    if (sample.objects.empty()) continue;
    samples_.push_back(std::move(sample));
    names_.push_back(name);
  }
}

std::size_t TuningImages::objects() const {
  std::size_t count = 0;
  for (const dataset::Sample& sample : samples_) count += sample.objects.size();
  return count;
}

absl::Status TuningImages::Encode(segmenter::SamNetwork& network, const KeptEmbeddings& kept,
                                  const std::string& directory,
                                  const std::function<absl::Status(std::size_t)>& on_image,
                                  dataset::Findings* findings) {
  const DatasetSource source({classes_, samples_}, directory, /*masks=*/false);
  std::vector<dataset::Sample> samples;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < samples_.size(); ++i) {
    if (!kept.Read(KeyOf(samples_[i])).ok()) {
      if (absl::Status status = on_image(i); !status.ok()) return status;
      const absl::StatusOr<TrainingImage> image = source.Load(i);
      if (!image.ok()) {
        findings->Add("images that can't be read any more, left out",
                      absl::StrCat("'", names_[i], "': ", image.status().message()));
        continue;
      }
      const absl::Status made = kept.Make(network, image->image, KeyOf(samples_[i]));
      if (!made.ok()) return made;
    }
    samples.push_back(std::move(samples_[i]));
    names.push_back(std::move(names_[i]));
  }
  samples_ = std::move(samples);
  names_ = std::move(names);
  return absl::OkStatus();
}

absl::StatusOr<TuningImage> TuningImages::Load(std::size_t index,
                                               const KeptEmbeddings& kept) const {
  const dataset::Sample& sample = samples_[index];
  absl::StatusOr<segmenter::ImageEmbedding> embedding = kept.Read(KeyOf(sample));
  if (!embedding.ok()) return embedding.status();
  TuningImage image{.embedding = *std::move(embedding), .masks = {}};
  for (const dataset::Object& object : sample.objects) {
    image.masks.push_back(*object.mask);
  }
  return image;
}

}  // namespace trainer
