// How training images are made of the images of a data set: mmdet's pipelines for RTMDet as
// numbers.
#ifndef DUET_TRAINER_AUGMENT_RECIPE_H_
#define DUET_TRAINER_AUGMENT_RECIPE_H_

namespace trainer {

// One pipeline: [mosaic,] resize, crop, colours, flip, pad [, mixup] [, filter], in this order.
// Each group of fields is a transform of mmdet 3.3, whose name stands above it.
struct Pipeline {
  // Of the square training image: `size` of Pad, `crop_size` of RandomCrop, `img_scale` of
  // CachedMosaic and CachedMixUp.
  int side = 640;

  // CachedMosaic, max_cached_images. The canvas has twice `side`. An image joins three of the
  // `mosaic_cache` - 1 before it; as long as there are less than four, there is no mosaic.
  bool mosaic = false;
  int mosaic_cache = 40;

  // RandomResize, keep_ratio: the longer side becomes `resize_scale` times a ratio of this range.
  int resize_scale = 640;
  double min_resize_ratio = 1;
  double max_resize_ratio = 1;

  // RandomCrop. `allow_negative_crop`: a crop without objects is a training image; otherwise
  // another image is taken instead. `recompute_boxes`: boxes are drawn anew around the masks.
  bool allow_negative_crop = false;
  bool recompute_boxes = false;

  // YOLOXHSVRandomAug.
  int hue_delta = 5;
  int saturation_delta = 30;
  int value_delta = 30;

  // RandomFlip.
  double flip_probability = 0.5;

  // Pad, CachedMosaic and CachedMixUp; all three channels.
  int pad_value = 114;

  // CachedMixUp, max_cached_images: with one of the `mixup_cache` - 1 results before.
  double mixup_probability = 0;
  int mixup_cache = 20;
  double min_mixup_ratio = 1;
  double max_mixup_ratio = 1;
  double mixup_flip_ratio = 0.5;

  // FilterAnnotations with min_gt_bbox_wh=(1, 1).
  bool filter_small_boxes = false;

  // Not a transform: objects keep their masks. One without a mask is ignored then, as mmdet's
  // LoadAnnotations does.
  bool masks = false;
};

struct Recipe {
  Pipeline first;
  Pipeline plain;  // of the last epochs: train_pipeline_stage2
};

// By config file: rtmdet[-ins]_tiny, _s, the common base of _m, _l and _x, and rtmdet_nano_320 of
// RTMPose, which has no mixup.
enum class ModelScale { kNano, kTiny, kSmall, kMediumAndUp };

// `side` is that of the input: 640, of nano 320, in the config files; all else that is measured in
// pixels grows with it. `masks`: RTMDet-Ins; upstream has no nano of it, which gets the boxes'
// pipeline with the filter that all of RTMDet-Ins have.
Recipe RtmdetRecipe(ModelScale scale, bool masks, int side);

}  // namespace trainer

#endif  // DUET_TRAINER_AUGMENT_RECIPE_H_
