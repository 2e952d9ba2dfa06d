"""RTMDet once more, from a state_dict alone, over whatever can convolve: as an ONNX graph, or in PyTorch.

Numbers come as numpy arrays by their names in the state_dict. A backend has conv, silu, concat, max_pool, upsample and
gate.
"""
import numpy as np

STRIDES = (8, 16, 32)
EPS = 1e-5


class Rtmdet:
    """Runs the network on a backend: maps go through it, whatever they are there."""

    def __init__(self, state, backend):
        self.state, self.b = state, backend

    def has(self, name):
        return name in self.state

    def module(self, name, x, stride=1):
        """ConvModule: convolution, batch norm, SiLU."""
        return self.b.silu(self.b.conv_bn(name, x, stride))

    def csp(self, name, x, identity):
        short = self.module(f"{name}.short_conv", x)
        main = self.module(f"{name}.main_conv", x)
        block = 0
        while self.has(f"{name}.blocks.{block}.conv1.conv.weight"):
            prefix = f"{name}.blocks.{block}"
            y = self.module(f"{prefix}.conv1", main)
            y = self.module(f"{prefix}.conv2.depthwise_conv", y)
            y = self.module(f"{prefix}.conv2.pointwise_conv", y)
            main = self.b.add(y, main) if identity else y
            block += 1
        joined = self.b.concat([main, short])
        if self.has(f"{name}.attention.fc.weight"):
            joined = self.b.gate(f"{name}.attention.fc", joined)
        return self.module(f"{name}.final_conv", joined)

    def backbone(self, x):
        for i, stride in enumerate((2, 1, 1)):
            x = self.module(f"backbone.stem.{i}", x, stride)
        maps = []
        for stage in (1, 2, 3, 4):
            name = f"backbone.stage{stage}"
            x = self.module(f"{name}.0", x, 2)
            if stage == 4:
                y = self.module(f"{name}.1.conv1", x)
                pooled = [y] + [self.b.max_pool(y, kernel) for kernel in (5, 9, 13)]
                x = self.module(f"{name}.1.conv2", self.b.concat(pooled))
            x = self.csp(f"{name}.{2 if stage == 4 else 1}", x, stage < 4)
            maps.append(x)
        return maps[1:]

    def neck(self, c3, c4, c5):
        b = self.b
        p5 = self.module("neck.reduce_layers.0", c5)
        t4 = self.csp("neck.top_down_blocks.0", b.concat([b.upsample(p5), c4]), False)
        p4 = self.module("neck.reduce_layers.1", t4)
        o3 = self.csp("neck.top_down_blocks.1", b.concat([b.upsample(p4), c3]), False)
        o4 = self.csp("neck.bottom_up_blocks.0", b.concat([self.module("neck.downsamples.0", o3, 2), p4]), False)
        o5 = self.csp("neck.bottom_up_blocks.1", b.concat([self.module("neck.downsamples.1", o4, 2), p5]), False)
        return [self.module(f"neck.out_convs.{i}", o) for i, o in enumerate((o3, o4, o5))]

    def forward(self, x):
        """→ three maps of class logits, then three of rtm_reg's numbers."""
        logits, regressed = [], []
        for level, feature in enumerate(self.neck(*self.backbone(x))):
            for branch, last, out in (("cls_convs", "rtm_cls", logits), ("reg_convs", "rtm_reg", regressed)):
                y = feature
                for i in (0, 1):
                    y = self.module(f"bbox_head.{branch}.{level}.{i}", y)
                out.append(self.b.conv(f"bbox_head.{last}.{level}", y))
        return logits + regressed


def fold(state, name):
    """A convolution and its batch norm as one: weight, bias."""
    scale = state[f"{name}.bn.weight"].astype(np.float64) / np.sqrt(state[f"{name}.bn.running_var"] + EPS)
    weight = state[f"{name}.conv.weight"] * scale[:, None, None, None]
    bias = state[f"{name}.bn.bias"] - state[f"{name}.bn.running_mean"] * scale
    return weight.astype(np.float32), bias.astype(np.float32)


