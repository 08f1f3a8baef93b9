"""Sources: every edition of the training set becomes glitches, split by glitch."""

import csv

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flax_glitch.classes import CLASSES, DURATIONS
from flax_glitch.data.builder import read_picture
from flax_glitch.data.layouts import SPLITS, SourceError, parse_name
from flax_glitch.data.pictures import PictureError
from flax_glitch.data.table import (
    COLUMNS,
    chosen_classes,
    count_glitches,
    glitch_numbers,
    in_places,
    open_source,
)

HEADER = "event_time,ifo,gravityspy_id,label,sample_type,url1"


def add_glitch(folder, id, ifo="H1", durations=("0.5", "1.0", "2.0", "4.0")):
    folder.mkdir(parents=True, exist_ok=True)
    for duration in durations:
        (folder / f"{ifo}_{id}_spectrogram_{duration}.png").touch()


def ids(source, split):
    return set(source.table["id"][source.table["split"] == split])


def home(source):
    return dict(zip(source.table["id"], source.table["split"], strict=True))


def glitches_of(source):
    """A row a glitch."""
    return source.table.drop_duplicates(["ifo", "id"])


def assert_equal(one, other):
    pd.testing.assert_frame_equal(one.table, other.table)
    assert one._replace(table=None) == other._replace(table=None)


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
        ("H1_x_spectrogram_8.0.png", ("H1", "x", None)),
        ("H1_x_spectrogram_1.png", ("H1", "x", 1.0)),
        ("h1_x_spectrogram_1.0.png", ("H1", "x", 1.0)),
        ("H1_x_spectrogram_1.0 (1).png", ("H1", "x", 1.0)),
        ("H1_x_spectrogram_1.0(12).png", ("H1", "x", 1.0)),
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
        of_class = glitches_of(source)[glitches_of(source)["label"] == label]
        assert [sum(of_class["split"] == split) for split in SPLITS] == [14, 3, 3]
    assert tuple(source.table.columns) == COLUMNS
    for _, glitch in source.table.groupby(["ifo", "id"]):
        assert tuple(glitch["duration"]) == DURATIONS
        assert glitch["split"].nunique() == 1
    assert count_glitches(source.table) == 40
    assert source.notices == ()


def test_the_split_hangs_on_the_seed_alone(folder):
    assert_equal(open_source(folder, seed=1), open_source(folder, seed=1))
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
    found = glitches_of(source)
    labels = {split: sorted(found["label"][found["split"] == split]) for split in SPLITS}
    assert labels == {"train": ["Chirp", "Helix"], "validation": [], "test": ["Helix"]}
    single, pair = source.notices
    assert "training: Chirp" in single
    assert "none in validation: Helix" in pair


def test_a_picture_of_any_other_name_is_a_glitch_seen_once(tmp_path):
    (tmp_path / "Tomte" / "more").mkdir(parents=True)
    (tmp_path / "Tomte" / "fb9a202e09.png").touch()
    (tmp_path / "Tomte" / "more" / "my picture.JPG").touch()
    table = open_source(tmp_path).table
    assert set(table["id"]) == {"Tomte/fb9a202e09", "Tomte/more/my picture"}
    assert table["duration"].isna().all()
    assert (table["ifo"] == "XX").all()


def test_class_folders_may_have_their_other_names(tmp_path):
    add_glitch(tmp_path / "Repeated Blips", "aaa")
    add_glitch(tmp_path / "light-modulation", "bbb")
    assert set(open_source(tmp_path).table["label"]) == {"Repeating_Blips", "Light_Modulation"}


def test_files_that_are_no_pictures_are_passed_over(folder):
    before = open_source(folder)
    for name in ("manifest.csv", ".DS_Store", "Blip/.DS_Store", "Blip/._H1_x.png", "Blip/a.txt"):
        (folder / name).touch()
    add_glitch(folder / "__MACOSX" / "Blip", "ghost")
    (folder / "docs").mkdir()
    assert_equal(open_source(folder), before)


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
    assert len(source.table) == 160


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
    assert ids(source, "validation") == set()
    assert any("no validation folder" in notice for notice in source.notices)


def test_pictures_of_one_common_name_in_two_splits_are_two_glitches(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "Blip").mkdir(parents=True)
        (tmp_path / split / "Blip" / "001.png").touch()
    assert count_glitches(open_source(tmp_path).table) == 2


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
        (["aaa,Bleep,train"], HEADER, "two labels: Blip in .*, Bleep in"),
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
    glitch = source.table[source.table["split"] == "train"]
    assert tuple(glitch["duration"]) == DURATIONS
    assert set(glitch["path"]) == {"trainingsetv1d0.h5"}
    assert glitch["key"].iloc[1] == "Blip/train/aaa/1.0.png"
    pixels = read_picture(source.root, glitch.iloc[1].to_dict()).pixels
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
    assert ("VXw4KBWl5g" in set(source.table["id"])) != known_wrong


def test_the_mislabelled_id_beside_its_right_label_is_no_conflict(folder):
    add_glitch(folder / "Paired_Doves", "VXw4KBWl5g")
    add_glitch(folder / "Blip", "VXw4KBWl5g")
    table = open_source(folder).table
    assert set(table["label"][table["id"] == "VXw4KBWl5g"]) == {"Blip"}


