"""Layers of ONNX files fit, and their integers are those of the same layers in PyTorch."""

import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

from pymodel.own_network import export, onnx_file
from pymodel.own_network.fit import Fit, FitError, fit_layers, judge
from pymodel.own_network.layer_file import load_layers
from pymodel.own_network.onnx_file import digest_of, products_of
from pymodel.own_network.onnx_forward import OnnxGraph
from pymodel.reference.layer_data import LayerData
from pymodel.support.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporters warn
RANDOM = np.random.default_rng(3)
WEIGHTS = RANDOM.integers(-7, 8, (6, 4, 3, 3)).astype(np.int8)
BIAS = RANDOM.standard_normal(6).astype(np.float32)
SCALE, ZERO = np.float32(1 / 14), np.uint8(5)  # of activations
WEIGHT_SCALES = np.linspace(0.02, 0.07, 6).astype(np.float32)
INPUT, OUTPUT = "x", "y"


@pytest.fixture
def inputs():
    return torch.rand(3, 4, 6, 5, generator=torch.Generator().manual_seed(1)) - 0.3


def write(path, nodes, constants, output=TensorProto.FLOAT, batch=1, domains=("",)):
    """Writes a graph from x, float [batch, 4, 6, 5], to y, with constants by name."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [batch, 4, 6, 5])],
        [helper.make_tensor_value_info(OUTPUT, output, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid(one, 13 if one in ("", "ai.onnx") else 1) for one in domains]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def qdq(path, convolution=None, batch=1, **changes):
    """Writes a QuantizeLinear and DequantizeLinear pair before a convolution of int8 weights."""
    nodes = [
        helper.make_node("QuantizeLinear", [INPUT, "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "ws"], ["wf"], axis=0),
        convolution or helper.make_node("Conv", ["a", "wf", "b"], [OUTPUT], "conv", pads=[1] * 4),
    ]
    constants = {"s": SCALE, "z": ZERO, "w": WEIGHTS, "ws": WEIGHT_SCALES, "b": BIAS}
    return write(path, nodes, constants | changes, batch=batch)


def judged(path, inputs) -> Fit | FitError:
    """Returns what becomes of the only product of a file; one that fits runs from its sums, too."""
    (product,) = products_of(path, inputs)
    found = judge(product, len(inputs))
    if isinstance(found, Fit):
        check_sums(path, inputs, {product.layer: found})
    return found


def check_sums(path, inputs, fits) -> None:
    """Checks that the outputs of a file follow from the sums of its layers.

    The outputs equal those of the unchanged file except for rounding, and change with the sums of
    each layer.
    """
    graph = OnnxGraph(path, inputs)
    as_it_is, _ = graph.as_it_is(fits)
    found, trace = graph.from_sums(fits, LayerData.sums, False)
    assert list(trace.activations) == list(fits)
    for one, other in zip(found, as_it_is, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        step = 1e-4 if one.dtype.is_floating_point else 1
        assert (one.double() - other.double()).abs().max() <= step
    differences = graph.rounded_from(fits, trace)
    assert differences.differing == dict.fromkeys(fits, 0)
    assert differences.codes == {name: values.numel() for name, values in trace.activations.items()}
    for layer in fits:
        wrong, _ = graph.from_sums(
            fits, lambda data, layer=layer: data.sums() + 99 * (data.name == layer), False
        )
        assert not all(map(torch.equal, wrong, found)), layer


def torch_fit(inputs, **geometry) -> Fit:
    """Returns the layer of these tests as PyTorch computes it."""

    class Layer(nn.Module):
        def forward(self, x):
            x = torch.fake_quantize_per_tensor_affine(x, float(SCALE), int(ZERO), 0, 255)
            weight = torch.from_numpy(WEIGHTS * WEIGHT_SCALES[:, None, None, None])
            weight = torch.fake_quantize_per_channel_affine(
                *(weight, torch.from_numpy(WEIGHT_SCALES), torch.zeros(6)), 0, -128, 127
            )
            return functional.conv2d(x, weight, torch.from_numpy(BIAS), **geometry)

    (found,) = fit_layers(nn.Sequential(Layer()), inputs).values()
    return found


@pytest.mark.parametrize("batch", [1, 3, "n"])
def test_the_integers_are_those_of_pytorch(tmp_path, inputs, batch):
    """The same layer has the same codes, zero point and scales through ONNX, with any batch."""
    found, expected = (
        judged(qdq(tmp_path / "l.onnx", batch=batch), inputs),
        torch_fit(inputs, padding=1),
    )
    assert isinstance(found, Fit), found
    ours, theirs = found.layer, expected.layer
    assert torch.equal(ours.activation_codes, theirs.activation_codes)
    assert torch.equal(ours.weight_codes, theirs.weight_codes)
    assert (ours.zero, ours.activation_bits) == (theirs.zero, theirs.activation_bits) == (5, 8)
    assert ours.convolution == theirs.convolution
    torch.testing.assert_close(ours.step, theirs.step)
    assert torch.equal(ours.after.bias, theirs.after.bias)
    assert not found.activations.found
    assert found.kind == "Conv"


def test_a_file_of_some_inputs_at_a_time(command, tmp_path, inputs, monkeypatch):
    """A fixed batch of two leaves out the last of three inputs, and says so."""
    monkeypatch.setattr(export, "RESULTS_FILE", tmp_path / "export.json")
    path, given = qdq(tmp_path / "l.onnx", batch=2), tmp_path / "inputs.npy"
    np.save(given, inputs.numpy())
    output = tmp_path / "layers.safetensors"
    code, out, _ = command(export.main, path, "--input", given, "--output", output)
    assert code == 0, out
    assert f"{path} takes 2 inputs at a time: the first 2 are used." in out
    assert len(load_layers(output)["conv"].reference) == 2


def test_inputs_that_are_all_the_same(tmp_path, inputs):
    """A tensor that is equal for all inputs follows from the input all the same."""
    same = inputs[:1].repeat(3, 1, 1, 1)
    found = judged(qdq(tmp_path / "l.onnx"), same)
    assert isinstance(found, Fit), found
    assert len(found.layer.activation_codes) == 3


def test_a_quantiser_that_is_made_anew_is_said(tmp_path, inputs):
    """The scale of DynamicQuantizeLinear follows from each input."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", [INPUT], ["a", "s", "z"]),
        helper.make_node("ConvInteger", ["a", "w", "z"], [OUTPUT], "conv"),
    ]
    path = write(tmp_path / "l.onnx", nodes, {"w": WEIGHTS}, output=TensorProto.INT32)
    assert "computes new scales for its activations in each pass" in str(judged(path, inputs))


