#include "detector_service/config/network_settings.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <span>
#include <string_view>

#include "detector_service/config/config_reader.h"

namespace detector {
namespace {

using enum KeyUse;

// Sources: mmdet/models/backbones/cspnext.py, mmyolo/models/backbones/*.py. Widths, depths and
// which layers there are show in the tensors.
constexpr KeyRule kBackbone[] = {
    {"act_cfg", kRead},
    {"norm_cfg", kRead},
    {"out_indices", kMustBe, "[(2, 3, 4), (1, 2, 3, 4)]"},
    {"spp_kernel_sizes", kMustBe, "[(5, 9, 13)]"},
    {"spp_kernal_sizes", kMustBe, "[(5, 9, 13)]"},
    {"input_channels", kMustBe, "[3]"},
    {"conv_cfg", kMustBe, "[None]"},
    {"plugins", kMustBe, "[None]"},
    {"arch", kIrrelevant},
    {"arch_ovewrite", kIrrelevant},
    {"deepen_factor", kIrrelevant},
    {"widen_factor", kIrrelevant},
    {"expand_ratio", kIrrelevant},
    {"hidden_ratio", kIrrelevant},
    {"channel_attention", kIrrelevant},
    {"use_depthwise", kIrrelevant},
    {"last_stage_out_channels", kIrrelevant},
    {"block_cfg", kIrrelevant},
    {"attention_cfg", kIrrelevant},
    {"use_large_stem", kIrrelevant},
    {"use_cspsppf", kIrrelevant},
    {"deploy", kIrrelevant},
    {"frozen_stages", kIrrelevant},  // the rest is of training
    {"norm_eval", kIrrelevant},
    {"init_cfg", kIrrelevant},
};

// Sources: mmdet/models/necks/cspnext_pafpn.py, mmyolo/models/necks/*.py.
constexpr KeyRule kNeck[] = {
    {"act_cfg", kRead},
    {"block_act_cfg", kRead},
    {"norm_cfg", kRead},
    {"upsample_cfg", kMustBe, "[dict(scale_factor=2, mode='nearest')]"},
    {"conv_cfg", kMustBe, "[None]"},
    {"in_channels", kIrrelevant},
    {"out_channels", kIrrelevant},
    {"deepen_factor", kIrrelevant},
    {"widen_factor", kIrrelevant},
    {"expand_ratio", kIrrelevant},
    {"hidden_ratio", kIrrelevant},
    {"spp_expand_ratio", kIrrelevant},
    {"num_csp_blocks", kIrrelevant},
    {"num_csplayer", kIrrelevant},
    {"num_blocks_per_layer", kIrrelevant},
    {"use_depthwise", kIrrelevant},
    {"block_cfg", kIrrelevant},
    {"use_spp", kIrrelevant},
    {"is_tiny_version", kIrrelevant},
    {"use_maxpool_in_downsample", kIrrelevant},
    {"use_in_channels_in_downsample", kIrrelevant},
    {"use_repconv_outs", kIrrelevant},
    {"upsample_feats_cat_first", kIrrelevant},  // as the class has it, or the channels don't fit
    {"deploy", kIrrelevant},
    {"drop_block_cfg", kIrrelevant},  // the rest is of training
    {"freeze_all", kIrrelevant},
    {"init_cfg", kIrrelevant},
};

// Sources: mmdet/models/dense_heads/{anchor,atss,rtmdet,rtmdet_ins}_head.py,
// mmrotate/models/dense_heads/rotated_rtmdet_head.py, mmyolo/models/dense_heads/*.py; of MMYOLO's
// head_module too.
constexpr KeyRule kHead[] = {
    {"act_cfg", kRead},
    {"norm_cfg", kRead},
    {"anchor_generator", kRead},
    {"prior_generator", kRead},
    {"bbox_coder", kRead},
    {"head_module", kRead},
    {"exp_on_reg", kRead},  // by the family
    {"featmap_strides", kMustBe, "[(8, 16, 32)]"},
    {"conv_cfg", kMustBe, "[None]"},
    {"dcn_on_last_conv", kMustBe, "[False]"},
    {"angle_version", kMustBe, "['le90']"},
    {"scale_angle", kMustBe, "[False]"},
    {"use_sigmoid_cls", kMustBe, "[True]"},
    {"with_objectness", kIrrelevant},
    {"angle_out_dim", kIrrelevant},
    {"angle_coder", kRead},
    {"num_classes", kIrrelevant},
    {"in_channels", kIrrelevant},
    {"feat_channels", kIrrelevant},
    {"stacked_convs", kIrrelevant},
    {"share_conv", kIrrelevant},
    {"pred_kernel_size", kIrrelevant},
    {"use_depthwise", kIrrelevant},
    {"conv_bias", kIrrelevant},
    {"widen_factor", kIrrelevant},
    {"num_base_priors", kIrrelevant},
    {"reg_max", kIrrelevant},
    {"num_prototypes", kIrrelevant},
    {"dyconv_channels", kIrrelevant},
    {"num_dyconvs", kIrrelevant},
    {"mask_loss_stride", kIrrelevant},
    {"loss_cls", kRead},
    {"reg_decoded_bbox", kIrrelevant},  // the rest is of training
    {"loss_bbox", kIrrelevant},
    {"loss_bbox_aux", kIrrelevant},
    {"loss_obj", kIrrelevant},
    {"loss_dfl", kIrrelevant},
    {"loss_mask", kIrrelevant},
    {"loss_angle", kIrrelevant},
    {"loss_centerness", kIrrelevant},
    {"use_hbbox_loss", kIrrelevant},
    {"prior_match_thr", kIrrelevant},
    {"near_neighbor_thr", kIrrelevant},
    {"ignore_iof_thr", kIrrelevant},
    {"obj_level_weights", kIrrelevant},
    {"simota_candidate_topk", kIrrelevant},
    {"simota_iou_weight", kIrrelevant},
    {"simota_cls_weight", kIrrelevant},
    {"aux_loss_weights", kIrrelevant},
    {"train_cfg", kIrrelevant},
    {"test_cfg", kRead},  // under the model's
    {"init_cfg", kIrrelevant},
};

constexpr KeyRule kNorm[] = {{"eps", kRead},
                             {"momentum", kRead},
                             {"requires_grad", kIrrelevant},
                             {"affine", kMustBe, "[True]"},
                             {"track_running_stats", kMustBe, "[True]"}};

constexpr KeyRule kActivation[] = {{"inplace", kIrrelevant}, {"negative_slope", kRead},
                                   {"bias", kRead},          {"divisor", kRead},
                                   {"min_value", kRead},     {"max_value", kRead}};

constexpr KeyRule kPriors[] = {{"offset", kRead}, {"strides", kRead}, {"base_sizes", kRead}};

constexpr KeyRule kBoxCoder[] = {{"clip_border", kMustBe, "[True]"},
                                 {"angle_version", kMustBe, "['le90']"}};

constexpr double kTorchMomentum = 0.1;
constexpr double kUnusableMomentum = -1;

// What the class takes where the config is silent.
struct ClassDefaults {
  const char* type;
  const char* activation;
  double mmdet_eps;
  double mmyolo_eps;
};
constexpr ClassDefaults kClasses[] = {
    {"CSPNeXt", "SiLU", 1e-3, 1e-5},
    {"CSPNeXtPAFPN", "SiLU", 1e-3, 1e-5},
    {"RTMDetHead", "ReLU", 1e-5, 1e-5},
    {"RTMDetSepBNHead", "SiLU", 1e-3, 1e-3},
    {"RTMDetInsSepBNHead", "SiLU", 1e-5, 1e-5},
    {"RotatedRTMDetSepBNHead", "SiLU", 1e-3, 1e-3},
    {"RTMDetSepBNHeadModule", "SiLU", 1e-5, 1e-5},
    {"RTMDetInsSepBNHeadModule", "SiLU", 1e-5, 1e-5},
    {"RTMDetRotatedSepBNHeadModule", "SiLU", 1e-5, 1e-5},
    {"YOLOv5CSPDarknet", "SiLU", 1e-3, 1e-3},
    {"YOLOv5PAFPN", "SiLU", 1e-3, 1e-3},
    {"YOLOv5HeadModule", "SiLU", 1e-3, 1e-3},
    {"YOLOv8CSPDarknet", "SiLU", 1e-3, 1e-3},
    {"YOLOv8PAFPN", "SiLU", 1e-3, 1e-3},
    {"YOLOv8HeadModule", "SiLU", 1e-3, 1e-3},
    {"YOLOXCSPDarknet", "SiLU", 1e-3, 1e-3},
    {"YOLOXPAFPN", "SiLU", 1e-3, 1e-3},
    {"YOLOXHeadModule", "SiLU", 1e-3, 1e-3},
    {"YOLOv7Backbone", "SiLU", 1e-3, 1e-3},
    {"YOLOv7PAFPN", "SiLU", 1e-3, 1e-3},
    {"YOLOv7HeadModule", "SiLU", 1e-3, 1e-3},
    {"YOLOv6EfficientRep", "ReLU", 1e-3, 1e-3},
    {"YOLOv6CSPBep", "SiLU", 1e-3, 1e-3},
    {"YOLOv6RepPAFPN", "ReLU", 1e-3, 1e-3},
    {"YOLOv6RepBiPAFPN", "ReLU", 1e-3, 1e-3},
    {"YOLOv6CSPRepPAFPN", "ReLU", 1e-3, 1e-3},
    {"YOLOv6CSPRepBiPAFPN", "ReLU", 1e-3, 1e-3},
    {"YOLOv6HeadModule", "SiLU", 1e-3, 1e-3},
    {"PPYOLOECSPResNet", "SiLU", 1e-5, 1e-5},
    {"PPYOLOECSPPAFPN", "SiLU", 1e-5, 1e-5},
    {"PPYOLOEHeadModule", "SiLU", 1e-5, 1e-5},
};

class NetworkReader {
 public:
  NetworkReader(ConfigReader* reader, PostprocessRule rule) : reader_(*reader), rule_(rule) {}

