#include "trainer/scenes/scene.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <opencv2/imgproc.hpp>

#include "hash/fnv.h"
#include "trainer/scenes/background.h"
#include "trainer/scenes/random.h"

namespace trainer {
namespace {

// A shape keeps at least this share of its area inside the image and uncovered by others.
constexpr double kMinVisible = 0.6;
// A shape's colour is at least this far (Euclidean, BGR) from nearly all of what it is painted on.
constexpr double kMinContrast = 75;

// A shape put somewhere, rasterised with soft edges.
struct Placement {
  Shape shape;
  double radius_px;
  cv::Rect frame;    // the part of the image that holds it
  cv::Mat alpha;     // CV_8UC1, of the frame's size: coverage, 0 … 255
  double full_area;  // pixels, before the image's edges cut it
};

Placement Place(Random& random, const SceneOptions& options) {
  const double side = std::max(options.size.width, options.size.height);
  Placement placement;
  const std::size_t choices = options.shapes.empty() ? kShapeCount : options.shapes.size();
  const int choice = random.Integer(0, static_cast<int>(choices) - 1);
  placement.shape = options.shapes.empty() ? static_cast<Shape>(choice) : options.shapes[choice];
  placement.radius_px = side * random.Uniform(options.min_radius, options.max_radius);
  const cv::Point2d centre(random.Uniform(0, options.size.width),
                           random.Uniform(0, options.size.height));
  const double angle = random.Uniform(0, 2 * std::numbers::pi);
  const double stretch = random.Uniform(0.85, 1.15);

  constexpr int kSubpixels = 4;  // each way, for soft edges
  const int reach = static_cast<int>(placement.radius_px * 1.16) + 2;
  const cv::Rect square(static_cast<int>(centre.x) - reach, static_cast<int>(centre.y) - reach,
                        2 * reach, 2 * reach);
  std::vector<std::vector<cv::Point>> polygons;
  for (const auto& outline : OutlinesOf(placement.shape)) {
    auto& polygon = polygons.emplace_back();
    for (const cv::Point2d& point : outline) {
      const double u = point.x * stretch * placement.radius_px;
      const double v = point.y / stretch * placement.radius_px;
      const double x = centre.x + u * std::cos(angle) - v * std::sin(angle) - square.x;
      const double y = centre.y + u * std::sin(angle) + v * std::cos(angle) - square.y;
      polygon.emplace_back(static_cast<int>(std::lround(x * kSubpixels)),
                           static_cast<int>(std::lround(y * kSubpixels)));
    }
  }
  cv::Mat fine = cv::Mat::zeros(square.size() * kSubpixels, CV_8UC1);
  cv::fillPoly(fine, polygons, cv::Scalar(255));
  cv::Mat alpha;
  cv::resize(fine, alpha, square.size(), 0, 0, cv::INTER_AREA);
  placement.full_area = cv::countNonZero(alpha > 127);
  placement.frame = square & cv::Rect({0, 0}, options.size);
  placement.alpha = alpha(placement.frame - square.tl()).clone();
  return placement;
}

bool IsVisibleEnough(const Placement& placement, const std::vector<Placement>& earlier,
                     const std::vector<SceneObject>& objects) {
  const cv::Mat solid = placement.alpha > 127;
  if (cv::countNonZero(solid) < kMinVisible * placement.full_area) return false;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    cv::Mat covered;
    cv::bitwise_and(objects[i].mask(placement.frame), solid, covered);
    const int left = cv::countNonZero(objects[i].mask) - cv::countNonZero(covered);
    if (left < kMinVisible * earlier[i].full_area) return false;
  }
  return true;
}

// The share of (every fourth) pixels under the shape and around it that `colour` could be mistaken
// for.
double Clash(const cv::Mat& canvas, cv::Vec3f colour) {
  int close = 0;
  int seen = 0;
  for (int y = 0; y < canvas.rows; y += 4) {
    for (int x = 0; x < canvas.cols; x += 4, ++seen) {
      close += cv::norm(cv::Vec3f(canvas.at<cv::Vec3b>(y, x)) - colour) < kMinContrast;
    }
  }
  return static_cast<double>(close) / std::max(seen, 1);
}

cv::Vec3f ContrastingColour(Random& random, const cv::Mat& canvas) {
  cv::Vec3f best;
  double best_clash = 2;
  for (int attempt = 0; attempt < 16 && best_clash > 0.02; ++attempt) {
    cv::Vec3f colour;
    for (int c = 0; c < 3; ++c) colour[c] = static_cast<float>(random.Uniform(0, 255));
    if (const double clash = Clash(canvas, colour); clash < best_clash) {
      best = colour;
      best_clash = clash;
    }
  }
  return best;
}

// Plain, shaded or faintly striped.
void Paint(Random& random, const Placement& placement, cv::Mat canvas) {
  const cv::Vec3f colour = ContrastingColour(random, canvas);
  const int style = random.Integer(0, 3);
  const float depth = style < 2 ? 0.0f : static_cast<float>(random.Uniform(10, 40));
  const double wavelength = placement.radius_px * (style == 2 ? 4 : random.Uniform(0.4, 0.9));
  const cv::Mat shade =
      Wave(canvas.size(), wavelength, random.Uniform(0, 2 * std::numbers::pi), random.Uniform(0, 1),
           /*hard=*/style == 3);
  for (int y = 0; y < canvas.rows; ++y) {
    const uchar* alpha = placement.alpha.ptr<uchar>(y);
    const float* t = shade.ptr<float>(y);
    cv::Vec3b* row = canvas.ptr<cv::Vec3b>(y);
    for (int x = 0; x < canvas.cols; ++x) {
      const float a = static_cast<float>(alpha[x]) / 255.0f;
      for (int c = 0; c < 3; ++c) {
        const float ink = std::clamp(colour[c] + depth * (t[x] - 0.5f), 0.0f, 255.0f);
        row[x][c] = cv::saturate_cast<uchar>(static_cast<float>(row[x][c]) * (1 - a) + ink * a);
      }
    }
  }
}

// Triangular noise of up to ± `amplitude` grey levels.
void AddNoise(Random& random, int amplitude, cv::Mat image) {
  for (int y = 0; y < image.rows; ++y) {
    uchar* row = image.ptr<uchar>(y);
    const int values = image.cols * 3;
    for (int x = 0; x < values;) {
      std::uint64_t bits = random.Next();
      for (int k = 0; k < 4 && x < values; ++k, ++x, bits >>= 16) {
        const int noise =
            static_cast<int>(bits & 255) - static_cast<int>((bits >> 8) & 255);  // -255 … 255
        row[x] = cv::saturate_cast<uchar>(row[x] + noise * amplitude / 255);
      }
    }
  }
}

vision::Box BoxOf(const cv::Mat& mask) {
  const cv::Rect rect = cv::boundingRect(mask);
  return {static_cast<float>(rect.x), static_cast<float>(rect.y),
          static_cast<float>(rect.x + rect.width), static_cast<float>(rect.y + rect.height)};
}

}  // namespace