def test_weights_of_int4(tmp_path, inputs):
    """Weights of a type that NumPy does not have have the codes of the same weights of int8."""
    path = qdq(tmp_path / "l.onnx")
    model = onnx.load(path)
    (weights,) = (one for one in model.graph.initializer if one.name == "w")
    codes = WEIGHTS.flatten().tolist()
    weights.CopyFrom(helper.make_tensor("w", TensorProto.INT4, WEIGHTS.shape, codes))
    model.opset_import[0].version, model.ir_version = 21, 10
    onnx.save(model, path)
    found = judged(path, inputs)
    assert isinstance(found, Fit), found
    assert torch.equal(found.layer.weight_codes, torch.from_numpy(WEIGHTS))
    assert not found.weights.found
    assert found.layer.weight_bits == 4


def test_a_file_without_products_names_its_operators(refused, tmp_path, inputs):
    path, given = tmp_path / "l.onnx", tmp_path / "inputs.npy"
    np.save(given, inputs.numpy())
    write(path, [helper.make_node("Relu", [INPUT], [OUTPUT])], {})
    words = ["no convolution and no matrix product with weights; its operators are Relu"]
    refused(export.main, path, "--input", given, words=words)


@pytest.mark.parametrize(
    ("settings", "geometry"),
    [
        ({"strides": [2, 1], "pads": [1, 0, 1, 0]}, {"stride": (2, 1), "padding": (1, 0)}),
        ({"dilations": [2, 2], "pads": [2] * 4}, {"dilation": 2, "padding": 2}),
        ({"auto_pad": "VALID"}, {}),
        ({"auto_pad": "SAME_UPPER", "strides": [1, 1]}, {"padding": 1}),
    ],
)
def test_geometry(tmp_path, inputs, settings, geometry):
    node = helper.make_node("Conv", ["a", "wf", "b"], [OUTPUT], "conv", **settings)
    found = judged(qdq(tmp_path / "l.onnx", node), inputs)
    assert isinstance(found, Fit), found
    assert torch.equal(found.layer.sums(), torch_fit(inputs, **geometry).layer.sums())


