// Scenes as files, for documentation, for tests of other layers and to look at.
#ifndef DUET_TRAINER_SCENES_SCENE_FILES_H_
#define DUET_TRAINER_SCENES_SCENE_FILES_H_

#include <absl/status/status.h>

#include <string>

#include "trainer/scenes/scene.h"

namespace trainer {

// Writes into `directory`, which is made if it is missing:
//   <name>.jpg         the image, JPEG quality 95
//   <name>.masks.png   8-bit grey, 0 where there is no object, else 1 + the object's index
//   <name>.json        {"image", "masks", "width", "height",
//                       "objects": [{"label", "box", "area"}]};
//                      box: [x_min, y_min, x_max, y_max], half-open; all in pixels
absl::Status WriteScene(const Scene& scene, const std::string& directory, const std::string& name);

}  // namespace trainer

#endif  // DUET_TRAINER_SCENES_SCENE_FILES_H_
