"""Names of the classes of glitches: Gravity Spy's 22 in index order, later ones, and the windows.

A model's own classes are data that travel with it; here is what is known of their names. Classes
and morphologies: Zevin et al. 2017 (CQG 34 064003), Bahaadini et al. 2018; later ones as their
pictures show them, Fast_Scattering by Soni et al. 2021 (CQG 38 195016).
"""

import difflib
from collections.abc import Iterable
from types import MappingProxyType

_ORIGINAL = MappingProxyType(
    {
        "1080Lines": "A row of short bursts near 1080 Hz, all through the window",
        "1400Ripples": "Short blobs near 1400 Hz, about 0.15 s long",
        "Air_Compressor": "A short flat bar near 50 Hz",
        "Blip": "A thin teardrop, 30 to 250 Hz, a few hundredths of a second long",
        "Chirp": "A track that sweeps upwards: what merging black holes look like",
        "Extremely_Loud": "Saturated over all frequencies, often with dark holes inside",
        "Helix": "Stacked blobs like the strand of a helix, near 130 Hz",
        "Koi_Fish": "A loud body with fins at low frequency and a tail: a fish seen from above",
        "Light_Modulation": "Christmas trees: broad spikes with debris at low frequency",
        "Low_Frequency_Burst": "A hump that rises from 10 to about 20 Hz",
        "Low_Frequency_Lines": "Long horizontal lines below about 20 Hz",
        "No_Glitch": "Only detector noise",
        "None_of_the_Above": "A glitch that looks like none of the other classes",
        "Paired_Doves": "Small chirping pairs, up and down, repeated every 0.4 s or so",
        "Power_Line": "A short bar at 60 Hz or one of its harmonics",
        "Repeating_Blips": "Several blips, 0.25 to 0.5 s apart",
        "Scattered_Light": "Arches below about 60 Hz, often stacked",
        "Scratchy": "A band of fine wavy scratches, 60 to 250 Hz",
        "Tomte": "A short triangle at low frequency, like a gnome's hat",
        "Violin_Mode": "Small bursts near 500 Hz and its harmonics",
        "Wandering_Line": "A thin line that wanders in frequency",
        "Whistle": "A steep V or W that dips from several hundred Hz or more",
    }
)
"""Gravity Spy's classes of O1 and O2 in index order, with a line each."""

_LATER = MappingProxyType(
    {
        "70Hz_Line": "A short bar at 70 Hz",
        "Crown": "Two or more arches side by side near 40 Hz, like the points of a crown",
        "Fast_Scattering": "Short arches, about 2 or 4 a second, 20 to 60 Hz",
        "High_Frequency_Burst": "A thin spike from several hundred Hz upwards",
        "Low_Frequency_Blip": "A teardrop below about 100 Hz, lower and broader than a Blip",
        "Pizzicato": "A tiny ring of energy near 500 Hz",
    }
)
"""Classes that Gravity Spy has had since O3."""

MORPHOLOGY = MappingProxyType({**_ORIGINAL, **_LATER})
"""One line on each class that is known, for people who have never seen it."""

CLASSES: tuple[str, ...] = tuple(_ORIGINAL)
"""Gravity Spy's 22 classes in index order: what the simulator makes and the model in the box knows.
"""

INDEX = MappingProxyType({name: number for number, name in enumerate(CLASSES)})
"""The number of each of the 22."""

TRAINING_SET = MappingProxyType(
    {
        "1080Lines": 328,
        "1400Ripples": 81,
        "Air_Compressor": 58,
        "Blip": 1821,
        "Chirp": 60,
        "Extremely_Loud": 447,
        "Helix": 279,
        "Koi_Fish": 706,
        "Light_Modulation": 512,
        "Low_Frequency_Burst": 621,
        "Low_Frequency_Lines": 447,
        "No_Glitch": 150,
        "None_of_the_Above": 81,
        "Paired_Doves": 27,
        "Power_Line": 449,
        "Repeating_Blips": 263,
        "Scattered_Light": 443,
        "Scratchy": 337,
        "Tomte": 103,
        "Violin_Mode": 412,
        "Wandering_Line": 42,
        "Whistle": 299,
    }
)
"""Glitches of each class in Gravity Spy's training set v1d1 (Zenodo 1476551): 7,966, as sorted out
by people; not how often they come in a detector, but nearer to that than equally often.
"""

NONE_OF_THE_ABOVE = "None_of_the_Above"
"""The class of glitches that are none of the others."""

OUTLIER = "Outlier"
"""Not a class but the name that is kept for pictures of no class of the model.

A model that was trained with them has an output for them, whose probability tells what is unlike
its classes: outlier exposure (Hendrycks et al. 2019, arXiv:1812.04606). No verdict names it.
"""

DURATIONS: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
"""The four windows of Gravity Spy's pictures, in seconds."""

_OTHER_NAMES = MappingProxyType(
    {
        "1080line": "1080Lines",
        "1400ripple": "1400Ripples",
        "bliplowfrequency": "Low_Frequency_Blip",
        "fastscatteringcrown": "Crown",
        "noglitch": "No_Glitch",
        "repeatedblips": "Repeating_Blips",
        "violinmodeharmonic": "Violin_Mode",
        "wanderingnotch": "Wandering_Line",
        "highfreqburst": "High_Frequency_Burst",
    }
)
"""Names in use elsewhere, lower case and without separators."""


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


_BY_BARE_NAME = {_bare(name): name for name in MORPHOLOGY} | dict(_OTHER_NAMES)


def class_name(name: str) -> str | None:
    """Returns the known class that a directory or label means, or None if it is none.

    Case, spaces, hyphens and underscores don't matter: "Light modulation" is Light_Modulation.
    """
    return _BY_BARE_NAME.get(_bare(name))


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Returns classes in the order of a model's outputs: the 22 in index order, others by name."""
    return tuple(sorted(set(names), key=lambda name: (INDEX.get(name, len(INDEX)), name)))


def named(outputs: Iterable[str]) -> tuple[str, ...]:
    """Returns the classes that a model with these outputs may name: all but OUTLIER."""
    return tuple(name for name in outputs if name != OUTLIER)


def suggestion(name: str) -> str | None:
    """Returns the known class that a misspelt name may mean, None if it is known or like none."""
    if class_name(name):
        return None
    found = difflib.get_close_matches(_bare(name), _BY_BARE_NAME, n=1, cutoff=0.8)
    return _BY_BARE_NAME[found[0]] if found else None


def with_suggestion(name: str) -> str:
    """Returns a name that is not known, and in brackets the one that it may mean."""
    meant = suggestion(name)
    return f"{name} (did you mean {meant}?)" if meant else name


def morphology(name: str) -> str:
    """Returns a line on what glitches of a class look like, empty if the class isn't known."""
    return MORPHOLOGY.get(name, "")


def readable(name: str) -> str:
    """Returns a class's name as people write it, without underscores."""
    return name.replace("_", " ")
