"""Functions of JAX and modules of Flax for the tests: each function is a factory."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx


def example(*shape: int) -> Any:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def weights(*shape: int, seed: int = 1) -> Any:
    return jax.random.normal(jax.random.key(seed), shape) / np.sqrt(shape[0])


def mlp() -> Any:
    first, second = weights(16, 32), weights(32, 4, seed=2)

    def classify(features: Any) -> Any:
        logits = jnp.tanh(features @ first) @ second
        return {"logits": logits, "label": jnp.argmax(logits, axis=-1)}

    return classify, (example(3, 16),)


def tree_of_inputs() -> Any:
    def add(pair: Any, scale: Any) -> Any:
        return pair["left"] * scale + pair["right"], (pair["left"] > pair["right"],)

    pair = {"left": example(2, 5), "right": example(2, 5)[::-1]}
    return add, (pair, np.float32([2.0]))


def fixed_number() -> Any:
    return (lambda x, power: x**power), (example(2, 5), 3)


def shapes_only() -> Any:
    return (lambda x: jnp.exp(-x)), (jax.ShapeDtypeStruct(("rows", 7), jnp.float32),)


def same_output_twice() -> Any:
    def both(x: Any, unused: Any) -> Any:
        del unused
        y = jnp.sin(x)
        return y, y, x

    return both, (example(2, 3), example(4))


def recurrence() -> Any:
    matrix = weights(16, 16)

    def run(x: Any) -> Any:
        def step(state: Any, item: Any) -> Any:
            state = jnp.tanh(item + state @ matrix)
            return state, state

        last, states = jax.lax.scan(step, jnp.zeros((x.shape[0], 16)), jnp.swapaxes(x, 0, 1))
        return {"last": last, "states": jnp.swapaxes(states, 0, 1)}

    return run, (example(2, 5, 16),)


class LinenCnn(linen.Module):
    @linen.compact
    def __call__(self, image: Any) -> Any:
        x = linen.relu(linen.Conv(8, (3, 3))(image))
        x = linen.avg_pool(x, (2, 2), (2, 2))
        x = linen.BatchNorm(use_running_average=True)(x)
        x = linen.max_pool(linen.relu(linen.Conv(8, (3, 3))(x)), (2, 2), strides=(2, 2))
        return linen.Dense(10)(x.reshape((x.shape[0], -1)))


def perturbed(variables: Any) -> Any:
    """Batch statistics that are not the identity."""
    leaves, tree = jax.tree.flatten(variables)
    random = np.random.default_rng(9)
    moved = [leaf + np.float32(0.1) * random.random(leaf.shape, np.float32) for leaf in leaves]
    return jax.tree.unflatten(tree, moved)


def linen_cnn() -> Any:
    module, image = LinenCnn(), example(2, 8, 8, 3)
    return module, perturbed(module.init(jax.random.key(0), image)), (image,)


class Block(linen.Module):
    @linen.compact
    def __call__(self, tokens: Any) -> Any:
        normed = linen.LayerNorm()(tokens)
        tokens = tokens + linen.MultiHeadDotProductAttention(num_heads=4)(normed, normed)
        normed = linen.LayerNorm()(tokens)
        return tokens + linen.Dense(32)(linen.gelu(linen.Dense(64)(normed)))


def attention() -> Any:
    module, tokens = Block(), example(2, 6, 32)
    return module, perturbed(module.init(jax.random.key(0), tokens)), (tokens,)


class NnxCnn(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(8 * 16, 10, rngs=rngs)

    def __call__(self, image: Any) -> Any:
        x = nnx.relu(self.norm(self.conv(image)))
        x = nnx.max_pool(x, (2, 2), strides=(2, 2))
        return self.head(self.drop(x.reshape(x.shape[0], -1)))


def nnx_cnn() -> Any:
    module = NnxCnn(nnx.Rngs(0))
    module.norm.mean[...] = jnp.linspace(-0.2, 0.3, 8)
    module.norm.var[...] = jnp.linspace(0.5, 2, 8)
    return module


def nnx_cnn_with_example() -> Any:
    return nnx_cnn(), (example(2, 8, 8, 3),)


def function_alone() -> Any:
    return lambda x: jnp.log1p(jnp.abs(x))


def python_branch() -> Any:
    def choose(x: Any) -> Any:
        return x if x.sum() > 0 else -x

    return choose, (example(3, 4),)


def random_numbers() -> Any:
    return (lambda x: x + jax.random.normal(jax.random.key(0), x.shape)), (example(3, 4),)


def a_key() -> Any:
    return (lambda key, x: x), (jax.random.key(0), example(3))


def linen_without_variables() -> Any:
    return LinenCnn(), (example(2, 8, 8, 3),)


def a_number() -> Any:
    return 7
