#include "trainer/augment/recipe.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "tests/unit/trainer/augment/fixture.h"

namespace trainer {
namespace {

namespace json = boost::json;

double Number(const json::object& transform, const char* name) {
  return transform.at(name).to_number<double>();
}

double Number(const json::object& transform, const char* name, std::size_t i) {
  return transform.at(name).as_array().at(i).to_number<double>();
}

int Whole(const json::object& transform, const char* name) {
  return static_cast<int>(Number(transform, name));
}

void ReadMosaic(const json::object& transform, Pipeline* pipeline) {
  pipeline->mosaic = true;
  pipeline->mosaic_cache = Whole(transform, "max_cached_images");
  pipeline->side = static_cast<int>(Number(transform, "img_scale", 0));
  pipeline->pad_value = Whole(transform, "pad_val");
  EXPECT_EQ(Number(transform, "img_scale", 1), pipeline->side);
  EXPECT_EQ(Number(transform, "prob"), 1);
  EXPECT_TRUE(transform.at("bbox_clip_border").as_bool());
  EXPECT_EQ(Number(transform, "center_ratio_range", 0), 0.5);
  EXPECT_EQ(Number(transform, "center_ratio_range", 1), 1.5);
}

void ReadResize(const json::object& transform, Pipeline* pipeline) {
  pipeline->resize_scale = static_cast<int>(Number(transform, "scale", 0));
  pipeline->min_resize_ratio = Number(transform, "ratio_range", 0);
  pipeline->max_resize_ratio = Number(transform, "ratio_range", 1);
  EXPECT_TRUE(transform.at("keep_ratio").as_bool());
  EXPECT_EQ(Number(transform, "scale", 1), pipeline->resize_scale);
}

void ReadCrop(const json::object& transform, Pipeline* pipeline) {
  pipeline->side = static_cast<int>(Number(transform, "crop_size", 0));
  pipeline->allow_negative_crop = transform.at("allow_negative_crop").as_bool();
  pipeline->recompute_boxes = transform.at("recompute_bbox").as_bool();
  EXPECT_EQ(Number(transform, "crop_size", 1), pipeline->side);
  EXPECT_EQ(transform.at("crop_type").as_string(), "absolute");
  EXPECT_TRUE(transform.at("bbox_clip_border").as_bool());
}

void ReadMixUp(const json::object& transform, Pipeline* pipeline) {
  pipeline->mixup_probability = Number(transform, "prob");
  pipeline->mixup_cache = Whole(transform, "max_cached_images");
  pipeline->min_mixup_ratio = Number(transform, "ratio_range", 0);
  pipeline->max_mixup_ratio = Number(transform, "ratio_range", 1);
  pipeline->mixup_flip_ratio = Number(transform, "flip_ratio");
  EXPECT_EQ(Number(transform, "img_scale", 0), pipeline->side);
  EXPECT_EQ(Number(transform, "pad_val", 0), pipeline->pad_value);
  EXPECT_EQ(Number(transform, "max_iters"), 15);
  EXPECT_TRUE(transform.at("bbox_clip_border").as_bool());
}

void ReadFilter(const json::object& transform, Pipeline* pipeline) {
  pipeline->filter_small_boxes = true;
  EXPECT_EQ(Number(transform, "min_gt_bbox_wh", 0), 1);
  EXPECT_EQ(Number(transform, "min_gt_bbox_wh", 1), 1);
  EXPECT_TRUE(transform.at("by_box").as_bool());
  EXPECT_FALSE(transform.at("by_mask").as_bool());
  EXPECT_TRUE(transform.at("keep_empty").as_bool());
}

// A pipeline of upstream's as one of ours.
Pipeline Read(const json::array& transforms) {
  Pipeline pipeline;
  for (const json::value& value : transforms) {
    const json::object& transform = value.as_object();
    const std::string type(transform.at("type").as_string());
    if (type == "LoadAnnotations") {
      pipeline.masks = transform.at("with_mask").as_bool();
    } else if (type == "CachedMosaic") {
      ReadMosaic(transform, &pipeline);
    } else if (type == "RandomResize") {
      ReadResize(transform, &pipeline);
    } else if (type == "RandomCrop") {
      ReadCrop(transform, &pipeline);
    } else if (type == "YOLOXHSVRandomAug") {
      pipeline.hue_delta = Whole(transform, "hue_delta");
      pipeline.saturation_delta = Whole(transform, "saturation_delta");
      pipeline.value_delta = Whole(transform, "value_delta");
    } else if (type == "RandomFlip") {
      pipeline.flip_probability = Number(transform, "prob");
      EXPECT_EQ(transform.at("direction").as_string(), "horizontal");
    } else if (type == "Pad") {
      pipeline.pad_value = static_cast<int>(Number(transform.at("pad_val").as_object(), "img", 1));
      EXPECT_EQ(Number(transform, "size", 0), pipeline.side);
      EXPECT_EQ(Number(transform, "size", 1), pipeline.side);
    } else if (type == "CachedMixUp") {
      ReadMixUp(transform, &pipeline);
    } else if (type == "FilterAnnotations") {
      ReadFilter(transform, &pipeline);
    } else {
      ADD_FAILURE() << "an unknown transform: " << type;
    }
  }
  return pipeline;
}

void ExpectSame(const Pipeline& ours, const Pipeline& theirs) {
  EXPECT_EQ(ours.side, theirs.side);
  EXPECT_EQ(ours.mosaic, theirs.mosaic);
  if (ours.mosaic) {
    EXPECT_EQ(ours.mosaic_cache, theirs.mosaic_cache);
  }
  EXPECT_EQ(ours.resize_scale, theirs.resize_scale);
  EXPECT_EQ(ours.min_resize_ratio, theirs.min_resize_ratio);
  EXPECT_EQ(ours.max_resize_ratio, theirs.max_resize_ratio);
  EXPECT_EQ(ours.allow_negative_crop, theirs.allow_negative_crop);
  EXPECT_EQ(ours.recompute_boxes, theirs.recompute_boxes);
  EXPECT_EQ(ours.hue_delta, theirs.hue_delta);
  EXPECT_EQ(ours.saturation_delta, theirs.saturation_delta);
  EXPECT_EQ(ours.value_delta, theirs.value_delta);
  EXPECT_EQ(ours.flip_probability, theirs.flip_probability);
  EXPECT_EQ(ours.pad_value, theirs.pad_value);
  EXPECT_EQ(ours.mixup_probability, theirs.mixup_probability);
  if (ours.mixup_probability > 0) {
    EXPECT_EQ(ours.mixup_cache, theirs.mixup_cache);
    EXPECT_EQ(ours.min_mixup_ratio, theirs.min_mixup_ratio);
    EXPECT_EQ(ours.max_mixup_ratio, theirs.max_mixup_ratio);
    EXPECT_EQ(ours.mixup_flip_ratio, theirs.mixup_flip_ratio);
  }
  EXPECT_EQ(ours.filter_small_boxes, theirs.filter_small_boxes);
  EXPECT_EQ(ours.masks, theirs.masks);
}

TEST(RecipeTest, EverySizeIsItsConfigFile) {
  const json::value fixture = ReadFixture("recipes");
  ASSERT_EQ(fixture.as_array().size(), 11U);
  for (const json::value& config : fixture.as_array()) {
    const std::string name(config.at("config").as_string());
    SCOPED_TRACE(name);
    const bool masks = name.starts_with("rtmdet-ins_");
    const bool nano = name.starts_with("rtmdet_nano");
    const ModelScale scale = nano                               ? ModelScale::kNano
                             : name.find("_tiny") < name.size() ? ModelScale::kTiny
                             : name.find("_s_") < name.size()   ? ModelScale::kSmall
                                                                : ModelScale::kMediumAndUp;

    const Recipe recipe = RtmdetRecipe(scale, masks, nano ? 320 : 640);

    ExpectSame(recipe.first, Read(config.at("first").as_array()));
    ExpectSame(recipe.plain, Read(config.at("plain").as_array()));
  }
}

TEST(RecipeTest, PixelsGrowWithTheSide) {
  const Recipe recipe = RtmdetRecipe(ModelScale::kTiny, false, 320);

  EXPECT_EQ(recipe.first.side, 320);
  EXPECT_EQ(recipe.first.resize_scale, 640);
  EXPECT_EQ(recipe.plain.resize_scale, 320);
}

}  // namespace
}  // namespace trainer
