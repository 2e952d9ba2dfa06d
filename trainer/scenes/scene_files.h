// Scenes as files, for documentation, for tests of other layers and to look at.
#ifndef DUET_TRAINER_SCENES_SCENE_FILES_H_
#define DUET_TRAINER_SCENES_SCENE_FILES_H_

#include <absl/status/status.h>

#include <string>
#include <vector>

#include "trainer/scenes/scene.h"

namespace trainer {

// Writes into `directory`, which is made if it is missing:
//   <name>.jpg         the image, JPEG quality 95
//   <name>.masks.png   8-bit grey, 0 where there is no object, else 1 + the object's index
//   <name>.json        {"image", "masks", "width", "height",
//                       "objects": [{"label", "box", "area"}]};
//                      box: [x_min, y_min, x_max, y_max], half-open; all in pixels
absl::Status WriteScene(const Scene& scene, const std::string& directory, const std::string& name);

// The annotations of scenes as COCO's JSON, which trainings and pycocotools read: boxes and masks.
// names[i]: what scenes[i] was written as. The categories are the demo's classes and, after them,
// the other shapes that were drawn.
absl::Status WriteSceneAnnotations(const std::vector<Scene>& scenes,
                                   const std::vector<std::string>& names, const std::string& path);

// Both, of all scenes: they are called scene_0, scene_1 and so on, their annotations coco.json.
absl::Status WriteAnnotatedScenes(const std::vector<Scene>& scenes, const std::string& directory);

}  // namespace trainer

#endif  // DUET_TRAINER_SCENES_SCENE_FILES_H_