@pytest.mark.parametrize("pads", [[0, 1, 2, 0], [0, 0, 1, 1]])
@pytest.mark.parametrize("same", ["SAME_UPPER", "SAME_LOWER", ""])
def test_padding_that_differs_at_the_two_ends_is_part_of_the_map(tmp_path, inputs, pads, same):
    settings = {"auto_pad": same, "strides": [2, 2]} if same else {"pads": pads}
    node = helper.make_node("Conv", ["a", "wf", "b"], [OUTPUT], "conv", **settings)
    found = judged(qdq(tmp_path / "l.onnx", node), inputs)
    assert isinstance(found, Fit), found


@pytest.mark.parametrize("cut", [0, 1])
def test_a_transposed_convolution(tmp_path, inputs, cut):
    weights = np.ascontiguousarray(WEIGHTS.transpose(1, 0, 2, 3))
    node = helper.make_node(
        *("ConvTranspose", ["a", "wf"], [OUTPUT], "up"), strides=[2, 2], pads=[1, 1, cut, 1]
    )
    found = judged(qdq(tmp_path / "l.onnx", node, w=weights, ws=np.float32(0.05)), inputs)
    assert isinstance(found, Fit), found


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "SAME_LOWER"},
        {"output_shape": [12, 10]},
        {"output_shape": [13, 10]},
        {"auto_pad": "VALID"},
    ],
)
def test_a_transposed_convolution_whose_padding_follows_from_its_output(tmp_path, inputs, settings):
    weights = np.ascontiguousarray(WEIGHTS.transpose(1, 0, 2, 3))
    node = helper.make_node(
        *("ConvTranspose", ["a", "wf"], [OUTPUT], "up"), strides=[2, 2], **settings
    )
    found = judged(qdq(tmp_path / "l.onnx", node, w=weights, ws=np.float32(0.05)), inputs)
    assert isinstance(found, Fit), found


