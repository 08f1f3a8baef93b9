"""Sources: every edition of the training set becomes glitches, split by glitch."""

import csv
import shutil
from collections import Counter

import h5py
import numpy as np
import pytest
from PIL import Image

from flax_glitch.classes import CLASSES
from flax_glitch.data.pictures import PictureError
from flax_glitch.data.sources import (
    PictureRef,
    SourceError,
    open_source,
    parse_name,
    read_picture,
)

SPLITS = ("train", "validation", "test")
HEADER = "event_time,ifo,gravityspy_id,label,sample_type,url1"


def add_glitch(folder, id, ifo="H1", durations=("0.5", "1.0", "2.0", "4.0")):
    folder.mkdir(parents=True, exist_ok=True)
    for duration in durations:
        (folder / f"{ifo}_{id}_spectrogram_{duration}.png").touch()


def ids(source, split):
    return {glitch.id for glitch in source.splits[split]}


def home(source):
    return {glitch.id: split for split in SPLITS for glitch in source.splits[split]}


@pytest.fixture
def folder(tmp_path):
    for number in range(20):
        add_glitch(tmp_path / "Blip", f"blip{number}")
        add_glitch(tmp_path / "Whistle", f"whistle{number}", "L1")
    return tmp_path


@pytest.fixture
def zenodo(tmp_path):
    add_glitch(tmp_path / "TrainingSetImages" / "Blip", "aaa")
    add_glitch(tmp_path / "TrainingSetImages" / "Blip", "bbb")
    add_glitch(tmp_path / "TrainingSetImages" / "Whistle", "ccc", "L1")
    write_table(tmp_path, "aaa,Blip,train", "bbb,Blip,validation", "ccc,Whistle,test")
    return tmp_path


def write_table(folder, *rows, header=HEADER):
    lines = [header, *(f"1126259462.4,H1,{row},http://x" for row in rows)]
    (folder / "trainingset_v1d1_metadata.csv").write_text("\n".join(lines))


@pytest.fixture
def v1d0(tmp_path):
    path = tmp_path / "trainingsetv1d0.h5"
    pixels = np.linspace(0, 1, 140 * 170, dtype=np.float32).reshape(1, 140, 170)
    with h5py.File(path, "w") as file:
        for place in ("Blip/train/aaa", "Blip/test/bbb", "Koi_Fish/validation/ccc"):
            for duration in ("0.5", "1.0", "2.0", "4.0"):
                file[f"{place}/{duration}.png"] = pixels
    return path


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("H1_2Xn58S1QCj_spectrogram_0.5.png", ("H1", "2Xn58S1QCj", 0.5)),
        ("L1_1238344367.245_spectrogram_4.0.png", ("L1", "1238344367.245", 4.0)),
        ("V1_with_under_scores_spectrogram_2.0.jpeg", ("V1", "with_under_scores", 2.0)),
        ("XX_id_spectrogram_1.0.JPG", ("XX", "id", 1.0)),
        ("H1_a_spectrogram_b_spectrogram_1.0.webp", ("H1", "a_spectrogram_b", 1.0)),
        ("fb9a202e09.png", None),
        ("H1_id_spectrogram_0.5.png.part", None),
        ("H1_id_spectrogram_long.png", None),
        ("H1__spectrogram_0.5.png", None),
    ],
)
def test_a_name_tells_detector_id_and_window_or_nothing(name, parts):
    assert parse_name(name) == parts


def test_a_plain_folder_is_split_by_glitch_seventy_fifteen_fifteen_in_each_class(folder):
    source = open_source(folder)
    assert source.layout == "folder"
    for label in ("Blip", "Whistle"):
        shares = [sum(g.label == label for g in source.splits[split]) for split in SPLITS]
        assert shares == [14, 3, 3]
    assert all(set(glitch.views) == {0.5, 1.0, 2.0, 4.0} for glitch in source.glitches)
    assert len(source.glitches) == len({(g.ifo, g.id) for g in source.glitches}) == 40
    assert source.notices == ()


def test_the_split_hangs_on_the_seed_alone(folder):
    assert open_source(folder, seed=1) == open_source(folder, seed=1)
    assert home(open_source(folder, seed=1)) != home(open_source(folder, seed=2))


