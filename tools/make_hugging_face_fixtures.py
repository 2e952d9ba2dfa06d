#!/usr/bin/env python3
"""Makes tests/data/segmenter/hugging_face/: Segment Anything as Hugging Face's transformers saves it, and what it computes.

For each of SamModel, SamHQModel and Sam2Model a tiny network of random weights:
  NAME.safetensors           as save_pretrained writes it: transformers' names, shared tensors once
  NAME.safetensors.json      Sam2Model: the sidecar, since the network is of no official size
  NAME_expected.safetensors  the embedding, and for a point and for a box low-res masks and their scores

The input is not stored: value (c, y, x) is sin(0.7 c + 0.11 y + 0.053 x + 0.00031 x y).

usage: make_hugging_face_fixtures.py      (needs torch, transformers and safetensors)
"""
import json
import pathlib
import shutil
import tempfile

import torch
from safetensors.torch import save_file
from transformers import (Sam2Config, Sam2HieraDetConfig, Sam2MaskDecoderConfig, Sam2Model, Sam2PromptEncoderConfig,
                          Sam2VisionConfig, SamConfig, SamHQConfig, SamHQMaskDecoderConfig, SamHQModel,
                          SamHQPromptEncoderConfig, SamHQVisionConfig, SamMaskDecoderConfig, SamModel,
                          SamPromptEncoderConfig, SamVisionConfig)

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/data/segmenter/hugging_face"
POINT, BOX = (40.0, 24.0), (8.0, 12.0, 50.0, 44.0)
DIM = 32
PROMPTED = {"hidden_size": DIM}


def sam(config, vision, prompt, decoder, **more):
    """SamConfig or SamHQConfig: 64 x 64 pixels in 4 x 4 patches, one windowed and one global block."""
    encoder = vision(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_dim=48, image_size=64, window_size=3,
                     global_attn_indexes=[1], output_channels=DIM, num_pos_feats=DIM // 2)
    return config(vision_config=encoder.to_dict(),
                  prompt_encoder_config=prompt(image_size=64, image_embedding_size=4, **PROMPTED).to_dict(),
                  mask_decoder_config=decoder(mlp_dim=40, iou_head_hidden_dim=24, **PROMPTED, **more).to_dict())


def sam2():
    trunk = Sam2HieraDetConfig(hidden_size=8, num_attention_heads=1, blocks_per_stage=[1, 1, 2, 1],
                               embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 2, 4, 8],
                               window_size_per_stage=[8, 4, 14, 7], global_attention_blocks=[3],
                               window_positional_embedding_background_size=[7, 7], mlp_ratio=2.0)
    vision = Sam2VisionConfig(backbone_config=trunk.to_dict(), backbone_channel_list=[64, 32, 16, 8],
                              fpn_hidden_size=DIM)
    return Sam2Config(vision_config=vision.to_dict(), prompt_encoder_config=Sam2PromptEncoderConfig(**PROMPTED).to_dict(),
                      mask_decoder_config=Sam2MaskDecoderConfig(mlp_dim=40, iou_head_hidden_dim=24, **PROMPTED).to_dict())


