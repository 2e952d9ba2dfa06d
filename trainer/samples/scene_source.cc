#include "trainer/samples/scene_source.h"

#include <memory>

#include "text/str_cat.h"
#include "trainer/scenes/shape.h"

namespace trainer {

const std::vector<std::string>& SceneSource::classes() const { return ShapeNames(); }

std::string SceneSource::name(std::size_t index) const { return text::StrCat("scene ", index); }

absl::StatusOr<TrainingImage> SceneSource::Load(std::size_t index) const {
  const Scene scene = draw_(index);
  TrainingImage loaded{.image = scene.image, .objects = {}};
  for (const SceneObject& object : scene.objects) {
    TrainingObject& one = loaded.objects.emplace_back();
    one.box = object.box;
    one.class_index = static_cast<int>(object.shape);
    one.mask = std::make_shared<const vision::Mask>(vision::MaskFromPixels(object.mask));
  }
  return loaded;
}

}  // namespace trainer
