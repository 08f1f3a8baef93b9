"""Times ResNet50 with its 1x1 convolutions as matrix products and as XLA's convolutions.

    python benchmarks/conv1x1.py [--size 224] [--batch 32]

Prints pictures a second of the forward pass, of a training step with stem to conv4 frozen, and of a
step that trains everything. On CPUs the matrix products should be the faster ones.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from flax_glitch.config import ModelConfig
from flax_glitch.models import layers
from flax_glitch.models.classifier import Classifier, build, inference_mode, split, training_mode

REPEATS = 5


def main() -> None:
    """Prints one line a variant and kind of work."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    given = parser.parse_args()
    views = jax.random.normal(jax.random.key(0), (given.batch, 1, given.size, given.size, 3))
    model = build(ModelConfig(), rngs=nnx.Rngs(0))
    print(f"JAX {jax.__version__}, {jax.devices()[0].device_kind}, {model.backbone.dtype.__name__}")
    for name, pointwise in (("product", layers._pointwise), ("convolution", convolution)):
        layers._pointwise = pointwise
        for work, run in runs(model, views).items():
            rate = given.batch / best_time(run)
            print(f"{given.size} px, 1x1 as {name:11}  {work:14} {rate:8.1f} pictures/s")


def convolution(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """Returns XLA's own 1x1 convolution."""
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def runs(model: Classifier, views: jax.Array) -> dict[str, Callable[[], Any]]:
    """Returns the kinds of work to be timed."""
    graph, state = nnx.split(inference_mode(model))
    forward = jax.jit(lambda state, views: nnx.merge(graph, state)(views, there(views)))
    return {
        "forward": partial(forward, state, views),
        "conv5 and head": training_step(model, views, train_all=False),
        "everything": training_step(model, views, train_all=True),
    }


def there(views: jax.Array) -> jax.Array:
    """Returns a mask of views that are all there."""
    return jnp.ones(views.shape[:2], bool)


def training_step(model: Classifier, views: jax.Array, *, train_all: bool) -> Callable[[], Any]:
    """Returns a function that computes the gradients of one training step."""
    graph, *state = split(training_mode(model, train_all=train_all), train_all=train_all)

    @jax.jit
    def step(
        trainable: nnx.State, frozen: nnx.State, statistics: nnx.State, views: jax.Array
    ) -> tuple[Any, nnx.State]:
        def loss(trainable: nnx.State) -> tuple[jax.Array, nnx.State]:
            model = nnx.merge(graph, trainable, frozen, statistics, copy=True)
            logits = model(views, there(views), jax.random.key(0))
            return -jnp.mean(jax.nn.log_softmax(logits)[..., 0]), nnx.state(model, nnx.BatchStat)

        return jax.grad(loss, has_aux=True)(trainable)

    return partial(step, *state, views)


def best_time(run: Callable[[], Any]) -> float:
    """Returns the least of a few times of a function that is compiled before, in seconds."""
    jax.block_until_ready(run())
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