def test_a_new_glitch_moves_few_others(folder):
    before = home(open_source(folder))
    add_glitch(folder / "Blip", "newcomer")
    after = home(open_source(folder))
    assert sum(after[id] != split for id, split in before.items()) <= 2


def test_a_class_with_one_glitch_trains_and_one_with_two_also_tests(tmp_path):
    add_glitch(tmp_path / "Chirp", "lonely")
    add_glitch(tmp_path / "Helix", "one")
    add_glitch(tmp_path / "Helix", "two")
    source = open_source(tmp_path)
    labels = {split: sorted(g.label for g in source.splits[split]) for split in SPLITS}
    assert labels == {"train": ["Chirp", "Helix"], "validation": [], "test": ["Helix"]}
    single, pair = source.notices
    assert "training: Chirp" in single
    assert "none in validation: Helix" in pair


def test_a_picture_of_any_other_name_is_a_glitch_seen_once(tmp_path):
    (tmp_path / "Tomte" / "more").mkdir(parents=True)
    (tmp_path / "Tomte" / "fb9a202e09.png").touch()
    (tmp_path / "Tomte" / "more" / "my picture.JPG").touch()
    glitches = open_source(tmp_path).glitches
    assert {g.id for g in glitches} == {"Tomte/fb9a202e09", "Tomte/more/my picture"}
    assert all(list(g.views) == [None] and g.ifo == "XX" for g in glitches)


def test_class_folders_may_have_their_other_names(tmp_path):
    add_glitch(tmp_path / "Repeated Blips", "aaa")
    add_glitch(tmp_path / "light-modulation", "bbb")
    labels = {glitch.label for glitch in open_source(tmp_path).glitches}
    assert labels == {"Repeating_Blips", "Light_Modulation"}


def test_files_that_are_no_pictures_are_passed_over(folder):
    before = open_source(folder)
    for name in ("manifest.csv", ".DS_Store", "Blip/.DS_Store", "Blip/._H1_x.png", "Blip/a.txt"):
        (folder / name).touch()
    add_glitch(folder / "__MACOSX" / "Blip", "ghost")
    (folder / "docs").mkdir()
    assert open_source(folder) == before


def test_pictures_outside_class_folders_are_counted_in_a_notice(folder):
    (folder / "loose.png").touch()
    (notice,) = open_source(folder).notices
    assert "1 (" in notice
    assert "loose.png" in notice


def test_a_window_that_comes_twice_is_left_out_with_a_notice(folder):
    (folder / "Blip" / "H1_blip0_spectrogram_0.5.jpg").touch()
    source = open_source(folder)
    (notice,) = source.notices
    assert "H1_blip0_spectrogram_0.5" in notice
    assert sum(len(glitch.views) for glitch in source.glitches) == 160


@pytest.mark.parametrize("doubled", [True, False])
def test_kaggles_folders_keep_their_split(tmp_path, doubled):
    for split, id in zip(SPLITS, ("aaa", "bbb", "ccc"), strict=True):
        root = tmp_path / split / split if doubled else tmp_path / split
        add_glitch(root / "Blip", id)
    # Kaggle's download holds Zenodo's table too.
    write_table(tmp_path, "aaa,Blip,test", "bbb,Blip,test", "ccc,Blip,test")
    source = open_source(tmp_path)
    assert source.layout == "kaggle"
    assert [ids(source, split) for split in SPLITS] == [{"aaa"}, {"bbb"}, {"ccc"}]
    assert source.notices == ()


def test_a_kaggle_folder_without_validation_says_so(tmp_path):
    add_glitch(tmp_path / "train" / "Blip", "aaa")
    add_glitch(tmp_path / "test" / "Blip", "bbb")
    source = open_source(tmp_path)
    assert source.splits["validation"] == ()
    assert any("no validation folder" in notice for notice in source.notices)


def test_pictures_of_one_common_name_in_two_splits_are_two_glitches(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "Blip").mkdir(parents=True)
        (tmp_path / split / "Blip" / "001.png").touch()
    assert len(open_source(tmp_path).glitches) == 2


