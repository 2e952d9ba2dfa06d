#include "trainer/augment/recipe.h"

#include <initializer_list>

namespace trainer {
namespace {

// rtmdet_l_8xb32-300e_coco.py, which _m and _x inherit.
Recipe Base(int side) {
  Recipe recipe;
  recipe.first = {.side = side,
                  .mosaic = true,
                  .mosaic_cache = 40,
                  .resize_scale = 2 * side,
                  .min_resize_ratio = 0.1,
                  .max_resize_ratio = 2.0,
                  .mixup_probability = 1,
                  .mixup_cache = 20};
  recipe.plain = {
      .side = side, .resize_scale = side, .min_resize_ratio = 0.1, .max_resize_ratio = 2.0};
  return recipe;
}

void SetResizeRatios(double min, double max, Recipe* recipe) {
  for (Pipeline* pipeline : {&recipe->first, &recipe->plain}) {
    pipeline->min_resize_ratio = min;
    pipeline->max_resize_ratio = max;
  }
}

// rtmdet-ins_l_8xb32-300e_coco.py.
void AddMasks(Recipe* recipe) {
  for (Pipeline* pipeline : {&recipe->first, &recipe->plain}) {
    pipeline->masks = true;
    pipeline->allow_negative_crop = true;
    pipeline->recompute_boxes = true;
    pipeline->filter_small_boxes = true;
  }
}

}  // namespace

Recipe RtmdetRecipe(ModelScale scale, bool masks, int side) {
  Recipe recipe = Base(side);
  if (masks) AddMasks(&recipe);
  if (scale == ModelScale::kMediumAndUp) return recipe;
  SetResizeRatios(0.5, 2.0, &recipe);
  if (scale == ModelScale::kSmall) return recipe;
  // rtmdet_tiny_8xb32-300e_coco.py and rtmdet-ins_tiny_8xb32-300e_coco.py; their second stage is
  // that of _s.
  recipe.first.mosaic_cache = 20;
  recipe.first.mixup_cache = 10;
  recipe.first.mixup_probability = 0.5;
  recipe.first.allow_negative_crop = false;
  recipe.first.recompute_boxes = false;
  if (scale == ModelScale::kTiny) return recipe;
  // RTMPose's rtmdet_nano_320-8xb32_coco-person.py.
  SetResizeRatios(0.5, 1.5, &recipe);
  recipe.first.mixup_probability = 0;
  return recipe;
}

}  // namespace trainer