  NetworkSettings Read(const PythonValue& model) {
    NetworkSettings settings;
    if (const PythonValue* part = reader_.Get(model, "backbone", "model")) {
      reader_.Check(*part, "backbone", kBackbone);
      settings.backbone = ReadPart(*part, "backbone");
    }
    if (const PythonValue* part = reader_.Get(model, "neck", "model")) {
      reader_.Check(*part, "neck", kNeck);
      settings.neck = ReadPart(*part, "neck");
      const bool has_own = TypeOf(*part).starts_with("YOLOv6CSPRep");  // SiLU is its default
      settings.block_activation =
          ReadActivation(*part, "block_act_cfg", "neck",
                         has_own ? std::optional<std::string>("SiLU") : std::nullopt);
    }
    if (const PythonValue* head = reader_.Get(model, "bbox_head", "model")) {
      reader_.Check(*head, "bbox_head", kHead);
      ReadHead(*head, &settings);
    }
    return settings;
  }

 private:
  void ReadHead(const PythonValue& head, NetworkSettings* settings) {
    const PythonValue* module = reader_.Get(head, "head_module", "bbox_head");
    if (module != nullptr) {
      reader_.Check(*module, "head_module", kHead);
      settings->head = ReadPart(*module, "head_module");
    } else if (rule_ == PostprocessRule::kMmdet) {
      settings->head = ReadPart(head, "bbox_head");
    }
    for (const char* key : {"anchor_generator", "prior_generator"}) {
      if (const PythonValue* priors = reader_.Get(head, key, "bbox_head")) {
        ReadPriors(*priors, absl::StrCat("bbox_head ", key), settings);
      }
    }
    if (const PythonValue* coder = reader_.Get(head, "bbox_coder", "bbox_head")) {
      reader_.Check(*coder, "bbox_coder", kBoxCoder);
      settings->box_coder = TypeOf(*coder);
      if (settings->box_coder == "DistanceAnglePointCoder" &&
          coder->Find("angle_version") == nullptr) {
        reader_.Fail("bbox_coder without angle_version = 'le90' is not supported");
      }
    }
    if (const PythonValue* coder = reader_.Get(head, "angle_coder", "bbox_head");
        coder != nullptr && !coder->is_none() && TypeOf(*coder) != "PseudoAngleCoder") {
      reader_.Fail(absl::StrCat("bbox_head angle_coder = ", Show(*coder), " is not supported"));
    }
    ReadClassLoss(head);
  }

