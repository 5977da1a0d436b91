#!/usr/bin/env python3
"""The cases with PyTorch, JAX and NumPy: a twin of the Rust peers, with the same inputs, checks and JSON lines.

    python3 peers.py --system torch|jax|numpy [--filter SUBSTRING] [--json] [--seconds S]

torch runs on CUDA where there is one, else on the CPU, and so does jax. Each needs its package; nothing else is needed.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time

import numpy as np

ROWS, COLS = 4096, 1024
MATMUL_SIZES = [256, 512, 1024, 2048]
MLPS = {"mlp_train_step": (256, [784, 512, 512, 10]), "mlp_small_step": (64, [64, 128, 10])}
LEARNING_RATE = 0.01
LAYERNORM_EPS = 1e-5
CONV_INPUT, CONV_WEIGHT, CONV_OUTPUT = (32, 32, 28, 28), (64, 32, 3, 3), (32, 64, 28, 28)
ATTENTION = (8, 8, 256, 64)
ADAMW_TENSORS, ADAMW_SHAPE = 60, (4, 16_667)
ADAMW = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "decay": 0.01}
FIRST_STEP_LINE = "first step done"


# --- inputs: the same numbers as in harness/src/cases.rs ---


def mix(n, seed):
    with np.errstate(over="ignore"):
        z = (np.uint64(seed << 32) + np.arange(1, n + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def hashed(shape, seed):
    n = math.prod(shape) if isinstance(shape, tuple) else shape
    values = (mix(n, seed) >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    return values.reshape(shape)


def mlp_inputs(case):
    batch, sizes = MLPS[case]
    labels = (mix(batch, 2) % np.uint64(sizes[-1])).astype(np.int64)
    layers = []
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        scale = np.float32(1) / np.sqrt(np.float32(inputs))
        layers.append((hashed((inputs, outputs), 10 + i) * scale, hashed(outputs, 20 + i) * scale))
    return hashed((batch, sizes[0]), 1), labels, layers


def adamw_inputs():
    parameters = [hashed(ADAMW_SHAPE, 100 + i) for i in range(ADAMW_TENSORS)]
    gradients = [hashed(ADAMW_SHAPE, 200 + i) for i in range(ADAMW_TENSORS)]
    return parameters, gradients


# --- the systems: each case gives a function that does the work once and returns a number read back ---


class Numpy:
    def __init__(self):
        self.system, self.device = "numpy", "cpu"

    def version(self):
        return np.__version__

    def matmul(self, a, b):
        return lambda: (a @ b)[-1, -1]

    def mlp(self, x, labels, layers):
        return lambda: numpy_mlp_step(x, labels, layers)

    def softmax(self, x):
        def step():
            e = np.exp(x - x.max(axis=1, keepdims=True))
            e /= e.sum(axis=1, keepdims=True)
            return e[-1, -1]

        return step

    def bias_add_relu(self, x, bias):
        def step():
            y = x + bias
            return np.maximum(y, 0, out=y)[-1, -1]

        return step

    def layernorm(self, x, gamma, beta):
        def step():
            y = x - x.mean(axis=1, keepdims=True)
            y /= np.sqrt((y * y).mean(axis=1, keepdims=True) + np.float32(LAYERNORM_EPS))
            y *= gamma
            y += beta
            return y[-1, -1]

        return step

    def adamw(self, parameters, gradients):
        moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
        lr, beta1, beta2, eps, decay = ADAMW.values()
        t = 0

        def step():
            nonlocal t
            t += 1
            for p, g, (m, v) in zip(parameters, gradients, moments):
                m *= beta1
                m += (1 - beta1) * g
                v *= beta2
                v += (1 - beta2) * (g * g)
                p *= 1 - lr * decay
                p -= lr / (1 - beta1**t) * m / (np.sqrt(v / (1 - beta2**t)) + eps)
            return parameters[-1][-1, -1]

        return step


def numpy_mlp_step(x, labels, layers):
    """One step by hand; updates the layers in place. In float64 it also says what the others must give."""
    hidden = [x]
    for w, b in layers[:-1]:
        hidden.append(np.maximum(hidden[-1] @ w + b, 0))
    w, b = layers[-1]
    logits = hidden[-1] @ w + b
    logits -= logits.max(axis=1, keepdims=True)
    gradient = np.exp(logits)
    sums = gradient.sum(axis=1, keepdims=True)
    each = np.arange(len(labels))
    loss = (np.log(sums[:, 0]) - logits[each, labels]).mean()
    gradient /= sums
    gradient[each, labels] -= 1
    gradient /= len(labels)
    for h, (w, b) in zip(reversed(hidden), reversed(layers)):
        dw, db = h.T @ gradient, gradient.sum(axis=0)
        if h is not x:
            gradient = (gradient @ w.T) * (h > 0)
        w -= LEARNING_RATE * dw
        b -= LEARNING_RATE * db
    return loss


def lasts(gradients):
    """The sum of the last elements: all of them are read, so none can be left out."""
    return sum(gradient[-1, -1, -1, -1].item() for gradient in gradients)


class Torch:
    def __init__(self):
        import torch

        self.torch = torch
        # Plain f32 everywhere: TF32 would be fewer digits.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        cuda = torch.cuda.is_available()
        self.on = torch.device("cuda" if cuda else "cpu")
        self.system = "torch-cuda" if cuda else "torch-cpu"
        self.device = torch.cuda.get_device_name() if cuda else "cpu"

    def version(self):
        return self.torch.__version__

    def put(self, array):
        return self.torch.from_numpy(array).to(self.on)

    def without_gradients(self, operation):
        """The last element of the operation's result; reading it waits for the device."""
        with_mode = self.torch.inference_mode()
        return with_mode(lambda: operation()[-1, -1].item())

    def matmul(self, a, b):
        a, b = self.put(a), self.put(b)
        return self.without_gradients(lambda: a @ b)

    def mlp(self, x, labels, layers):
        torch = self.torch
        x, labels = self.put(x), self.put(labels)
        modules = []
        for w, b in layers:
            linear = torch.nn.Linear(*w.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(w).t())
                linear.bias.copy_(torch.from_numpy(b))
            modules += [linear, torch.nn.ReLU()]
        model = torch.nn.Sequential(*modules[:-1]).to(self.on)
        sgd = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)

        def step():
            sgd.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(model(x), labels)
            loss.backward()
            sgd.step()
            # The loss is ready before the update is: wait for that too, as for the others.
            if self.on.type == "cuda":
                torch.cuda.synchronize()
            return loss.item()

        return step

    def softmax(self, x):
        x = self.put(x)
        return self.without_gradients(lambda: self.torch.softmax(x, dim=1))

    def bias_add_relu(self, x, bias):
        x, bias = self.put(x), self.put(bias)
        return self.without_gradients(lambda: self.torch.relu_(x + bias))

    def layernorm(self, x, gamma, beta):
        x, gamma, beta = self.put(x), self.put(gamma), self.put(beta)
        layer_norm = self.torch.nn.functional.layer_norm
        return self.without_gradients(lambda: layer_norm(x, (COLS,), gamma, beta, LAYERNORM_EPS))

    def conv2d(self, x, weight, cotangent):
        x, weight = self.put(x).requires_grad_(), self.put(weight).requires_grad_()
        cotangent = self.put(cotangent)
        conv2d, grad = self.torch.nn.functional.conv2d, self.torch.autograd.grad

        def step():
            return lasts(grad(conv2d(x, weight, padding=1), (x, weight), cotangent))

        return step

    def attention(self, q, k, v, cotangent):
        q, k, v = (self.put(x).requires_grad_() for x in (q, k, v))
        cotangent = self.put(cotangent)
        attention, grad = self.torch.nn.functional.scaled_dot_product_attention, self.torch.autograd.grad

        def step():
            return lasts(grad(attention(q, k, v, is_causal=True), (q, k, v), cotangent))

        return step

    def adamw(self, parameters, gradients):
        torch = self.torch
        tensors = [torch.nn.Parameter(self.put(p)) for p in parameters]
        for tensor, gradient in zip(tensors, gradients):
            tensor.grad = self.put(gradient)
        lr, beta1, beta2, eps, decay = ADAMW.values()
        adamw = torch.optim.AdamW(tensors, lr, (beta1, beta2), eps, decay, fused=True)

        def step():
            adamw.step()
            return tensors[-1].detach()[-1, -1].item()

        return step


