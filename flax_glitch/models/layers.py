"""Layers that the architectures share, computing what Keras' layers of the same name compute."""

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


class Conv(nnx.Module):
    """Convolution of pictures with a square kernel and a bias, channels last.

    Args:
        in_features: channels of the input.
        out_features: channels of the output.
        size: height and width of the kernel.
        stride: steps between neighbouring outputs, in both directions.
        padding: zeros added on each of the four sides. Keras' "same" at stride 2 pads only right
            and below, so that it has to be said.
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
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        shape = (size, size, in_features, out_features)
        self.kernel = nnx.Param(GLOROT_UNIFORM(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(out_features, jnp.float32))
        self.stride, self.padding, self.dtype = stride, padding, dtype

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j d"]:
        """Returns the convolved maps, in the type that is computed in."""
        x, kernel, bias = (
            array.astype(self.dtype) for array in (x, self.kernel[...], self.bias[...])
        )
        convolve = _pointwise if kernel.shape[:2] == (1, 1) and not self.padding else _spatial
        return convolve(x, kernel, self.stride, self.padding) + bias[None, None, None]


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
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    height, width = (side - size + 1 for side in x.shape[1:3])
    patches = [
        x[:, row : row + height, column : column + width]
        for row in range(size)
        for column in range(size)
    ]
    return jnp.dot(jnp.concatenate(patches, axis=-1), kernel.reshape(-1, features))
