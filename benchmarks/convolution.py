"""Times XLA's 3x3 convolutions against what replaces them, forward and gradient.

    python benchmarks/convolution.py

Prints CPU milliseconds (all threads added up, the least of three after warm-up) at the map sizes
of ResNet50, then channel by channel at those of Xception. Seen on 2 shared x86 cores, 2026-11-22,
jax 0.10.2: gradient at 2x2x512, batch 32: 1552 against 15; at 7x7x512, batch 8: 55 against 42; at
56x56x64, batch 8: 79 against 150. Channel by channel, batch 8: at 14x14x728: 224 against 29; at
37x37x728: 4187 against 201.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from flax_glitch.models.layers import _depthwise, _over_patches

SHAPES = ((32, 2, 512), (32, 4, 256), (32, 8, 128), (8, 7, 512), (8, 14, 256), (8, 56, 64))

DEPTHWISE = ((8, 5, 728), (8, 14, 728), (8, 37, 728), (8, 74, 128))


def convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns XLA's own convolution."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def over_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns the same by a matrix product."""
    return _over_patches(x, kernel, 1)


def grouped(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns XLA's own convolution of each channel by itself."""
    return jax.lax.conv_general_dilated(
        x,
        kernel.swapaxes(2, 3),
        (1, 1),
        ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def cpu_milliseconds(function: Callable[..., object], *arguments: jax.Array) -> float:
    """Returns the least CPU time of three calls."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(3):
        start = time.process_time()
        jax.block_until_ready(function(*arguments))
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def main() -> None:
    """Prints the table."""
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}")
    for shape in SHAPES:
        compare(shape, shape[-1], (convolution, over_patches))
    for shape in DEPTHWISE:
        compare(shape, 1, (grouped, _depthwise))


def compare(
    shape: tuple[int, int, int], out_features: int, functions: tuple[Callable[..., jax.Array], ...]
) -> None:
    """Prints a row of the table."""
    batch, side, features = shape
    x = jax.random.normal(jax.random.key(0), (batch, side, side, features))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, features, out_features))
    row = [f"{batch} x {side} x {side} x {features}"]
    for function in functions:
        gradient = jax.grad(lambda x, k, f=function: jnp.sum(f(x, k) ** 2), argnums=(0, 1))
        forward = cpu_milliseconds(jax.jit(function), x, kernel)
        backward = cpu_milliseconds(jax.jit(gradient), x, kernel)
        row.append(f"{function.__name__}: {forward:.0f} forward, {backward:.0f} gradient")
    print("; ".join(row), flush=True)


if __name__ == "__main__":
    main()
