// What a network gives, before postprocessing: rows of numbers for each cell, by their meaning.
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_RAW_OUTPUT_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_RAW_OUTPUT_H_

#include <array>
#include <cstddef>
#include <vector>

#include "detector_service/blueprint/head_layout.h"
#include "vision/geometry.h"

namespace detector {

// Rows of floats in memory that the network owns, `step` floats from one to the next.
struct RawRows {
  const float* data = nullptr;
  std::size_t step = 0;

  const float* operator[](std::size_t row) const { return data + row * step; }
};

// One level's output: cells in row-major order, each with coding.per_cell() rows.
struct RawLevel {
  vision::Size grid;
  RawRows logits;      // num_classes each
  RawRows boxes;       // coding.numbers() each
  RawRows objectness;  // one each, a logit; no data: the head has none
  // One each, radians, clockwise on screen: how far the box is turned about its cell's point. No
  // data: boxes are upright.
  RawRows angles;
  RawRows kernels;  // kMaskKernelSize each; no data: no masks
};

// At kStrides.
struct RawOutput {
  int num_classes = 0;
  BoxCoding coding;
  std::array<RawLevel, kLevels> levels;
  RawRows mask_features;  // kMaskFeatures per cell of levels[0]; no data: no masks
};

// An output map of a network: [height, width, channels], channels innermost.
struct OutputMap {
  const float* data;
  int channels;
  int height;
  int width;
};

// What `maps` mean by `head`. Points into the maps.
RawOutput Interpret(const HeadLayout& head, const std::vector<OutputMap>& maps);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_RAW_OUTPUT_H_
