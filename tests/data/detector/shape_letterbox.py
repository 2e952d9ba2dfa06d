model = dict(
    backbone=dict(
        act_cfg=dict(inplace=True, type='SiLU'),
        block_cfg=dict(
            norm_cfg=dict(eps=0.001, momentum=0.03, type='BN'),
            type='ConvWrapper'),
        deepen_factor=0.33,
        hidden_ratio=0.5,
        norm_cfg=dict(eps=0.001, momentum=0.03, type='BN'),
        type='YOLOv6CSPBep',
        widen_factor=0.046875),
    bbox_head=dict(
        head_module=dict(
            act_cfg=dict(inplace=True, type='SiLU'),
            featmap_strides=[
                8,
                16,
                32,
            ],
            in_channels=[
                128,
                256,
                512,
            ],
            norm_cfg=dict(eps=0.001, momentum=0.03, type='BN'),
            num_classes=4,
            type='YOLOv6HeadModule',
            widen_factor=0.046875),
        loss_bbox=dict(
            bbox_format='xyxy',
            iou_mode='giou',
            loss_weight=2.5,
            reduction='mean',
            return_iou=False,
            type='IoULoss'),
        type='YOLOv6Head'),
    data_preprocessor=dict(
        bgr_to_rgb=True,
        mean=[
            0.0,
            0.0,
            0.0,
        ],
        std=[
            255.0,
            255.0,
            255.0,
        ],
        type='YOLOv5DetDataPreprocessor'),
    neck=dict(
        act_cfg=dict(inplace=True, type='ReLU'),
        block_act_cfg=dict(inplace=True, type='SiLU'),
        block_cfg=dict(
            norm_cfg=dict(eps=0.001, momentum=0.03, type='BN'),
            type='ConvWrapper'),
        deepen_factor=0.33,
        hidden_ratio=0.5,
        in_channels=[
            256,
            512,
            1024,
        ],
        norm_cfg=dict(eps=0.001, momentum=0.03, type='BN'),
        num_csp_blocks=12,
        out_channels=[
            128,
            256,
            512,
        ],
        type='YOLOv6CSPRepPAFPN',
        widen_factor=0.046875),
    test_cfg=dict(
        max_per_img=300,
        multi_label=True,
        nms=dict(iou_threshold=0.65, type='nms'),
        nms_pre=30000,
        score_thr=0.001),
    train_cfg=dict(
        assigner=dict(
            alpha=1,
            beta=6,
            num_classes=4,
            topk=13,
            type='BatchTaskAlignedAssigner'),
        initial_assigner=dict(
            iou_calculator=dict(type='mmdet.BboxOverlaps2D'),
            num_classes=4,
            topk=9,
            type='BatchATSSAssigner'),
        initial_epoch=4),
    type='YOLODetector')
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(scale=(
        320,
        192,
    ), type='mmyolo.YOLOv5KeepRatioResize'),
    dict(
        allow_scale_up=False,
        pad_val=dict(img=114),
        scale=(
            320,
            192,
        ),
        type='mmyolo.LetterResize'),
    dict(
        meta_keys=(
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
            'pad_param',
        ),
        type='mmdet.PackDetInputs'),
]
