"""A perceptron with one hidden layer: training in NumPy, seeded, and its ONNX form.

Small enough to write out: Adam (Kingma and Ba 2015), cross-entropy, weight decay, and features
dropped at random, so that no answer hangs on a single word or header.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


class Perceptron:
    """`softmax` or `sigmoid` of `relu(x W1 + b1) W2 + b2`; without a hidden layer, of `x W + b`."""

    def __init__(self, inputs, hidden, outputs, seed):
        self.random = np.random.default_rng(seed)
        self.parameters = []
        for rows, columns in [(inputs, hidden), (hidden, outputs)] if hidden else [(inputs, outputs)]:
            # The deviation that keeps signals alive through a ReLU: He et al. 2015.
            weights = self.random.normal(0, np.sqrt(2.0 / rows), (rows, columns))
            self.parameters += [weights.astype(np.float32), np.zeros(columns, np.float32)]

    def predict(self, x):
        return activation(self.scores(x))

    def scores(self, x):
        """What goes into the activation."""
        *hidden, weights, bias = self.parameters
        for layer, offset in zip(hidden[::2], hidden[1::2], strict=True):
            x = np.maximum(x @ layer + offset, 0)
        return x @ weights + bias

    def fit(self, x, y, weight, epochs, dropped=0.0, rate=2e-3, decay=1e-4, batch=256):
        """`y` has a column for each output; a row's weight scales its loss."""
        moments = [(np.zeros_like(parameter), np.zeros_like(parameter)) for parameter in self.parameters]
        weight = (weight / weight.mean()).astype(np.float32)
        steps = epochs * -(-len(x) // batch)
        step = 0
        for _ in range(epochs):
            order = self.random.permutation(len(x))
            for start in range(0, len(x), batch):
                step += 1
                rows = order[start : start + batch]
                kept = x[rows].astype(np.float32) * (
                    self.random.integers(0, 256, (len(rows), x.shape[1]), np.uint8) >= 256 * dropped
                )
                gradients = self.gradients(kept, y[rows], weight[rows])
                self.adam(gradients, moments, step, rate * (1 - step / (steps + 1)), decay)
        return self

    def gradients(self, x, y, weight):
        if len(self.parameters) == 2:
            error = (self.predict(x) - y) * weight[:, None] / len(x)
            return [x.T @ error, error.sum(0)]
        w1, b1, w2, b2 = self.parameters
        hidden = np.maximum(x @ w1 + b1, 0)
        # Softmax with cross-entropy and sigmoid with log loss have the same derivative.
        error = (activation(hidden @ w2 + b2) - y) * weight[:, None] / len(x)
        back = (error @ w2.T) * (hidden > 0)
        return [x.T @ back, back.sum(0), hidden.T @ error, error.sum(0)]

    def adam(self, gradients, moments, step, rate, decay):
        for parameter, gradient, (first, second) in zip(self.parameters, gradients, moments, strict=True):
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient * gradient - second)
            unbiased = (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
            parameter -= rate * (unbiased + (decay * parameter if parameter.ndim == 2 else 0))

    def scaled(self, mean, deviation):
        """The same network for inputs that are not standardised: the scaling moves into layer one."""
        first, offset, *rest = self.parameters
        return self.of([first / deviation[:, None], offset - (mean / deviation) @ first, *rest])

    def stretched(self, slope, offset):
        """The network whose scores are `slope` times these plus `offset`."""
        *rest, weights, bias = self.parameters
        return self.of([*rest, weights * slope, bias * slope + offset])

    def of(self, parameters):
        """A network of these parameters."""
        network = Perceptron.__new__(Perceptron)
        network.parameters = [values.astype(np.float32) for values in parameters]
        return network

    def onnx_nodes(self, source, sink):
        """Nodes and weights that compute `sink` from `source`."""
        names = [f"{sink}.{name}" for name in ("w1", "b1", "w2", "b2")]
        one = len(self.parameters[3]) == 1
        *first, second, offset = self.parameters
        # Of two vectors tract packs the one on the left for a matrix of sixteen rows, each time if it is the input.
        stored = [*first, second.T if one else second, offset]
        weights = [numpy_helper.from_array(np.ascontiguousarray(values), name) for values, name in zip(stored, names, strict=True)]
        hidden, rectified, scores = (f"{sink}.{name}" for name in ("hidden", "rectified", "scores"))
        ends = [names[2], rectified] if one else [rectified, names[2]]
        nodes = [
            helper.make_node("Gemm", [source, names[0], names[1]], [hidden], f"{sink}.layer1"),
            helper.make_node("Relu", [hidden], [rectified], f"{sink}.relu"),
            helper.make_node("Gemm", [*ends, names[3]], [scores], f"{sink}.layer2", **({"transB": 1} if one else {})),
            helper.make_node("Sigmoid" if one else "Softmax", [scores], [sink], f"{sink}.activation"),
        ]
        return nodes, weights


def activation(scores):
    """The sigmoid of a single output, the softmax of several."""
    if scores.shape[1] == 1:
        return 1 / (1 + np.exp(-scores))
    exponents = np.exp(scores - scores.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


def onnx_model(heads):
    """One model of all heads: `(input, output, network)` each."""
    nodes, weights, inputs, outputs = [], [], [], []
    for source, sink, network in heads:
        head_nodes, head_weights = network.onnx_nodes(source, sink)
        nodes += head_nodes
        weights += head_weights
        inputs.append(tensor(source, network.parameters[0].shape[0]))
        outputs.append(tensor(sink, network.parameters[3].shape[0]))
    graph = helper.make_graph(nodes, "plimsoll", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="plimsoll")
    model.ir_version = 8
    return model


def tensor(name, width):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width])