  // mmdet's heads take softmax where the loss isn't of sigmoids.
  void ReadClassLoss(const PythonValue& head) {
    if (rule_ != PostprocessRule::kMmdet) return;
    const PythonValue* loss = reader_.Get(head, "loss_cls", "bbox_head");
    if (loss == nullptr || loss->is_none()) return;
    bool sigmoid = false;
    reader_.Bool(loss->Find("use_sigmoid"), "bbox_head loss_cls use_sigmoid", &sigmoid);
    if (!sigmoid) reader_.Fail("bbox_head loss_cls without use_sigmoid is not supported");
  }

  PartSettings ReadPart(const PythonValue& part, const std::string& where) {
    const std::string type = TypeOf(part);
    const auto* known = std::find_if(std::begin(kClasses), std::end(kClasses),
                                     [&](const ClassDefaults& row) { return type == row.type; });
    const bool is_known = known != std::end(kClasses);
    if (!is_known && !type.empty()) {
      reader_.Warn(absl::StrCat(where, " type '", type,
                                "' is not known: its tensors are taken for those of the class that "
                                "they look like"));
    }
    PartSettings settings;
    settings.activation =
        ReadActivation(part, "act_cfg", where,
                       is_known ? std::optional<std::string>(known->activation) : std::nullopt);
    if (is_known) {
      settings.bn_eps = rule_ == PostprocessRule::kMmyolo ? known->mmyolo_eps : known->mmdet_eps;
      // The classes that say eps=0.001 say momentum=0.03 with it; the others say neither.
      settings.bn_momentum = settings.bn_eps == 1e-3 ? 0.03 : kTorchMomentum;
    }
    if (const PythonValue* norm = reader_.Get(part, "norm_cfg", where);
        norm != nullptr && !norm->is_none()) {
      ReadNorm(*norm, where + " norm_cfg", &settings);
    }
    return settings;
  }