class OnnxBackend:
    """Maps are names of values. Batch norms are folded."""

    def __init__(self, state):
        import onnx
        self.onnx, self.state = onnx, state
        self.nodes, self.weights, self.count, self.multiplications = [], [], 0, 0

    def node(self, kind, inputs, **attributes):
        self.count += 1
        output = f"v{self.count}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, array):
        self.count += 1
        self.weights.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), f"w{self.count}"))
        return f"w{self.count}"

    def convolve(self, weight, bias, x, stride):
        kernel = weight.shape[2]
        return self.node("Conv", [x, self.constant(weight), self.constant(bias)], kernel_shape=[kernel] * 2,
                         strides=[stride] * 2, pads=[kernel // 2] * 4,
                         group=weight.shape[0] if weight.shape[1] == 1 and kernel == 5 else 1)

    def conv_bn(self, name, x, stride):
        return self.convolve(*fold(self.state, name), x, stride)

    def conv(self, name, x):
        return self.convolve(self.state[f"{name}.weight"], self.state[f"{name}.bias"], x, 1)

    def silu(self, x):
        return self.node("Mul", [x, self.node("Sigmoid", [x])])

    def add(self, x, y):
        return self.node("Add", [x, y])

    def concat(self, maps):
        return self.node("Concat", maps, axis=1)

    def max_pool(self, x, kernel):
        return self.node("MaxPool", [x], kernel_shape=[kernel] * 2, strides=[1, 1], pads=[kernel // 2] * 4)

    def upsample(self, x):
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        return self.node("Resize", [x, "", scales], mode="nearest", nearest_mode="floor",
                         coordinate_transformation_mode="asymmetric")

    def gate(self, name, x):
        y = self.conv(name, self.node("GlobalAveragePool", [x]))
        return self.node("Mul", [x, self.node("HardSigmoid", [y], alpha=1 / 6, beta=0.5)])


def onnx_model(state, side):
    """The serialised model; input "input" [1, 3, side, side], outputs cls0…cls2, reg0…reg2."""
    import onnx
    backend = OnnxBackend(state)
    outputs = Rtmdet(state, backend).forward("input")
    names = [f"cls{i}" for i in range(3)] + [f"reg{i}" for i in range(3)]
    backend.nodes += [onnx.helper.make_node("Identity", [value], [name]) for value, name in zip(outputs, names)]
    tensor = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        backend.nodes, "rtmdet", [onnx.helper.make_tensor_value_info("input", tensor, [1, 3, side, side])],
        [onnx.helper.make_tensor_value_info(name, tensor, None) for name in names], backend.weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString()


class TorchBackend:
    """As mmdet runs it: eager, nothing folded."""

    def __init__(self, state):
        import torch
        self.torch = torch
        self.f = torch.nn.functional
        self.state = {name: torch.from_numpy(array.copy()) for name, array in state.items()}

    def conv_bn(self, name, x, stride):
        s, weight = self.state, self.state[f"{name}.conv.weight"]
        groups = weight.shape[0] if weight.shape[1] == 1 and weight.shape[2] == 5 else 1
        x = self.f.conv2d(x, weight, None, stride, weight.shape[2] // 2, 1, groups)
        return self.f.batch_norm(x, s[f"{name}.bn.running_mean"], s[f"{name}.bn.running_var"], s[f"{name}.bn.weight"],
                                 s[f"{name}.bn.bias"], False, 0, EPS)

    def conv(self, name, x):
        return self.f.conv2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def silu(self, x):
        return self.f.silu(x, inplace=True)

    def add(self, x, y):
        return x + y

    def concat(self, maps):
        return self.torch.cat(maps, 1)

    def max_pool(self, x, kernel):
        return self.f.max_pool2d(x, kernel, 1, kernel // 2)

    def upsample(self, x):
        return self.f.interpolate(x, scale_factor=2, mode="nearest")

    def gate(self, name, x):
        return x * self.f.hardsigmoid(self.conv(name, x.mean((2, 3), keepdim=True)))