class Jax:
    def __init__(self):
        import jax

        self.jax = jax
        # Plain f32 everywhere: the default may be TF32 or bfloat16 on an accelerator.
        jax.config.update("jax_default_matmul_precision", "highest")
        self.system, self.device = "jax", jax.devices()[0].device_kind

    def version(self):
        return self.jax.__version__

    def compiled(self, function, *arrays):
        """The last element of what the compiled function gives; it is taken outside, or less would be computed."""
        function = self.jax.jit(function)
        arrays = [self.jax.device_put(a) for a in arrays]
        return lambda: float(function(*arrays)[-1, -1])

    def matmul(self, a, b):
        return self.compiled(lambda a, b: a @ b, a, b)

    def mlp(self, x, labels, layers):
        jax, jnp = self.jax, self.jax.numpy
        x, labels, layers = jax.device_put((x, labels.astype(np.int32), layers))

        def loss_of(layers, x, labels):
            for w, b in layers[:-1]:
                x = jax.nn.relu(x @ w + b)
            w, b = layers[-1]
            logs = jax.nn.log_softmax(x @ w + b)
            return -jnp.take_along_axis(logs, labels[:, None], axis=1).mean()

        def update(layers, x, labels):
            loss, gradients = jax.value_and_grad(loss_of)(layers, x, labels)
            return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, layers, gradients), loss

        update = jax.jit(update, donate_argnums=0)

        def step():
            nonlocal layers
            layers, loss = update(layers, x, labels)
            return float(loss)

        return step

    def softmax(self, x):
        return self.compiled(lambda x: self.jax.nn.softmax(x, axis=1), x)

    def bias_add_relu(self, x, bias):
        return self.compiled(lambda x, bias: self.jax.nn.relu(x + bias), x, bias)

    def layernorm(self, x, gamma, beta):
        def operation(x, gamma, beta):
            mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
            return (x - mean) * self.jax.lax.rsqrt(variance + LAYERNORM_EPS) * gamma + beta

        return self.compiled(operation, x, gamma, beta)

    def adamw(self, parameters, gradients):
        jax, jnp = self.jax, self.jax.numpy
        lr, beta1, beta2, eps, decay = ADAMW.values()

        def one(p, g, m, v, t):
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g * g
            p = p * (1 - lr * decay) - lr * (m / (1 - beta1**t)) / (jnp.sqrt(v / (1 - beta2**t)) + eps)
            return p, m, v

        def update(state, gradients, t):
            return [one(p, g, m, v, t) for (p, m, v), g in zip(state, gradients)]

        update = jax.jit(update, donate_argnums=0)
        state = jax.device_put([(p, np.zeros_like(p), np.zeros_like(p)) for p in parameters])
        gradients = jax.device_put(gradients)
        t = 0.0

        def step():
            nonlocal state, t
            t += 1.0
            state = update(state, gradients, t)
            return float(state[-1][0][-1, -1])

        return step