  void ReadNorm(const PythonValue& norm, const std::string& where, PartSettings* settings) {
    constexpr std::string_view kTypes[] = {"",         "BN",          "BN2d",         "SyncBN",
                                           "MMSyncBN", "BatchNorm2d", "SyncBatchNorm"};
    if (std::find(std::begin(kTypes), std::end(kTypes), TypeOf(norm)) == std::end(kTypes)) {
      reader_.Fail(absl::StrCat(where, " type '", TypeOf(norm), "' is not supported"));
    }
    reader_.Check(norm, where, kNorm);
    double eps = 1e-5;  // PyTorch's
    reader_.Number(norm.Find("eps"), where + " eps", 0, 1, &eps);
    settings->bn_eps = eps;
    settings->bn_momentum = kTorchMomentum;
    if (const PythonValue* momentum = norm.Find("momentum")) {
      double number = kUnusableMomentum;  // as None, which makes running statistics a mean
      momentum->number(&number);
      settings->bn_momentum = number;
    }
  }

  // act_cfg=None is no activation.
  std::optional<std::string> ReadActivation(const PythonValue& part, const char* key,
                                            const std::string& where,
                                            std::optional<std::string> fallback) {
    const PythonValue* value = reader_.Get(part, key, where);
    if (value == nullptr) return fallback;
    const std::string name = absl::StrCat(where, " ", key);
    if (value->is_none()) return "none";
    reader_.Check(*value, name, kActivation);
    std::string type = TypeOf(*value);
    if (type == "Swish") type = "SiLU";
    if (type == "LeakyReLU") {
      double slope = 0.01;  // PyTorch's
      reader_.Number(value->Find("negative_slope"), name + " negative_slope", -10, 10, &slope);
      return absl::StrFormat("LeakyReLU(%g)", slope);
    }
    return type;
  }

  void ReadPriors(const PythonValue& priors, const std::string& where, NetworkSettings* settings) {
    if (priors.is_none()) return;
    const std::string type = TypeOf(priors);
    const bool points = type == "MlvlPointGenerator";
    if (!points && type != "YOLOAnchorGenerator" && !type.empty()) {
      return reader_.Fail(absl::StrCat(where, " type '", type, "' is not supported"));
    }
    reader_.Check(priors, where, kPriors);
    if (points) {
      double offset = 0.5;  // the class's
      reader_.Number(priors.Find("offset"), where + " offset", -1e3, 1e3, &offset);
      settings->point = offset;
    }
    const PythonValue* strides = reader_.Known(priors.Find("strides"), where + " strides");
    if (strides == nullptr) return;
    constexpr int kWanted[] = {8, 16, 32};
    bool fits = strides->list() != nullptr && strides->list()->size() == std::size(kWanted);
    for (std::size_t i = 0; fits && i < std::size(kWanted); ++i) {
      const PythonValue& stride = (*strides->list())[i];
      const PythonValue::List both =
          stride.list() != nullptr ? *stride.list() : PythonValue::List{stride};
      fits = std::all_of(both.begin(), both.end(), [&](const PythonValue& side) {
        double number = 0;
        return side.number(&number) && number == kWanted[i];
      });
    }
    if (!fits) {
      reader_.Fail(absl::StrCat(where, " strides = ", Show(*strides),
                                " is not supported, only (8, 16, 32)"));
    }
  }

  ConfigReader& reader_;
  const PostprocessRule rule_;
};

}  // namespace

absl::StatusOr<NetworkSettings> ReadNetworkSettings(const PythonConfig& config,
                                                    PostprocessRule rule,
                                                    std::vector<std::string>* warnings) {
  ConfigReader reader;
  NetworkSettings settings;
  if (const PythonValue* model = reader.Get(config.values, "model", "")) {
    settings = NetworkReader(&reader, rule).Read(*model);
  }
  if (!reader.status().ok()) return reader.status();
  if (warnings != nullptr) {
    warnings->insert(warnings->end(), reader.warnings().begin(), reader.warnings().end());
  }
  return settings;
}

}  // namespace detector