Scene DrawScene(std::uint64_t seed, const SceneOptions& options) {
  Random random(seed);
  Scene scene;
  scene.image = DrawBackground(random, options.size);
  const int wanted = random.Integer(options.min_objects, options.max_objects);
  std::vector<Placement> placements;
  // Most places suit a sparse scene; a crowded one may end up with fewer shapes than wanted.
  for (int attempt = 0;
       static_cast<int>(placements.size()) < wanted && (attempt < 6 * wanted || placements.empty());
       ++attempt) {
    Placement placement = Place(random, options);
    if (!IsVisibleEnough(placement, placements, scene.objects)) continue;
    Paint(random, placement, scene.image(placement.frame));
    const cv::Mat solid = placement.alpha > 127;
    for (SceneObject& covered : scene.objects) covered.mask(placement.frame).setTo(0, solid);
    SceneObject object;
    object.shape = placement.shape;
    object.mask = cv::Mat::zeros(options.size, CV_8UC1);
    solid.copyTo(object.mask(placement.frame));
    scene.objects.push_back(std::move(object));
    placements.push_back(std::move(placement));
  }
  for (SceneObject& object : scene.objects) object.box = BoxOf(object.mask);
  if (random.Chance(0.5)) {
    cv::GaussianBlur(scene.image, scene.image, cv::Size(0, 0), random.Uniform(0.4, 1.4));
  }
  if (random.Chance(0.7)) AddNoise(random, random.Integer(4, 40), scene.image);
  return scene;
}

std::uint64_t SceneSeed(std::uint64_t seed, const char* sequence, std::uint64_t n) {
  return Random(Random(hash::Fnv1a(sequence) ^ seed).Next() ^ n).Next();
}

}  // namespace trainer
