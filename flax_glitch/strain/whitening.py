"""Whitening: strain divided by the noise that is usual at each frequency."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float

SAMPLE_RATE = 8192
"""Samples a second. The highest tile reaches to 3.3 kHz, so that more would be idle."""

WHITENING = 2
"""Seconds: length of the segments of the noise spectrum and of the whitening filter."""

MEDIAN_BITS = 11
"""Bits of a median's fraction that are looked for."""


def whiten(strain: Float[Array, " sample"]) -> Complex[Array, " bin"]:
    """Returns the Fourier transform of strain over its amplitude spectral density: variance 1.

    The density is the median over Hann windows that overlap by half, so that the event itself
    hardly counts; the filter is cut to `WHITENING` seconds. The first and last second fade.
    """
    length = WHITENING * SAMPLE_RATE
    hann = jnp.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length), strain.dtype)
    segments = jnp.reshape(strain, (-1, length // 2))
    segments = jnp.concatenate([segments[:-1], segments[1:]], axis=1)
    segments = segments - segments.mean(1, keepdims=True)
    waves = jnp.fft.rfft(segments * hann[None])
    powers = jnp.square(waves.real) + jnp.square(waves.imag)
    density = median(powers, axis=0) / np.log(2) / jnp.sum(hann**2)
    return jnp.fft.rfft(fade(strain)) * _whitening(density, len(strain))


def _whitening(density: Float[Array, " frequency"], samples: int) -> Float[Array, " bin"]:
    """Returns the whitening filter at the frequencies of a block of so many samples.

    Cutting its response to `WHITENING` seconds by a Hann window means smoothing over frequency.
    That is how it is done, since the response spans more orders of magnitude than float32 has
    digits.
    """
    finer = 4 * WHITENING  # steps a Hz
    ideal = 1 / _finer(jnp.sqrt(density), 4)
    lags = np.arange(-4 * finer, 4 * finer + 1) / finer
    sincs = [np.sinc(WHITENING * lags + shift) for shift in (0, -1, 1)]
    hann = (sincs[0] + sincs[1] / 2 + sincs[2] / 2) / finer
    padded = jnp.pad(ideal, len(lags) // 2, mode="reflect")
    smooth = jnp.convolve(padded, jnp.asarray(hann, density.dtype), "valid")
    return _finer(smooth, samples // 2 // (len(smooth) - 1))


def _finer(values: Float[Array, " few"], parts: int) -> Float[Array, " many"]:
    """Returns values with `parts` - 1 more between each two, linear in between."""
    share = jnp.asarray(np.arange(parts) / parts, values.dtype)[None]
    between = values[:-1, None] * (1 - share) + values[1:, None] * share
    return jnp.append(between.ravel(), values[-1])


def median(values: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Returns the median of positive numbers along an axis, right to 1 part in 4,000.

    Sorting is slow in XLA on CPU (12 times this here). Positive floats are ordered as their bits
    are, so the median's leading bits are found one after the other, by counting the values below
    a trial. Of an even number it is the lower one of the two in the middle.
    """
    integer = jnp.int64 if values.dtype == jnp.float64 else jnp.int32
    spare = jnp.finfo(values.dtype).nmant - MEDIAN_BITS
    leading = jnp.finfo(values.dtype).bits - 1 - spare
    patterns = lax.bitcast_convert_type(values, integer)
    half = (values.shape[axis] + 1) // 2

    def set_bit(number: Array, found: Array) -> Array:
        place = jnp.asarray(leading - 1 - number + spare, integer)
        trial = found | (jnp.ones_like(found) << place)
        below = jnp.sum(patterns < jnp.expand_dims(trial, axis), axis, dtype=jnp.int32)
        return jnp.where(below < half, trial, found)

    found = lax.fori_loop(0, leading, set_bit, jnp.zeros_like(jnp.take(patterns, 0, axis)))
    return lax.bitcast_convert_type(found | (1 << (spare - 1)), values.dtype)


def fade(values: Array, samples: int = SAMPLE_RATE) -> Array:
    """Returns values that rise from 0 and fall to 0 at the ends (Tukey's window)."""
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(samples) + 0.5) / samples)
    window = np.ones(len(values))
    window[:samples], window[-samples:] = rise, rise[::-1]
    return values * jnp.asarray(window, values.dtype)