def randomize(model):
    """Weights that make every tensor count: transformers' own are so small that masks are flat."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in model.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            tensor.data = 1 + 0.2 * noise
        elif tensor.dim() > 1 and "embed" not in name and "token" not in name:
            tensor.data = noise * (1.5 / tensor[0].numel()) ** 0.5
        else:
            tensor.data = 0.3 * noise
    for name, tensor in model.named_buffers():
        if name.endswith("positional_embedding"):
            tensor.data = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(8))


def pixels(side):
    c, y, x = torch.meshgrid(torch.arange(3.0), torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    return torch.sin(0.7 * c + 0.11 * y + 0.053 * x + 0.00031 * x * y)[None]


class HqMasks:
    """The masks that HQ-SAM makes, from the parts of transformers' SamHQMaskDecoder.

    Its forward (5.24) upscales the image's embedding as it was before the two-way transformer, not what that gives back,
    as HQ-SAM does and SamMaskDecoder too.
    """

    def __init__(self, decoder):
        self.decoder, self.seen = decoder, {}
        for name in ("transformer", "encoder_conv2", "compress_vit_conv2"):
            getattr(decoder, name).register_forward_hook(
                lambda module, inputs, output, name=name: self.seen.__setitem__(name, output))

    def __call__(self):
        decoder, (tokens, image) = self.decoder, self.seen["transformer"]
        side = int(image.shape[2] ** 0.5)
        image = image.transpose(2, 3).reshape(1, -1, side, side)
        image = decoder.activation(decoder.upscale_layer_norm(decoder.upscale_conv1(image)))
        image = decoder.activation(decoder.upscale_conv2(image))
        fine = decoder.mask_conv2(decoder.activation(decoder.mask_norm(decoder.mask_conv1(image))))
        fine = fine + self.seen["encoder_conv2"] + self.seen["compress_vit_conv2"]
        # Behind the token of the score stand four of masks, then HQ-SAM's.
        sam = torch.einsum("c,chw->hw", decoder.output_hypernetworks_mlps[0](tokens[0, 0, 1]), image[0])
        return sam + torch.einsum("c,chw->hw", decoder.hq_mask_mlp(tokens[0, 0, 5]), fine[0])


@torch.no_grad()
def answers(model, side, is_sam2, multimask_output):
    image, scale = pixels(side), side / 64
    maps = model.get_image_embeddings(image)
    embedding = maps[-1] if is_sam2 else maps[0] if isinstance(maps, tuple) else maps
    expected = {"embedding": embedding.reshape(-1, *embedding.shape[-2:])[:, ::4 if is_sam2 else 1, ::4 if is_sam2 else 1]}
    prompts = {"point": {"input_points": torch.tensor([[[POINT]]]) * scale, "input_labels": torch.tensor([[[1]]])},
               "box": {"input_boxes": torch.tensor([[BOX]]) * scale}}
    hq_masks = HqMasks(model.mask_decoder) if isinstance(model, SamHQModel) else None
    for name, prompt in prompts.items():
        output = model(pixel_values=image, **prompt, multimask_output=multimask_output)
        expected[f"{name}.iou"] = output.iou_scores.reshape(-1)
        masks = hq_masks() if hq_masks else output.pred_masks.reshape(-1, *output.pred_masks.shape[-2:])
        expected[f"{name}.masks"] = masks[:, ::16, ::16] if is_sam2 else masks
    return {name: tensor.float().contiguous() for name, tensor in expected.items()}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    models = {
        "sam": SamModel(sam(SamConfig, SamVisionConfig, SamPromptEncoderConfig, SamMaskDecoderConfig)),
        "sam_hq": SamHQModel(sam(SamHQConfig, SamHQVisionConfig, SamHQPromptEncoderConfig, SamHQMaskDecoderConfig,
                                 vit_dim=32)),
        "sam2": Sam2Model(sam2()),
    }
    for name, model in models.items():
        randomize(model)
        if hasattr(model, "tie_weights"):
            model.tie_weights()
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            shutil.copyfile(f"{folder}/model.safetensors", OUT / f"{name}.safetensors")
            # What was saved is what is asked: loading shares the tensors that are saved once.
            model = type(model).from_pretrained(folder).eval()
        expected = answers(model, 1024 if name == "sam2" else 64, name == "sam2", multimask_output=name != "sam_hq")
        save_file(expected, OUT / f"{name}_expected.safetensors")
    for file in OUT.iterdir():
        file.chmod(0o644)
    (OUT / "sam2.safetensors.json").write_text(
        json.dumps({"num_heads": 1, "global_att_blocks": [3], "window_spec": [8, 4, 14, 7]}) + "\n")


if __name__ == "__main__":
    main()
