"""One step of a codec's transformers as an ONNX graph: what ONNX Runtime is timed with beside the engine.

Random weights (times do not depend on them) and in ONNX Runtime's favour: no rotary positions, no convolutions, and the
ring of keys and values is an input that somebody else keeps, so that nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

OPSET, IR_VERSION = 20, 10


class _Graph:
    """Nodes and weights under construction; every method returns the name of its result."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._random = np.random.default_rng(seed)

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: np.ndarray[Any, Any]) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def random(self, *shape: int) -> str:
        deviation = shape[0] ** -0.5
        return self.constant((self._random.standard_normal(shape) * deviation).astype(np.float32))

    def norm(self, x: str, width: int) -> str:
        ones, zeros = self.constant(np.ones(width, np.float32)), self.constant(np.zeros(width, np.float32))
        return str(self.node("LayerNormalization", x, ones, zeros, axis=-1, epsilon=1e-5))

    def layer(self, x: str, keys: str, values: str, config: dict[str, Any]) -> str:
        """x [1, dimension]; keys [heads, head_dim, context - 1]; values [heads, context - 1, head_dim]."""
        d, head_dim, context = config["dimension"], config["head_dim"], config["context"]
        heads = d // head_dim
        split = self.constant(np.array([d, d, d], np.int64))
        qkv = self.node("MatMul", self.norm(x, d), self.random(d, 3 * d))
        per_head = self.constant(np.array([heads, 1, head_dim], np.int64))
        q, k, v = (self.node("Reshape", part, per_head) for part in self.node("Split", qkv, split, outputs=3, axis=-1))
        q = self.node("Mul", q, self.constant(np.float32(head_dim**-0.5)))
        new = self.node("MatMul", q, self.node("Transpose", k, perm=[0, 2, 1]))
        weights = self.node("Softmax", self.node("Concat", self.node("MatMul", q, keys), new, axis=-1), axis=-1)
        parts = self.constant(np.array([context - 1, 1], np.int64))
        old, last = self.node("Split", weights, parts, outputs=2, axis=-1)
        mixed = self.node("Add", self.node("MatMul", old, values), self.node("Mul", last, v))
        row = self.node("Reshape", mixed, self.constant(np.array([1, d], np.int64)))
        x = self._residual(x, self.node("MatMul", row, self.random(d, d)), d)
        hidden = self.node("MatMul", self.norm(x, d), self.random(d, config["feedforward"]))
        narrow = self.node("MatMul", self.node("Gelu", hidden), self.random(config["feedforward"], d))
        return self._residual(x, narrow, d)

    def _residual(self, x: str, y: str, width: int) -> str:
        return str(self.node("Add", x, self.node("Mul", y, self.constant(np.full(width, 0.1, np.float32)))))


def write_step(config: dict[str, Any], layers: int, path: Path) -> None:
    """An ONNX file with inputs ``x``, ``keys_<i>`` and ``values_<i>`` and one output, [1, dimension]."""
    graph = _Graph(0)
    d, head_dim, past = config["dimension"], config["head_dim"], config["context"] - 1
    heads = d // head_dim
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, d])]
    x = "x"
    for i in range(layers):
        keys, values = f"keys_{i}", f"values_{i}"
        inputs.append(helper.make_tensor_value_info(keys, TensorProto.FLOAT, [heads, head_dim, past]))
        inputs.append(helper.make_tensor_value_info(values, TensorProto.FLOAT, [heads, past, head_dim]))
        x = graph.layer(x, keys, values, config)
    output = helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, d])
    body = helper.make_graph(graph.nodes, "step", inputs, [output], graph.weights)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def quantise(source: Path, out: Path) -> None:
    """Dynamic quantisation, int8 weights with a scale per output."""
    quantize_dynamic(source, out, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])


def load_step(path: Path, threads: int) -> Callable[[], np.ndarray[Any, Any]]:
    """The graph as a function of nothing: the same random inputs each time."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    feeds = {i.name: random.standard_normal(i.shape).astype(np.float32) for i in session.get_inputs()}

    def step() -> np.ndarray[Any, Any]:
        result: np.ndarray[Any, Any] = session.run(None, feeds)[0]
        return result

    return step