def matrices(path, nodes, **constants):
    """Writes a graph of nodes from a, the fake-quantised rows [24, 5] of the input, to y."""
    first = [
        helper.make_node("QuantizeLinear", [INPUT, "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Reshape", ["d", "rows"], ["a"]),
    ]
    rows = {"s": SCALE, "z": ZERO, "rows": np.array([24, 5]), "c": BIAS, "c2": BIAS[:, None]}
    return write(path, first + nodes, rows | constants)


MATRIX = np.ascontiguousarray(WEIGHTS[:, 0, 0, :1].repeat(5, 1) * np.arange(1, 6)).astype(
    np.float32
)  # [6, 5]


@pytest.mark.parametrize(
    "nodes",
    [
        [("MatMul", ["a", "wt"], {})],
        [("Transpose", ["a"], {}), ("MatMul", ["w", "t"], {})],
        [("Transpose", ["a"], {}), ("Gemm", ["t", "wt", "c"], {"transA": 1})],
        [("Gemm", ["w", "a", "c2"], {"transB": 1})],
        [("Transpose", ["a"], {}), ("Gemm", ["wt", "t", "c2"], {"transA": 1})],
        [("Gemm", ["a", "w", "c"], {"transB": 1, "alpha": 0.3, "beta": 2.0})],
    ],
)
def test_a_matrix_product_however_it_is_turned(tmp_path, inputs, nodes):
    """Weights may stand on the left, either operand may be transposed, and the bias is found."""
    made = [
        helper.make_node(kind, given, ["t" if kind == "Transpose" else OUTPUT], kind, **settings)
        for kind, given, settings in nodes
    ]
    path = matrices(tmp_path / "l.onnx", made, w=MATRIX, wt=np.ascontiguousarray(MATRIX.T))
    found = judged(path, inputs)
    assert isinstance(found, Fit), found
    _kind, given, settings = nodes[-1]
    alpha, bias = settings.get("alpha", 1), BIAS * settings.get("beta", 1)
    assert found.layer.activation_codes.shape == (3, 5, 24, 1)
    step = found.layer.step[:, 0, 0].numpy() / SCALE
    assert np.allclose(found.layer.weight_codes[..., 0, 0] * step[:, None], MATRIX * alpha)
    assert np.allclose(found.layer.after.bias, bias if len(given) == 3 else 0)


@pytest.mark.parametrize("names", [("m", "m"), ("Conv_4", "")])
def test_layers_of_one_name_are_refused(tmp_path, inputs, names):
    """A node without a name is called after its operator and its place, as another may be."""
    path = qdq(tmp_path / "l.onnx")
    model = onnx.load(path)
    product = model.graph.node[-1]
    twin = onnx.NodeProto.FromString(product.SerializeToString())
    twin.output[0] = "twin"
    product.name, twin.name = names
    model.graph.node.append(twin)
    onnx.save(model, path)
    name = names[0]
    with pytest.raises(InputError, match=f"2 layers are called {name}, expected one of each name"):
        list(products_of(path, inputs))


def test_the_digest_of_a_file_is_also_of_its_numbers_elsewhere(tmp_path, inputs):
    """Tensors in a file of their own may change while the file of the graph stays."""
    path = qdq(tmp_path / "l.onnx")
    for scale in (1, 1, -1):
        model = onnx.load(path)
        (bias,) = (one for one in model.graph.initializer if one.name == "b")
        bias.CopyFrom(numpy_helper.from_array(BIAS * np.float32(scale), "b"))
        apart = tmp_path / "apart.onnx"
        (tmp_path / "l.data").unlink(missing_ok=True)
        onnx.save(model, apart, save_as_external_data=True, location="l.data", size_threshold=0)
        graph = apart.read_bytes()
        digest = digest_of(apart)
        if scale == 1:
            first, same = digest, graph
    assert graph == same
    assert digest != first


def test_a_shortcut_in_gemm_is_no_bias(tmp_path, inputs):
    node = helper.make_node("Gemm", ["a", "w5", "a"], [OUTPUT], "gemm")
    path = matrices(tmp_path / "l.onnx", [node], w5=np.ascontiguousarray(MATRIX[:5]))
    found = judged(path, inputs)
    assert isinstance(found, Fit), found
    assert not found.layer.after.bias.any()


def test_a_batch_of_matrices_is_said(tmp_path, inputs):
    nodes = [
        helper.make_node("Unsqueeze", ["a", "zero"], ["u"]),
        helper.make_node("MatMul", ["u", "ws"], [OUTPUT], "m"),
    ]
    batch = {"ws": np.stack([MATRIX.T, -MATRIX.T]), "zero": np.array([0])}
    found = judged(matrices(tmp_path / "l.onnx", nodes, **batch), inputs)
    assert str(found) == "it is a batch of products, each with weights of its own"


@pytest.mark.parametrize("alpha", [1.0, 2.0])
@pytest.mark.parametrize("turned", [False, True])
def test_qgemm(tmp_path, inputs, alpha, turned):
    """The codes that onnxruntime's QGemm makes are those of the product times alpha."""
    nodes = [
        helper.make_node("QuantizeLinear", [INPUT, "s", "z"], ["q"]),
        helper.make_node("Reshape", ["q", "rows"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"]),
        helper.make_node(
            "QGemm",
            ["t" if turned else "r", "s", "z", "w", "ws", "wz", "c", "ys", "yz"],
            [OUTPUT],
            "qgemm",
            domain="com.microsoft",
            transA=int(turned),
            transB=1,
            alpha=alpha,
        ),
    ]
    constants = {
        "s": SCALE,
        "z": ZERO,
        "rows": np.array([24, 5]),
        "w": WEIGHTS[:, 0, 0, :1].repeat(5, 1),
        "ws": np.float32(0.03),
        "wz": np.int8(0),
        "c": np.arange(6).astype(np.int32),
        "ys": np.float32(0.02),
        "yz": np.uint8(90),
    }
    path = tmp_path / "l.onnx"
    write(path, nodes, constants, TensorProto.UINT8, domains=("", "com.microsoft"))
    found = judged(path, inputs)
    assert isinstance(found, Fit), found
    assert not found.weights.found
    bias = np.arange(6) * SCALE * 0.03 * alpha
    assert np.allclose(found.layer.after.bias, bias, atol=1e-6)


def test_activations_of_uint4(tmp_path, inputs):
    """onnxruntime returns no tensor of 4 bits; scale and zero point state the grid."""
    path = qdq(tmp_path / "l.onnx")
    model = onnx.load(path)
    (zero,) = (one for one in model.graph.initializer if one.name == "z")
    zero.CopyFrom(helper.make_tensor("z", TensorProto.UINT4, [], [5]))
    model.opset_import[0].version, model.ir_version = 21, 10
    onnx.save(model, path)
    found = judged(path, inputs)
    assert isinstance(found, Fit), found
    assert (found.layer.activation_bits, found.layer.zero) == (4, 5)
    assert not found.activations.found


def test_products_that_are_not_known_have_a_row(tmp_path, inputs):
    """What multiplies by weights is never missing from the table, also inside another operator."""
    inner = [helper.make_node("MatMul", ["a", "wt"], ["m"])]
    made = helper.make_tensor_value_info("m", TensorProto.FLOAT, None)
    branch = helper.make_graph(inner, "branch", [], [made])
    nodes = [
        helper.make_node("Einsum", ["a", "w"], ["e"], "einsum", equation="rk,ck->rc"),
        helper.make_node("If", ["yes"], ["i"], "if", then_branch=branch, else_branch=branch),
        helper.make_node("Add", ["e", "i"], [OUTPUT]),
    ]
    constants = {"w": MATRIX, "wt": np.ascontiguousarray(MATRIX.T), "yes": np.array(True)}
    found = {
        one.layer: one.fault
        for one in products_of(matrices(tmp_path / "l.onnx", nodes, **constants), inputs)
    }
    assert found == {"einsum": "operator Einsum is not known", "if": "its MatMul are inside If"}


def test_functions_of_the_file_itself_are_looked_into(tmp_path, inputs):
    path = qdq(tmp_path / "l.onnx")
    model = onnx.load(path)
    expected = judged(path, inputs)
    node = model.graph.node[-1]
    given, made = list(node.input), list(node.output)
    function = helper.make_function("mine", "Layer", given, made, [node], model.opset_import)
    model.graph.node.pop()
    model.graph.node.append(helper.make_node("Layer", given, made, domain="mine"))
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    onnx.save(model, path)
    found = judged(path, inputs)
    assert isinstance(found, Fit), found
    assert torch.equal(found.layer.sums(), expected.layer.sums())


def test_quant_nodes_of_qonnx(tmp_path, inputs):
    domain = "qonnx.custom_op.general"
    settings = {"domain": domain, "narrow": 0, "rounding_mode": "ROUND"}
    nodes = [
        helper.make_node("Quant", [INPUT, "s", "z", "bits"], ["a"], signed=0, **settings),
        helper.make_node("Quant", ["w", "ws", "zero", "four"], ["wf"], signed=1, **settings),
        helper.make_node("Conv", ["a", "wf", "b"], [OUTPUT], "conv", pads=[1] * 4),
    ]
    constants = {
        "s": SCALE,
        "z": np.float32(5),
        "bits": np.float32(8),
        "w": WEIGHTS * WEIGHT_SCALES[:, None, None, None],
        "ws": WEIGHT_SCALES[:, None, None, None],
        "zero": np.float32(0),
        "four": np.float32(4),
        "b": BIAS,
    }
    path = write(tmp_path / "l.onnx", nodes, constants, domains=("", domain))
    found, expected = judged(path, inputs), torch_fit(inputs, padding=1)
    assert isinstance(found, Fit), found
    assert (found.layer.activation_bits, found.layer.weight_bits, found.layer.zero) == (8, 4, 5)
    assert torch.equal(found.layer.sums(), expected.layer.sums())


INTEGERS = {"s": SCALE, "z": ZERO, "w": WEIGHTS, "ws": WEIGHT_SCALES, "wz": np.zeros(6, np.int8)}


def integer_nodes(kind: str) -> list:
    """Returns nodes of a convolution on integers."""
    first = helper.make_node("QuantizeLinear", [INPUT, "s", "z"], ["q"])
    if kind == "ConvInteger":
        return [first, helper.make_node(kind, ["q", "w", "z"], [OUTPUT], "conv", pads=[1] * 4)]
    names = ["q", "s", "z", "w", "ws", "wz", "ys", "yz", "b"]
    return [first, helper.make_node(kind, names, [OUTPUT], "conv", pads=[1] * 4)]


@pytest.mark.parametrize("kind", ["ConvInteger", "QLinearConv"])
def test_convolutions_of_integers(tmp_path, inputs, kind):
    constants = INTEGERS | {"ys": np.float32(0.05), "yz": np.uint8(100)}
    constants["b"] = RANDOM.integers(-99, 99, 6).astype(np.int32)
    made = TensorProto.INT32 if kind == "ConvInteger" else TensorProto.UINT8
    path = write(tmp_path / "l.onnx", integer_nodes(kind), constants, made)
    found = judged(path, inputs)
    assert isinstance(found, Fit), found
    assert torch.equal(found.layer.sums(), torch_fit(inputs, padding=1).layer.sums())
    assert (found.layer.step == 1).all() == (kind == "ConvInteger")


def test_codes_that_a_convolution_of_integers_does_not_give(tmp_path, inputs, monkeypatch):
    """The codes of the file's own output are compared with what the values give."""
    constants = INTEGERS | {"ys": np.float32(0.05), "yz": np.uint8(100), "b": np.ones(6, np.int32)}
    path = write(tmp_path / "l.onnx", integer_nodes("QLinearConv"), constants, TensorProto.UINT8)
    real = onnx_file.run

    def wrong(*arguments):
        runs, limits = real(*arguments)
        runs[1][OUTPUT][0, 2, 3, 3] += 1
        return runs, limits

    monkeypatch.setattr(onnx_file, "run", wrong)
    found = judged(path, inputs)
    assert isinstance(found, FitError)
    assert "steps away from those of its values" in str(found)


@pytest.mark.parametrize("kind", ["Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"])
def test_matrix_products(tmp_path, inputs, kind):
    """Rows of the last dimension, five numbers each, are multiplied by a matrix."""
    matrix = RANDOM.integers(-7, 8, (5, 6)).astype(np.int8)
    nodes = [helper.make_node("QuantizeLinear", [INPUT, "s", "z"], ["q"])]
    settings, made = {}, TensorProto.FLOAT
    constants = {"s": SCALE, "z": ZERO, "w": matrix, "ws": np.float32(0.03), "wz": np.int8(0)}
    if kind in ("Gemm", "MatMul"):
        nodes += [
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["a"]),
            helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"]),
        ]
        names = ["a", "wf"]
    else:
        names = ["q", "w", "z"]
        made = TensorProto.INT32
    if kind == "Gemm":
        constants["rows"] = np.array([-1, 5])
        nodes.insert(2, helper.make_node("Reshape", ["a", "rows"], ["r"]))
        names, settings = ["r", "wf"], {"alpha": 0.3}
    if kind == "QLinearMatMul":
        names = ["q", "s", "z", "w", "ws", "wz", "ys", "yz"]
        constants |= {"ys": np.float32(0.02), "yz": np.uint8(90)}
        made = TensorProto.UINT8
    nodes.append(helper.make_node(kind, names, [OUTPUT], "product", **settings))
    found = judged(write(tmp_path / "l.onnx", nodes, constants, made), inputs)
    assert isinstance(found, Fit), found
    assert found.layer.weight_codes.shape == (6, 5, 1, 1)
    assert np.array_equal(found.layer.weight_codes[..., 0, 0].T, matrix)
    assert not found.weights.found  # the file states the grid, also times Gemm's alpha


def test_products_of_activations_are_no_layers(tmp_path, inputs):
    nodes = [
        helper.make_node("Transpose", [INPUT], ["t"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", [INPUT, "t"], [OUTPUT]),
    ]
    assert list(products_of(write(tmp_path / "l.onnx", nodes, {}), inputs)) == []


def evil(path):
    node = helper.make_node("System", [INPUT], [OUTPUT], domain="os")
    return write(path, [node], {}, domains=("", "os"))


def two_inputs(path):
    qdq(path)
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    onnx.save(model, path)
    return path


def text(path):
    path.write_text("no ONNX")
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (evil, "operator System is of domain 'os', expected ONNX's or QONNX's"),
        (two_inputs, "has 2 inputs, expected one"),
        (text, "cannot be read as ONNX"),
        (lambda path: path, "cannot be read as ONNX"),
        (
            lambda path: qdq(path, w=WEIGHTS[:, :3]),
            "on float32 [1, 4, 6, 5], expected [1, 4, 6, 5]",
        ),
    ],
)
def test_bad_files_are_one_line(tmp_path, inputs, make, words):
    with pytest.raises(InputError) as refusal:
        list(products_of(make(tmp_path / "l.onnx"), inputs))
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_without_onnx(tmp_path, inputs, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"onnx is not installed; type: .*qonnx==1\.0\.0"):
        list(products_of(tmp_path / "l.onnx", inputs))


def test_the_command(command, refused, tmp_path, inputs, monkeypatch):
    monkeypatch.setattr(export, "RESULTS_FILE", tmp_path / "export.json")
    path, given = qdq(tmp_path / "l.onnx"), tmp_path / "inputs.npy"
    np.save(given, inputs.numpy())
    output = tmp_path / "layers.safetensors"
    code, out, _ = command(export.main, path, "--input", given, "--output", output)
    assert code == 0, out
    assert "1 of 1 layers on 3 images" in out
    assert load_layers(output)["conv"].activation_codes.shape == (3, 4, 6, 5)
    state = [path, "--state", "s.pt"]
    refused(export.main, *state, words=["--state s.pt is named, expected none"])
    refused(export.main, path, words=["(the shipped images; name others with --input)"])
    named = [path, "--input", given, "--layer", "no"]
    refused(export.main, *named, words=["has no layer 'no', expected some of: conv"])
    given.write_bytes(b"no array")
    refused(export.main, path, "--input", given, words=["cannot be read as an array of NumPy"])


@pytest.mark.verify
@pytest.mark.parametrize("exporter", ["export_qonnx", "export_onnx_qcdq"])
def test_files_of_brevitas_exporters(exporter, tmp_path):
    """Each layer of a network has the integers that it has in PyTorch, for the same input."""
    import brevitas.export
    import brevitas.nn as qnn
    from brevitas.quant import Int8WeightPerChannelFloat

    torch.manual_seed(0)
    model = nn.Sequential(
        qnn.QuantIdentity(bit_width=8, return_quant_tensor=True),
        qnn.QuantConv2d(
            3, 8, 3, padding=1, weight_bit_width=4, weight_quant=Int8WeightPerChannelFloat
        ),
        nn.BatchNorm2d(8),
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        qnn.QuantConv2d(8, 8, 3, stride=2, padding=1, groups=8, weight_bit_width=8),
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        nn.Flatten(),
        qnn.QuantLinear(512, 5, bias=True, weight_bit_width=3),
    )
    images = torch.rand(4, 3, 16, 16)
    model(images)
    model.eval()(images)
    expected = [fit.layer for fit in fit_layers(model, images).values()]
    path = tmp_path / "l.onnx"
    getattr(brevitas.export, exporter)(model, images[:1], str(path))
    products = list(products_of(path, images))
    found = [judge(product, len(images)) for product in products]
    assert len(found) == len(expected) == 3
    check_sums(path, images, {p.layer: fit for p, fit in zip(products, found, strict=True)})
    for one, layer in zip(found, expected, strict=True):
        assert isinstance(one, Fit), one
        assert torch.equal(one.layer.activation_codes, layer.activation_codes)
        assert torch.equal(one.layer.weight_codes, layer.weight_codes)
        assert one.layer.weight_bits == layer.weight_bits


@pytest.mark.verify
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_files_of_onnxruntime(form, tmp_path):
    """A float network that onnxruntime quantised has layers that fit, in both of its forms."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 5),
    ).eval()
    images = torch.rand(4, 3, 16, 16)
    float_file, path = tmp_path / "float.onnx", tmp_path / "l.onnx"
    torch.onnx.export(
        *(model, (images[:1],), str(float_file)),
        dynamo=False,
        opset_version=13,
        input_names=["x"],
        dynamic_axes={"x": {0: "n"}},
    )

    class Images(CalibrationDataReader):
        def __init__(self):
            self.left = [{"x": images.numpy()}]

        def get_next(self):
            return self.left.pop() if self.left else None

    quantize_static(
        *(str(float_file), str(path), Images()),
        quant_format=QuantFormat[form],
        per_channel=True,
        weight_type=QuantType.QInt8,
    )
    found = [judge(product, len(images)) for product in products_of(path, images)]
    assert len(found) == 3
    assert all(isinstance(one, Fit) for one in found), found
    assert not any(grid.found for one in found for grid in (one.weights, one.activations))