@pytest.mark.parametrize("root", ["TrainingSetImages", "TrainingSet", "."])
def test_zenodos_table_says_the_split(zenodo, root):
    if root == ".":
        for folder in (zenodo / "TrainingSetImages").iterdir():
            folder.rename(zenodo / folder.name)
        (zenodo / "TrainingSetImages").rmdir()
    else:
        (zenodo / "TrainingSetImages").rename(zenodo / root)
    source = open_source(zenodo)
    assert source.layout == "zenodo"
    assert [ids(source, split) for split in SPLITS] == [{"aaa"}, {"bbb"}, {"ccc"}]
    assert source.notices == ()


def test_zenodos_pictures_and_rows_without_partner_are_noticed(zenodo):
    write_table(zenodo, "aaa,Blip,train", "bbb,Blip,test", "eee,Chirp,test", "fff,Helix,train")
    source = open_source(zenodo)
    pictures, rows = source.notices
    assert "4 (" in pictures
    assert "L1_ccc" in pictures
    assert "2 (eee, fff)" in rows
    assert ids(source, "test") == {"bbb"}


def test_zenodos_pictures_without_the_table_are_split_anew_and_that_is_said(zenodo):
    (zenodo / "trainingset_v1d1_metadata.csv").unlink()
    source = open_source(zenodo)
    assert source.layout == "folder"
    assert any("official split is not known" in notice for notice in source.notices)


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["aaa,Koi_Fish,train", "bbb,Blip,test", "ccc,Whistle,test"], HEADER, "two labels"),
        (["aaa,Blip,train", "aaa,Blip,test"], HEADER, "line 3.*two labels or two splits"),
        (["aaa,Blip,training"], HEADER, "sample_type 'training'"),
        (["aaa,Bleep,train"], HEADER, "line 2: label 'Bleep'"),
        (["aaa,Blip,train"], "a,b,gravityspy_id,label,d,e", "no column sample_type"),
    ],
)
def test_a_faulty_table_is_refused_with_its_name(zenodo, rows, header, message):
    write_table(zenodo, *rows, header=header)
    with pytest.raises(SourceError, match=message) as raised:
        open_source(zenodo)
    assert "trainingset_v1d1_metadata.csv" in str(raised.value)


def test_the_v1d0_file_keeps_its_split_and_its_pixels(v1d0):
    source = open_source(v1d0)
    assert source.layout == "v1d0"
    assert [ids(source, split) for split in SPLITS] == [{"aaa"}, {"ccc"}, {"bbb"}]
    glitch = source.splits["train"][0]
    assert list(glitch.views) == [0.5, 1.0, 2.0, 4.0]
    pixels = read_picture(glitch.views[1.0]).pixels
    grey = np.rint(np.linspace(0, 255, 140 * 170)).reshape(140, 170)
    assert pixels.shape == (140, 170, 3)
    assert np.abs(pixels.astype(float) - grey[..., None]).max() <= 1


def test_a_damaged_v1d0_file_is_refused_in_one_line(v1d0):
    v1d0.write_bytes(v1d0.read_bytes()[:5000])
    with pytest.raises(SourceError, match=r"trainingsetv1d0\.h5: is not as the v1d0 file"):
        open_source(v1d0)


def test_an_hdf5_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["Blip"] = np.zeros(3)
    with pytest.raises(SourceError, match=r"other\.h5: is not as the v1d0 file"):
        open_source(path)


@pytest.mark.parametrize("label", ["Paired_Doves", "Blip"])
def test_the_id_that_is_mislabelled_in_the_public_set_is_left_out_there_alone(folder, label):
    add_glitch(folder / label, "VXw4KBWl5g")
    source = open_source(folder)
    known_wrong = label == "Paired_Doves"
    assert any("VXw4KBWl5g" in notice for notice in source.notices) == known_wrong
    assert any(glitch.id == "VXw4KBWl5g" for glitch in source.glitches) != known_wrong


