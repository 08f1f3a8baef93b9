"""Gravity Spy's 22 classes of glitches, their index order, their other names, and the four windows.

Classes and morphologies: Zevin et al. 2017 (CQG 34 064003), Bahaadini et al. 2018.
"""

from types import MappingProxyType

MORPHOLOGY = MappingProxyType(
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
"""One line a class, in index order, for people who have never seen it."""

CLASSES: tuple[str, ...] = tuple(MORPHOLOGY)
"""The directory names of the 22 classes; a class's number is its place here."""

INDEX = MappingProxyType({name: number for number, name in enumerate(CLASSES)})
"""The number of each class."""

DURATIONS: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
"""The four windows of Gravity Spy's pictures, in seconds."""

OTHER_NAMES = MappingProxyType(
    {
        "1080line": "1080Lines",
        "1400ripple": "1400Ripples",
        "noglitch": "No_Glitch",
        "repeatedblips": "Repeating_Blips",
        "wanderingnotch": "Wandering_Line",
        "violinmodeharmonic": "Violin_Mode",
    }
)
"""Names in use elsewhere, lower case and without separators."""


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


_BY_BARE_NAME = {_bare(name): name for name in CLASSES} | dict(OTHER_NAMES)


def class_name(name: str) -> str | None:
    """Returns the class that a directory or label means, or None if it is none of the 22.

    Case, spaces, hyphens and underscores don't matter: "Light modulation" is Light_Modulation.
    """
    return _BY_BARE_NAME.get(_bare(name))


def readable(name: str) -> str:
    """Returns a class's name as people write it, without underscores."""
    return name.replace("_", " ")
