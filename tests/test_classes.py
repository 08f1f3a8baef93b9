import pytest

from flax_glitch.classes import CLASSES, INDEX, class_name


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
        ("Cat", None),
        ("", None),
    ],
)
def test_other_spellings_of_a_class_are_understood(written, name):
    assert class_name(written) == name


def test_every_real_class_folder_is_known(shared_data):
    folders = {path.name for path in (shared_data / "gravityspy").iterdir() if path.is_dir()}
    assert {class_name(folder) for folder in folders} == set(CLASSES)