def test_the_mislabelled_id_beside_its_right_label_is_no_conflict(folder):
    add_glitch(folder / "Paired_Doves", "VXw4KBWl5g")
    add_glitch(folder / "Blip", "VXw4KBWl5g")
    labels = [g.label for g in open_source(folder).glitches if g.id == "VXw4KBWl5g"]
    assert labels == ["Blip"]


def test_every_unknown_class_folder_is_named_with_the_cure(folder):
    for name in ("Pizzicato", "70Hz_Line"):
        add_glitch(folder / name, "aaa")
    with pytest.raises(SourceError, match=r"70Hz_Line, .*Pizzicato; .*rename") as raised:
        open_source(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (("train/Blip", "test/Blip"), "H1_aaa is in two splits: .*train.*test"),
        (("train/Blip", "train/Whistle"), "H1_aaa is under two labels: .*Blip.*Whistle"),
    ],
)
def test_a_glitch_in_two_places_is_refused(tmp_path, places, message):
    for place in places:
        add_glitch(tmp_path / place, "aaa")
        add_glitch(tmp_path / place, "bbb")
    with pytest.raises(SourceError, match=message) as raised:
        open_source(tmp_path)
    assert "and 1 more such" in str(raised.value)


def test_one_id_in_two_detectors_is_two_glitches(tmp_path):
    add_glitch(tmp_path / "train" / "Blip", "1238344367.245", "H1")
    add_glitch(tmp_path / "test" / "Blip", "1238344367.245", "L1")
    assert len(open_source(tmp_path).glitches) == 2


def test_a_source_that_is_not_there_or_empty_is_refused_with_its_name(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty" / "Blip").mkdir(parents=True)
    for name, message in [
        ("absent", "no such file or folder"),
        ("text.png", "no HDF5 file"),
        ("empty", "no pictures"),
    ]:
        with pytest.raises(SourceError, match=f"{name}: .*{message}"):
            open_source(tmp_path / name)


def test_a_class_folder_alone_is_told_what_is_missing(folder):
    with pytest.raises(SourceError, match=r"no pictures in class folders.*in no class folder"):
        open_source(folder / "Blip")


def test_an_unreadable_picture_raises_with_its_name(tmp_path, v1d0):
    (tmp_path / "empty.png").touch()
    with pytest.raises(PictureError, match=r"empty\.png"):
        read_picture(PictureRef(tmp_path / "empty.png"))
    with pytest.raises(PictureError, match=r"v1d0\.h5:Blip/train/zzz"):
        read_picture(PictureRef(v1d0, "Blip/train/zzz/0.5.png"))


def test_a_picture_is_read_from_its_file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    np.testing.assert_array_equal(read_picture(PictureRef(tmp_path / "picture.png")).pixels, pixels)


def test_the_real_pictures_are_found_as_their_manifest_lists_them(shared_data):
    source = open_source(shared_data / "gravityspy")
    with (shared_data / "gravityspy" / "manifest.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    listed = {(row["path"], row["class"], row["gravityspy_id"], row["ifo"]) for row in rows}
    found = {
        (ref.path.relative_to(source.path).as_posix(), glitch.label, glitch.id, glitch.ifo)
        for glitch in source.glitches
        for ref in glitch.views.values()
    }
    assert found == listed
    assert Counter(len(g.views) for g in source.glitches).total() == 85
    assert {glitch.label for glitch in source.splits["train"]} == set(CLASSES)


@pytest.mark.parametrize(("name", "glitches"), [("o3", 120), ("community", 17), ("figures", 134)])
def test_other_real_collections_open(shared_data, name, glitches):
    assert len(open_source(shared_data / name).glitches) == glitches


def test_the_golden_folder_opens_without_its_later_classes(shared_data, tmp_path):
    with pytest.raises(SourceError, match="Pizzicato"):
        open_source(shared_data / "golden")
    later = {"70Hz_Line", "Pizzicato", "Fast_Scattering_Crown", "High_Frequency_Burst"}
    ignore = shutil.ignore_patterns(*later, "Low_Frequency_Blip")
    shutil.copytree(shared_data / "golden", tmp_path / "golden", ignore=ignore)
    assert {len(g.views) for g in open_source(tmp_path / "golden").glitches} == {4}