SYSTEMS = {"torch": Torch, "jax": Jax, "numpy": Numpy}


# --- what must come out, in float64 ---


def wide(*arrays):
    return [a.astype(np.float64) for a in arrays]


def mlp_losses(case):
    x, labels, layers = mlp_inputs(case)
    layers = [tuple(wide(w, b)) for w, b in layers]
    return [numpy_mlp_step(*wide(x), labels, layers) for _ in range(2)]


def adamw_last():
    parameters, gradients = adamw_inputs()
    step = Numpy().adamw(wide(parameters[-1]), wide(gradients[-1]))
    return [float(step()) for _ in range(2)]


def conv2d_last(x, weight, cotangent):
    """The sum of the last elements of the gradients, of the input and of the weight."""
    x, weight, cotangent = wide(x[:, -1], weight[:, -1], cotangent)
    # The input's last element meets the lower right of the weight, in reverse.
    dx = (weight[:, 1:, 1:] * cotangent[-1, :, :-3:-1, :-3:-1]).sum()
    dw = (x[:, 1:, 1:] * cotangent[:, -1, :-1, :-1]).sum()
    return float(dx + dw)


def attention_last(*arrays):
    """The sum of the last elements of the gradients. The last query alone sees the last key, and it sees all."""
    q, k, v, cotangent = wide(*(a[-1, -1] for a in arrays))
    q, cotangent, scale = q[-1], cotangent[-1], 1 / np.sqrt(q.shape[-1])
    weights = np.exp(k @ q * scale)
    weights /= weights.sum()
    dweights = v @ cotangent
    dscores = weights * (dweights - weights @ dweights) * scale
    return float(dscores @ k[:, -1] + dscores[-1] * q[-1] + weights[-1] * cotangent[-1])


