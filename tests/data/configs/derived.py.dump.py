area = 102400
backend_args = None
base_lr = 0.004
class_name = (
    'kätzchen',
    'hündchen',
)
custom_hooks = [
    dict(momentum=0.0002, type='EMAHook'),
    dict(switch_epoch=280, type='Switch'),
]
data_root = './data/cats/'
img_scale = (
    320,
    320,
)
img_scale_area = 102400
infinite = inf
interval = 16
levels = 3
load_from = './data/cats/x.pth'
max_epochs = 300
metainfo = dict(
    classes=(
        'kätzchen',
        'hündchen',
    ),
    palette=[
        (
            20,
            220,
            60,
        ),
        (
            20,
            220,
            60,
        ),
    ])
model = dict(
    backbone=dict(
        arch='P5',
        deepen_factor=1,
        expand_ratio=0.5,
        type='CSPNeXt',
        widen_factor=0.375),
    bbox_head=dict(
        anchor_generator=dict(
            offset=0, strides=[
                8,
                16,
                32,
            ], type='MlvlPointGenerator'),
        num_classes=2,
        type='RTMDetSepBNHead'),
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
        nms_pre=1000,
        score_thr=0.01),
    type='RTMDet')
model_test_cfg = dict(
    max_per_img=30,
    multi_label=True,
    nms=dict(iou_threshold=0.65, type='nms'),
    nms_pre=300,
    score_thr=0.001)
nothing = None
num_classes = 2
num_last_epochs = 20
pre = [
    dict(backend_args=None, type='LoadImageFromFile'),
]
scale = (
    320,
    320,
)
strides = [
    8,
    16,
    32,
]
test_dataloader = dict(
    batch_size=5,
    dataset=dict(
        data_prefix=dict(img='images/'),
        metainfo=dict(
            classes=(
                'kätzchen',
                'hündchen',
            ),
            palette=[
                (
                    20,
                    220,
                    60,
                ),
                (
                    20,
                    220,
                    60,
                ),
            ]),
        pipeline=[
            dict(backend_args=None, type='LoadImageFromFile'),
            dict(keep_ratio=True, scale=(
                320,
                320,
            ), type='Resize'),
            dict(pad_val=dict(img=(
                0,
                0,
                0,
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
        ],
        type='CocoDataset'))
test_pipeline = [
    dict(backend_args=None, type='LoadImageFromFile'),
    dict(keep_ratio=True, scale=(
        320,
        320,
    ), type='Resize'),
    dict(pad_val=dict(img=(
        0,
        0,
        0,
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
train_dataloader = dict({'./data/': 's3://bucket/', 'batch-size': 8})
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
