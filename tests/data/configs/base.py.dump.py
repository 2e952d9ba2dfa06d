backend_args = None
custom_hooks = [
    dict(momentum=0.0002, type='EMAHook'),
    dict(switch_epoch=280, type='Switch'),
]
img_scale = (
    320,
    320,
)
model = dict(
    backbone=dict(
        arch='P5',
        deepen_factor=1,
        expand_ratio=0.5,
        type='CSPNeXt',
        widen_factor=1),
    bbox_head=dict(num_classes=3, type='RTMDetSepBNHead'),
    data_preprocessor=dict(
        batch_augments=None,
        bgr_to_rgb=False,
        mean=[
            103.53,
            116.28,
            123.675,
        ],
        std=[
            57.375,
            57.12,
            58.395,
        ],
        type='DetDataPreprocessor'),
    test_cfg=dict(
        max_per_img=30,
        multi_label=True,
        nms=dict(iou_threshold=0.65, type='nms'),
        nms_pre=300,
        score_thr=0.001),
    type='RTMDet')
model_test_cfg = dict(
    max_per_img=30,
    multi_label=True,
    nms=dict(iou_threshold=0.65, type='nms'),
    nms_pre=300,
    score_thr=0.001)
num_classes = 3
test_dataloader = dict(
    batch_size=5,
    dataset=dict(
        pipeline=[
            dict(backend_args=None, type='LoadImageFromFile'),
            dict(keep_ratio=True, scale=(
                320,
                320,
            ), type='Resize'),
            dict(
                pad_val=dict(img=(
                    114,
                    114,
                    114,
                )),
                size=(
                    320,
                    320,
                ),
                type='Pad'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(
                meta_keys=(
                    'img_id',
                    'ori_shape',
                    'scale_factor',
                ),
                type='PackDetInputs'),
        ],
        type='CocoDataset'))
test_pipeline = [
    dict(backend_args=None, type='LoadImageFromFile'),
    dict(keep_ratio=True, scale=(
        320,
        320,
    ), type='Resize'),
    dict(pad_val=dict(img=(
        114,
        114,
        114,
    )), size=(
        320,
        320,
    ), type='Pad'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        meta_keys=(
            'img_id',
            'ori_shape',
            'scale_factor',
        ),
        type='PackDetInputs'),
]
val_dataloader = dict(
    batch_size=5,
    dataset=dict(
        pipeline=[
            dict(backend_args=None, type='LoadImageFromFile'),
            dict(keep_ratio=True, scale=(
                320,
                320,
            ), type='Resize'),
            dict(
                pad_val=dict(img=(
                    114,
                    114,
                    114,
                )),
                size=(
                    320,
                    320,
                ),
                type='Pad'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(
                meta_keys=(
                    'img_id',
                    'ori_shape',
                    'scale_factor',
                ),
                type='PackDetInputs'),
        ],
        type='CocoDataset'))
