import pytest

from flax_glitch.classes import CLASSES, INDEX, class_name, morphology, ordered, suggestion


def test_there_are_22_classes_in_the_order_of_their_directories():
    assert len(CLASSES) == 22
    assert list(CLASSES) == sorted(CLASSES)
    assert [INDEX[name] for name in CLASSES] == list(range(22))


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Repeated Blips", "Repeating_Blips"),
        ("Light modulation", "Light_Modulation"),
        ("KOI-FISH", "Koi_Fish"),
        ("1080Line", "1080Lines"),
        ("none of the above", "None_of_the_Above"),
        ("70HZLINE", "70Hz_Line"),
        ("HIGHFREQBURST", "High_Frequency_Burst"),
        ("Blip_Low_Frequency", "Low_Frequency_Blip"),
        ("Fast_Scattering_Crown", "Crown"),
        ("Cat", None),
        ("", None),
    ],
)
def test_other_spellings_of_a_class_are_understood(written, name):
    assert class_name(written) == name


def test_every_real_class_folder_is_known(shared_data):
    folders = {path.name for path in (shared_data / "gravityspy").iterdir() if path.is_dir()}
    assert {class_name(folder) for folder in folders} == set(CLASSES)


def test_classes_are_in_index_order_and_others_follow_by_name():
    names = ["Zebra", "Whistle", "Crown", "1080Lines", "Blip", "Blip"]
    assert ordered(names) == ("1080Lines", "Blip", "Whistle", "Crown", "Zebra")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("Koi_Fihs", "Koi_Fish"), ("Scatered Light", "Scattered_Light"), ("Dog", None)],
)
def test_a_misspelt_name_suggests_the_class_it_is_like(written, meant):
    assert suggestion(written) == meant


def test_later_classes_have_their_looks_and_unknown_ones_none():
    assert "70 Hz" in morphology("70Hz_Line")
    assert morphology("Zebra") == ""