def test_classes_that_nobody_knows_are_taken_and_listed_with_what_they_may_mean(folder):
    for name in ("Koi_Fihs", "My own", "Pizzicato", "Blip_Low_Frequency"):
        add_glitch(folder / name, "aaa", ifo="L1" if name == "Pizzicato" else "H1")
        (folder / name / "L1_aaa_spectrogram_0.5.png").unlink(missing_ok=True)
        for path in list((folder / name).iterdir()):
            path.rename(path.with_name(path.name.replace("aaa", name[:3])))
    source = open_source(folder)
    (unknown,) = [notice for notice in source.notices if "doesn't know" in notice]
    assert unknown.endswith("called: Koi_Fihs (did you mean Koi_Fish?), My own")
    classes = chosen_classes(source.table)
    assert classes == ("Blip", "Whistle", "Koi_Fihs", "Low_Frequency_Blip", "My own", "Pizzicato")


def test_some_classes_are_chosen_by_any_of_their_names_and_others_refused(folder):
    add_glitch(folder / "70HZLINE", "aaa")
    table = open_source(folder).table
    assert chosen_classes(table, ["70Hz line", "blip"]) == ("Blip", "70Hz_Line")
    with pytest.raises(SourceError, match=r"Wistle \(did you mean Whistle\?\), Chirp; choose"):
        chosen_classes(table, ["Wistle", "Chirp", "Blip"])
    with pytest.raises(SourceError, match="Blip is the only class: there is nothing to tell apart"):
        chosen_classes(table, ["Blip"])


def test_odd_names_of_classes_stay_different_and_on_one_line(tmp_path):
    for number, name in enumerate(("caf\udce9", "caf?", "two\nlines", "a$_$b", "p(x),|")):
        add_glitch(tmp_path / name, f"id{number}")
    labels = set(open_source(tmp_path).table["label"])
    assert labels == {r"caf\udce9", "caf?", r"two\nlines", "a$_$b", "p(x),|"}


def test_a_folder_of_class_folders_in_the_place_of_a_class_is_refused_with_the_cure(folder):
    with pytest.raises(SourceError, match=r"is no class, but holds folders of classes .*give it"):
        open_source(folder.parent)


def test_a_window_of_another_length_is_one_of_unknown_length_and_a_fifth_view_is_an_error(folder):
    add_glitch(folder / "Blip", "blip0", durations=("8.0",))
    add_glitch(folder / "Whistle", "new", durations=("0.5", "8.0", "16.0"))
    with pytest.raises(SourceError, match=r"H1_blip0 has 5 views.*blip0_spectrogram_8\.0\.png"):
        open_source(folder)
    (folder / "Blip" / "H1_blip0_spectrogram_4.0.png").unlink()
    table = open_source(folder).table
    new = table[table["id"] == "new"]
    assert [duration for duration in new["duration"] if duration > 0] == [0.5]
    assert len(new) == 3
    units = in_places(glitch_numbers(new), new["duration"].to_numpy())
    np.testing.assert_array_equal(units, [[2, 0, 1, -1]])


def test_names_that_are_no_valid_text_are_taken(tmp_path):
    add_glitch(tmp_path / "Blip", "aaa")
    (tmp_path / "Blip" / "odd\udcff.png").touch()
    assert "Blip/odd\udcff.png" in list(open_source(tmp_path).table["path"])


def test_places_of_many_glitches_take_no_quadratic_time():
    durations = np.tile([0.5, 1.0, 2.0, np.nan], 20_000)
    units = in_places(np.repeat(np.arange(20_000), 4), durations)
    np.testing.assert_array_equal(units, np.arange(80_000).reshape(-1, 4))


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
    assert count_glitches(open_source(tmp_path).table) == 2


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
        read_picture(tmp_path, {"path": "empty.png", "key": ""})
    with pytest.raises(PictureError, match=r"v1d0\.h5:Blip/train/zzz"):
        read_picture(tmp_path, {"path": v1d0.name, "key": "Blip/train/zzz/0.5.png"})


def test_a_picture_is_read_from_its_file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    read = read_picture(tmp_path, {"path": "picture.png", "key": ""})
    np.testing.assert_array_equal(read.pixels, pixels)


def test_the_real_pictures_are_found_as_their_manifest_lists_them(shared_data):
    source = open_source(shared_data / "gravityspy")
    with (shared_data / "gravityspy" / "manifest.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    listed = {(row["path"], row["class"], row["gravityspy_id"], row["ifo"]) for row in rows}
    table = source.table
    assert set(table[["path", "label", "id", "ifo"]].itertuples(index=False, name=None)) == listed
    assert count_glitches(table) == 85
    assert set(table["label"][table["split"] == "train"]) == set(CLASSES)


@pytest.mark.parametrize(("name", "glitches"), [("o3", 120), ("community", 17), ("figures", 134)])
def test_other_real_collections_open(shared_data, name, glitches):
    assert count_glitches(open_source(shared_data / name).table) == glitches


def test_the_golden_folder_opens_with_its_later_classes(shared_data):
    source = open_source(shared_data / "golden")
    later = ("70Hz_Line", "Crown", "High_Frequency_Burst", "Low_Frequency_Blip", "Pizzicato")
    assert chosen_classes(source.table) == (*CLASSES, *later)
    assert (source.table.groupby("id").size() == 4).all()
    assert not any("doesn't know" in notice for notice in source.notices)
