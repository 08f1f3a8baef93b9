"""Layers that the architectures share, computing what Keras' layers of the same name compute."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

GLOROT_UNIFORM = nnx.initializers.glorot_uniform()
"""Keras' way to start kernels: uniform in ±sqrt(6 / (fan in + fan out)); biases start at zero."""


SMALL_MAP = 8
"""Below this height and width XLA's convolution on CPUs loses to a matrix product over patches, at
2 by 2 by a hundred times (`benchmarks/convolution.py`)."""


EPSILON = 1e-3
"""Added to variances; Keras' own number for batch normalisation."""


@dataclass(frozen=True)
class Maker:
    """Makes the layers of a network, all from the same settings and randomness.

    Attributes:
        rngs: source of the random kernels.
        channels: of a picture, so many that a network of ours looks at; those that ImageNet weights
            exist for look at all three.
        dtype: type that convolutions compute in.
        momentum: how slowly batch statistics are averaged.
        dropped: share of units dropped in training.
    """

    rngs: nnx.Rngs
    channels: int = 3
    dtype: DTypeLike = jnp.float32
    momentum: float = 0.99
    dropped: float = 0.5

    def conv(self, in_features: int, out_features: int, size: int, **how: Any) -> "Conv":
        """Returns a convolution, with its stride, padding and bias if they are given."""
        return Conv(in_features, out_features, size, **how, dtype=self.dtype, rngs=self.rngs)

    def separable(self, in_features: int, out_features: int) -> "SeparableConv":
        """Returns a separable convolution."""
        return SeparableConv(in_features, out_features, dtype=self.dtype, rngs=self.rngs)

    def norm(self, features: int, epsilon: float = EPSILON) -> nnx.BatchNorm:
        """Returns a batch normalisation, whose mode has yet to be chosen."""
        return batch_norm(features, momentum=self.momentum, epsilon=epsilon, rngs=self.rngs)

    def dense(self, in_features: int, out_features: int) -> nnx.Linear:
        """Returns a fully connected layer."""
        return dense(in_features, out_features, rngs=self.rngs)

    def dropout(self) -> nnx.Dropout:
        """Returns a dropout, whose mode has yet to be chosen."""
        return nnx.Dropout(self.dropped, deterministic=None)


class Conv(nnx.Module):
    """Convolution of pictures with a square kernel, channels last.

    Args:
        in_features: channels of the input.
        out_features: channels of the output.
        size: height and width of the kernel.
        stride: steps between neighbouring outputs, in both directions.
        padding: zeros added on each of the four sides. Keras' "same" at stride 2 pads only right
            and below, so that it has to be said.
        bias: whether a number is added to each channel.
        dtype: type to compute in; kernel and bias are kept in float32.
        rngs: source of the random kernel.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shape = (size, size, in_features, out_features)
        self.kernel = nnx.Param(GLOROT_UNIFORM(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(out_features, jnp.float32)) if bias else None
        self.stride, self.padding, self.dtype = stride, padding, dtype

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j d"]:
        """Returns the convolved maps, in the type that is computed in."""
        x, kernel = x.astype(self.dtype), self.kernel[...].astype(self.dtype)
        convolve = _pointwise if kernel.shape[:2] == (1, 1) and not self.padding else _spatial
        y = convolve(x, kernel, self.stride, self.padding)
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)[None, None, None]


class SeparableConv(nnx.Module):
    """A 3x3 convolution of each channel by itself, then a 1x1 convolution across them; no bias.

    The maps keep their size: a zero is added on each side. Kernels have Keras' shapes.

    Args:
        in_features: channels of the input.
        out_features: channels of the output.
        dtype: type to compute in; kernels are kept in float32.
        rngs: source of the random kernels.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shapes = (3, 3, in_features, 1), (1, 1, in_features, out_features)
        depthwise, pointwise = (GLOROT_UNIFORM(rngs.params(), shape) for shape in shapes)
        self.depthwise_kernel = nnx.Param(depthwise)
        self.pointwise_kernel = nnx.Param(pointwise)
        self.dtype = dtype

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w d"]:
        """Returns the convolved maps, in the type that is computed in."""
        x = _depthwise(x.astype(self.dtype), self.depthwise_kernel[...])
        kernel = self.pointwise_kernel[...].astype(self.dtype)
        return _pointwise(x.astype(self.dtype), kernel, 1, 0)


def batch_norm(features: int, *, momentum: float, epsilon: float, rngs: nnx.Rngs) -> nnx.BatchNorm:
    """Returns a batch normalisation with Keras' arithmetic, whose mode has yet to be chosen.

    It computes in float32 whatever comes in, and raises unless `nnx.view` has set its mode.
    """
    return nnx.BatchNorm(
        features,
        use_running_average=None,
        momentum=momentum,
        epsilon=epsilon,
        dtype=jnp.float32,
        use_fast_variance=False,  # mean of squares minus squared mean cancels in float32
        rngs=rngs,
    )


def max_pool(
    x: Float[Array, "n h w c"], size: int = 2, padding: int | Literal["SAME"] = 0
) -> Array:
    """Returns the greatest of each square of this size, at stride 2, of padded maps."""
    if x.dtype == jnp.bfloat16:
        # XLA of jaxlib 0.12.0.1 on CPUs makes NaN of two convolutions, ReLU and this as one.
        x = jax.lax.optimization_barrier(x)
    pads = padding if isinstance(padding, str) else ((padding, padding), (padding, padding))
    pooled: Array = nnx.max_pool(x, (size, size), strides=(2, 2), padding=pads)
    return pooled


def dense(in_features: int, out_features: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """Returns a fully connected layer in float32 that starts as Keras' does."""
    return nnx.Linear(in_features, out_features, kernel_init=GLOROT_UNIFORM, rngs=rngs)


def _pointwise(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    # On CPUs a matrix product mostly beats XLA's convolution (`benchmarks/conv1x1.py`).
    return jnp.dot(x[:, ::stride, ::stride], kernel[0, 0])


def _spatial(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    if stride == 1 and max(x.shape[1:3]) < SMALL_MAP and jax.default_backend() == "cpu":
        return _over_patches(x, kernel, padding)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _over_patches(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    size, _, _, features = kernel.shape
    patches = jnp.concatenate(_windows(x, size, padding), axis=-1)
    return jnp.dot(patches, kernel.reshape(-1, features))


def _depthwise(x: jax.Array, kernel: jax.Array) -> jax.Array:
    # On CPUs five to twenty times as quick, with its gradient, as XLA's grouped convolution
    # (`benchmarks/convolution.py`). The kernel stays in float32, and so does the sum.
    taps = kernel.reshape(9, 1, 1, 1, -1)
    return sum(tap * window for tap, window in zip(taps, _windows(x, 3, 1), strict=True))


def _windows(x: jax.Array, size: int, padding: int) -> list[jax.Array]:
    """Returns, for each place in the kernel, the part of the maps that it meets."""
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    height, width = (side - size + 1 for side in x.shape[1:3])
    return [
        x[:, row : row + height, column : column + width]
        for row in range(size)
        for column in range(size)
    ]
