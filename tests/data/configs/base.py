# What configs build upon; the other files here have the forms that people write.
backend_args = None
img_scale = (320, 320)
num_classes = 3
model_test_cfg = dict(multi_label=True, nms_pre=300, score_thr=0.001,
                      nms=dict(type='nms', iou_threshold=0.65), max_per_img=30)
model = dict(
    type='RTMDet',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[103.53, 116.28, 123.675],
                           std=[57.375, 57.12, 58.395], bgr_to_rgb=False, batch_augments=None),
    backbone=dict(type='CSPNeXt', arch='P5', expand_ratio=0.5, deepen_factor=1, widen_factor=1),
    bbox_head=dict(type='RTMDetSepBNHead', num_classes=num_classes),
    test_cfg=model_test_cfg)
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='Resize', scale=img_scale, keep_ratio=True),
    dict(type='Pad', size=img_scale, pad_val=dict(img=(114, 114, 114))),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'ori_shape', 'scale_factor')),
]
val_dataloader = dict(batch_size=5, dataset=dict(type='CocoDataset', pipeline=test_pipeline))
test_dataloader = val_dataloader
custom_hooks = [dict(type='EMAHook', momentum=0.0002), dict(type='Switch', switch_epoch=280)]