def cases(peer):
    """Name, floating-point operations, expected results and a function that prepares the step."""
    for n in MATMUL_SIZES:
        a, b = hashed((n, n), 3), hashed((n, n), 4)
        expected = float(a[-1].astype(np.float64) @ b[:, -1].astype(np.float64))
        yield f"matmul_{n}", 2.0 * n**3, lambda e=expected: [e], lambda a=a, b=b: peer.matmul(a, b)
    for case in MLPS:
        yield case, None, lambda c=case: mlp_losses(c), lambda c=case: peer.mlp(*mlp_inputs(c))
    numpy = Numpy()
    x5, x6, x8 = (hashed((ROWS, COLS), seed) for seed in (5, 6, 8))
    bias, gamma, beta = (hashed(COLS, seed) for seed in (7, 9, 10))
    yield "softmax_rows", None, lambda: [numpy.softmax(*wide(x5[-1:]))()], lambda: peer.softmax(x5)
    yield (
        "bias_add_relu",
        None,
        lambda: [numpy.bias_add_relu(*wide(x6[-1:], bias))()],
        lambda: peer.bias_add_relu(x6, bias),
    )
    yield (
        "layernorm_rows",
        None,
        lambda: [numpy.layernorm(*wide(x8[-1:], gamma, beta))()],
        lambda: peer.layernorm(x8, gamma, beta),
    )
    # With gradients; of the Python systems PyTorch alone has these two.
    if hasattr(peer, "conv2d"):
        x, dy, w = hashed(CONV_INPUT, 11), hashed(CONV_OUTPUT, 12), hashed(CONV_WEIGHT, 13)
        flops = 3 * 2.0 * math.prod(CONV_OUTPUT) * math.prod(CONV_WEIGHT[1:])
        yield "conv2d_3x3", flops, lambda: [conv2d_last(x, w, dy)], lambda: peer.conv2d(x, w, dy)
    if hasattr(peer, "attention"):
        q, k, v, dy4 = (hashed(ATTENTION, seed) for seed in (14, 15, 16, 17))
        flops = 6 * 2.0 * math.prod(ATTENTION) * ATTENTION[2]
        yield "attention_causal", flops, lambda: [attention_last(q, k, v, dy4)], lambda: peer.attention(q, k, v, dy4)
    yield "adamw_step", None, adamw_last, lambda: peer.adamw(*adamw_inputs())


# --- timing and printing, as in harness/src/timing.rs ---


def timed(step):
    start = time.perf_counter()
    got = step()
    return (time.perf_counter() - start) * 1e3, float(got)


def measure(case, step, expected, seconds):
    for i in range(max(3, len(expected))):
        _, got = timed(step)
        if i < len(expected) and not abs(got - expected[i]) <= 1e-4 * max(abs(expected[i]), 1e-3):
            sys.exit(f"{case}: got {got}, expected {expected[i]}")
    times, begun = [], time.perf_counter()
    while len(times) < 5 or (time.perf_counter() - begun < seconds and len(times) < 10_000):
        times.append(timed(step)[0])
    return times


def measure_first_step(args):
    """Milliseconds from the start of a fresh process to its first mlp_train_step. One start is not counted."""
    environment = {**os.environ, "__GL_SHADER_DISK_CACHE": "0", "CUDA_CACHE_DISABLE": "1"}
    command = [sys.executable, "-B", os.path.abspath(__file__), "--system", args.system, "--first-step"]

    def start():
        begun = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            line = child.stdout.readline()
            elapsed = (time.perf_counter() - begun) * 1e3
        if line.rstrip() != FIRST_STEP_LINE or child.returncode != 0:
            sys.exit(f"a fresh process failed ({child.returncode}) and printed {line!r}")
        return elapsed

    start()
    times, begun = [], time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - begun < args.seconds and len(times) < 10):
        times.append(start())
    return times


def report(peer, case, flops, times, as_json):
    median = statistics.median(times)
    if as_json:
        line = {"system": peer.system, "case": case, "median_ms": round(median, 5), "min_ms": round(min(times), 5)}
        line["n"] = len(times)
        if flops:
            line["gflops"] = round(flops / median / 1e6, 2)
        line["device"] = peer.device
        print(json.dumps(line, separators=(",", ":")), flush=True)
    else:
        gflops = f"{flops / median / 1e6:.1f}" if flops else ""
        print(f"{case:<20} {median:>11.3f} {min(times):>11.3f} {len(times):>6} {gflops:>8}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="The benchmark cases with PyTorch, JAX or NumPy.")
    parser.add_argument("--system", choices=SYSTEMS, default="numpy")
    parser.add_argument("--filter", action="append", default=[], help="only cases with this in their names")
    parser.add_argument("--json", action="store_true", help="one JSON line per case")
    parser.add_argument("--seconds", type=float, default=2, help="rough time per case")
    parser.add_argument("--version", action="store_true", help="print the version of the system's package")
    parser.add_argument("--first-step", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    filters = [part for given in args.filter for part in given.split(",")]

    peer = SYSTEMS[args.system]()
    if args.version:
        print(peer.version())
        return
    if args.first_step:
        peer.mlp(*mlp_inputs("mlp_train_step"))()
        print(FIRST_STEP_LINE, flush=True)
        return

    def wanted(case):
        return not filters or any(part in case for part in filters)

    if not args.json:
        print(f"{peer.system} on {peer.device}")
        print(f"{'case':<20} {'median ms':>11} {'min ms':>11} {'n':>6} {'GFLOP/s':>8}")
    for case, flops, expected, prepare in cases(peer):
        if wanted(case):
            report(peer, case, flops, measure(case, prepare(), expected(), args.seconds), args.json)
    if wanted("first_step_ms"):
        report(peer, "first_step_ms", None, measure_first_step(args), args.json)


if __name__ == "__main__":
    main()
