"""Strain files of every format, and the block around an event: what is read and what is refused."""

import gzip
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from gwosc_server import write_masks, write_strain

from flax_glitch.strain.files import StrainError, block, read_strain
from flax_glitch.strain.whitening import SAMPLE_RATE

START, RATE = 1126259446, 4096
NAME = "H-H1_LOSC_4_V2-1126259446-32.hdf5"


def noise(seconds, rate=RATE):
    return 1e-21 * np.random.default_rng(0).normal(size=int(seconds * rate))


def times(values, rate=RATE):
    return START + np.arange(len(values)) / rate


@pytest.fixture
def write(tmp_path):
    """Writes values to a file of the format that the name's ending says."""

    def write(values, name, **options):
        path = tmp_path / name
        match path.suffix:
            case ".hdf5":
                write_strain(path, values, START, **options)
            case ".npy":
                np.save(path, values)
            case ".csv":
                table = np.stack([times(values), values], 1)
                np.savetxt(path, table, "%.7f,%.18e", header="gps,strain", comments="")
            case ".txt":
                np.savetxt(path, values, header="strain")
        return path

    return write


def strain_of(values, write, name="H1.hdf5", **options):
    return read_strain(write(values, name, **options))


@pytest.mark.parametrize("name", ["H1.hdf5", "H1.npy", "H1.csv", "H1.txt"])
@pytest.mark.parametrize("around", [None, (START + 1.0, START + 3.5)])
def test_every_format_gives_the_same_strain(write, name, around):
    values = noise(5)
    known = name in ("H1.hdf5", "H1.csv")
    given = {} if known else {"gps_start": float(START), "sample_rate": 4096.0}
    strain = read_strain(write(values, name), around=around, **given)
    first, last = (0, 5) if around is None else (1, 3.5)
    np.testing.assert_array_equal(strain.values, values[int(first * RATE) : int(last * RATE)])
    assert strain.values.dtype == np.float64
    assert (strain.start, strain.end) == (START + first, START + last)
    assert (strain.sample_rate, strain.detector) == (4096, "H1")


def gwosc_text(values, header=True):
    """As GWOSC's text files are, which begin with three lines of header."""
    head = (
        "# Gravitational wave strain for GW150914_R1 for H1 (see http://losc.ligo.org)\n"
        f"# This file has 4096 samples per second\n# starting GPS {START} duration 4\n"
    )
    return (head * header + "".join(f"{value!r}\n" for value in values.tolist())).encode()


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("mine.txt", True),
        ("H-H1_LOSC_4_V2-1126259446-4.txt", False),
        ("H-H1_GWOSC_4KHZ_R1-1126259446-4.txt.gz", True),
        ("H-H1_GWOSC_4KHZ_R1-1126259446-4.txt.gz", False),
    ],
)
def test_gwoscs_text_says_start_rate_and_detector_in_its_header_or_name(tmp_path, name, header):
    values = noise(4)
    values[5] = np.nan
    content = gwosc_text(values, header)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    strain = read_strain(path)
    np.testing.assert_array_equal(strain.values, values)
    assert (strain.start, strain.sample_rate, strain.detector) == (START, RATE, "H1")


def test_a_cut_text_or_one_of_other_contents_is_no_strain(tmp_path):
    path = tmp_path / "H-H1_LOSC_4_V2-1126259446-4.txt"
    path.write_bytes(gwosc_text(noise(3), header=False))
    with pytest.raises(StrainError, match="doesn't say its sample rate"):
        read_strain(path)
    packed = gzip.compress(gwosc_text(noise(1)))
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(StrainError, match=r"can't be read \(Compressed file ended"):
        read_strain(path)
    path.write_bytes(packed[:20] + bytes(50) + packed[70:])
    with pytest.raises(StrainError, match="can't be read"):
        read_strain(path)


@pytest.mark.parametrize("piece", [b"#\n", b"0 ", b"1\n", b"x"])
def test_packed_text_of_any_length_is_read_no_further_than_there_is_room(
    tmp_path, monkeypatch, piece
):
    from flax_glitch.strain import formats

    monkeypatch.setattr(formats, "MAX_TEXT_BYTES", 100_000)
    path = tmp_path / "H1.txt.gz"
    path.write_bytes(gzip.compress(b"1\n2\n" + piece * 1_000_000))
    with pytest.raises(StrainError, match=r"has (more than 100,000 by|a line of more than 1,0)"):
        read_strain(path)


def test_bilbys_and_pycbcs_text_is_read(tmp_path):
    path = tmp_path / "H1_time_domain_data.dat"
    np.savetxt(path, np.stack([times(noise(2)), noise(2)], 1), header="time strain")
    strain = read_strain(path)
    np.testing.assert_array_equal(strain.values, noise(2))
    assert (strain.start, strain.sample_rate, strain.detector) == (START, RATE, "H1")


def test_the_content_tells_the_format_and_not_the_name(write):
    path = write(noise(5), "H1.hdf5")
    assert read_strain(path.rename(path.with_name("H1.txt"))).duration == 5


def test_a_real_file_is_read_as_gwpy_reads_it(shared_data):
    timeseries = pytest.importorskip("gwpy.timeseries")
    path = shared_data / "strain" / NAME
    theirs = timeseries.TimeSeries.read(path, format="hdf5.gwosc")
    ours = read_strain(path)
    np.testing.assert_array_equal(ours.values, theirs.value)
    assert (ours.start, ours.sample_rate) == (theirs.t0.value, theirs.sample_rate.value)
    assert (ours.detector, ours.duration) == ("H1", 32)


def test_of_a_long_file_only_the_part_around_is_read(write, monkeypatch):
    from flax_glitch.strain import files, formats

    path = write(noise(20), "H1.hdf5", seconds=4096 * 16)
    for module in (files, formats):
        monkeypatch.setattr(module, "MAX_SAMPLES", 10 * RATE)
    assert read_strain(path, around=(START + 5.0, START + 15.0)).duration == 10
    with pytest.raises(StrainError, match="has 268,435,456 samples, more than 40,960; cut it"):
        read_strain(path)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("H1.npy", {}, "doesn't say its start"),
        ("H1.npy", {"gps_start": 1.0}, "doesn't say its sample rate"),
        ("H1.hdf5", {"sample_rate": 16384.0}, "is 4096.0 by the file, and 16384.0 was given"),
        ("H1.hdf5", {"gps_start": 5.0}, "is 1126259446.0 by the file, and 5.0 was given"),
        ("H1.hdf5", {"detector": "L1"}, "is H1 by the file, and L1 was given"),
        ("H1.hdf5", {"around": (1.0, 2.0)}, "1126259446 to 1126259451, nothing from GPS 1 to 2"),
        ("some.txt", {"gps_start": 1.0, "sample_rate": 1.0}, "doesn't say its detector"),
        ("H1.npy", {"gps_start": 1.0, "sample_rate": 0.5}, "0.5 samples a second"),
        ("H1.npy", {"gps_start": float("nan"), "sample_rate": 1.0}, "its start: time 'nan': give"),
        ("H1.npy", {"gps_start": "noon", "sample_rate": 1.0}, "or UTC, such as 2015-09-14"),
    ],
)
def test_what_is_missing_or_contradicts_is_told_with_the_numbers(write, name, given, message):
    with pytest.raises(StrainError) as caught:
        read_strain(write(noise(5), name), **given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_detector_is_the_file_s_or_its_name_s_or_the_user_s(write):
    given = {"gps_start": 1.0, "sample_rate": 4096.0}
    assert read_strain(write(noise(1), "L-L1_X-1-1.npy"), **given).detector == "L1"
    assert read_strain(write(noise(1), "L-L1_X-1-1.npy"), detector="V1", **given).detector == "V1"
    assert read_strain(write(noise(1), "SH1A.npy"), detector="K1", **given).detector == "K1"
    assert read_strain(write(noise(1), "L1.hdf5", detector="V1")).detector == "V1"
    assert read_strain(write(noise(1), "SH1A.npy"), detector=" k1", **given).detector == "K1"
    with pytest.raises(StrainError, match="is of detector 'X1'; give H1, L1"):
        read_strain(write(noise(1), "any.npy"), detector="X1", **given)


BAD_ARRAYS = {
    "float64 of shape (2, 5)": np.zeros((2, 5)),
    "float64 of shape (0,)": np.zeros(0),
    "complex128 of shape (5,)": np.zeros(5, complex),
    "int64 of shape (5,)": np.zeros(5, np.int64),
    "Python objects in dtype": np.array([{}]),
    "is infinite at GPS 1126259446.5": np.array([0, np.nan, np.inf, 0]),
}


@pytest.mark.parametrize("message", BAD_ARRAYS)
def test_arrays_that_are_no_strain_are_refused(write, message):
    path = write(BAD_ARRAYS[message], "H1.npy")
    with pytest.raises(StrainError) as caught:
        read_strain(path, gps_start=float(START), sample_rate=4.0)
    assert message in str(caught.value)


BAD_CONTENT = {
    "holds nothing": b"",
    "holds something else": b"PK\3\4\0\0",
    "file signature not found": b"\x89HDF" + bytes(100),
    "can't be read": b"\x93NUMPY\1\0\xff",
    "has no numbers in its first 100 lines": b"detector\nsilence\n",
    "columns; give strain, or GPS time and strain": b"1,2,3\n4,5,6\n",
    "times aren't evenly spaced": b"1 0\n1.25 0\n2 0\n",
    "times aren't evenly spaced, a": b"2 0\n1 0\n",
    "could not convert string": b"1.0\nx\n",
}


@pytest.mark.parametrize(("name", "dtype"), [("GPSstart", "f8"), ("Detector", "S8")])
def test_hdf5_whose_single_values_would_fill_the_memory_is_refused(tmp_path, name, dtype):
    with h5py.File(tmp_path / "H1.hdf5", "w") as file:
        samples = file.create_dataset("strain/Strain", data=noise(1))
        samples.attrs["Xspacing"] = 1 / RATE
        file.create_dataset(f"meta/{name}", (10**7,), dtype, chunks=(1000,))
    with pytest.raises(StrainError, match=f"has a meta/{name} of 10,000,000 values; give one"):
        read_strain(tmp_path / "H1.hdf5")


@pytest.mark.parametrize("message", BAD_CONTENT)
def test_files_that_hold_no_strain_are_refused_in_one_line(tmp_path, message):
    path = tmp_path / "H1\n.data"
    path.write_bytes(BAD_CONTENT[message])
    with pytest.raises(StrainError) as caught:
        read_strain(path, gps_start=1.0, sample_rate=4.0)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_told(tmp_path):
    with pytest.raises(StrainError, match=r"H1\.npy: can't be read \(No such file"):
        read_strain(tmp_path / "H1.npy")
    with pytest.raises(StrainError, match=r"can't be read \(Is a directory"):
        read_strain(tmp_path)


def test_gwoscs_masks_say_when_the_data_is_flagged(tmp_path, write):
    path = write(noise(5), "H1.hdf5")
    assert read_strain(path).flagged(START + 1.5) is None
    unset = [(START + 1, "CBC_CAT2"), (START + 1, "NO_CBC_HW_INJ"), (START + 2, "NO_CW_HW_INJ")]
    write_masks(path, START, 5, unset)
    strain = read_strain(path, around=(START + 1.0, START + 4.0))
    assert strain.flagged(START + 0.9) == strain.flagged(START + 2.0) == ()
    assert strain.flagged(START + 1.9) == ("fails CBC_CAT2", "injected CBC_HW_INJ")
    low = strain_of(noise(5, 2048), write, "H1_low.hdf5", rate=2048)
    assert low.flagged(START + 1.0) == ("nothing above 1024 Hz",)


def test_masks_that_are_elsewhere_too_large_or_of_another_kind_are_passed_over(tmp_path, write):
    other = write(noise(1), "other.hdf5")
    write_masks(other, START, 1, [(START, "DATA")])
    for kind in ("link", "large", "floats", "numbers"):
        path = write(noise(1), f"H1_{kind}.hdf5")
        with h5py.File(path, "a") as file:
            if kind == "link":
                file["quality/simple"] = h5py.ExternalLink(str(other), "quality/simple")
            else:
                mask = {"large": np.zeros(300_000, np.uint32), "floats": np.zeros(5)}
                file["quality/simple/DQmask"] = mask.get(kind, np.zeros(5, np.uint32))
                names = np.zeros(3) if kind == "numbers" else np.array(["DATA"], "S")
                file["quality/simple/DQShortnames"] = names
        assert read_strain(path).flags is None


def series(file, name, values, /, **attributes):
    file.create_dataset(name, data=values, compression="gzip").attrs.update(attributes)


def gwpy_series(file, name, values, /, **attributes):
    """Writes as GWpy 4's `TimeSeries.write(format="hdf5")` does."""
    timed = {"x0": float(START), "dx": 1 / RATE, "xunit": "s", "unit": "strain", "name": name}
    series(file, name, values, **timed, **attributes)


def pycbc_series(file, name, values):
    """Writes as PyCBC's `TimeSeries.save` does."""
    series(file, name, values, start_time=float(START), delta_t=1 / RATE)


def test_hdf5_of_gwpy_and_pycbc_is_read(tmp_path):
    values = noise(2)
    for number, (write, name, channel) in enumerate(
        (
            (gwpy_series, "H1:GDS-CALIB_STRAIN", "H1:GDS-CALIB_STRAIN"),
            (gwpy_series, "H1", "H1"),
            (pycbc_series, "H1/strain", "H1/strain"),
            (pycbc_series, "data", "data"),
        )
    ):
        path = tmp_path / f"H1_{number}.hdf"
        with h5py.File(path, "w") as file:
            write(file, name, values)
        strain = read_strain(path, around=(START + 1.0, START + 9.0))
        np.testing.assert_array_equal(strain.values, values[RATE:])
        assert (strain.start, strain.sample_rate) == (START + 1, RATE)
        assert (strain.detector, strain.channel) == ("H1", channel)


def test_what_gwpy_writes_itself_is_read(tmp_path):
    timeseries = pytest.importorskip("gwpy.timeseries")
    path = tmp_path / "both.h5"
    for channel in ("L1:GDS-CALIB_STRAIN", "H1:GDS-CALIB_STRAIN", "H1:INJ-STRAIN"):
        values = noise(2) * (1 + (channel[0] == "L"))
        one = timeseries.TimeSeries(values, t0=START, sample_rate=RATE, channel=channel)
        one.write(path, path=channel, append=True)
        one.psd(1).write(path, path=f"psd/{channel}", append=True)
    strain = read_strain(path, detector="L1")
    assert (strain.detector, strain.channel) == ("L1", "L1:GDS-CALIB_STRAIN")
    np.testing.assert_array_equal(strain.values, 2 * noise(2))
    assert read_strain(path, detector="H1").channel == "H1:GDS-CALIB_STRAIN"
    assert read_strain(path, channel="INJ-STRAIN").detector == "H1"
    with pytest.raises(StrainError, match=r"both.h5: holds strain of H1 and L1$") as caught:
        read_strain(path)
    assert caught.value.cure == "give detector"


def test_hdf5_without_a_series_in_time_or_with_too_many_is_refused(tmp_path):
    path = tmp_path / "H1.h5"
    with h5py.File(path, "w") as file:
        gwpy_series(file, "mask", np.ones(4, np.uint32))
        gwpy_series(file, "bits", np.ones(4, np.int32), bits="a")
        series(file, "psd", noise(1), x0=0.0, dx=1.0, xunit="Hz")
        series(file, "spectrogram", np.zeros((4, 4)), x0=0.0, dx=1.0, xunit="s")
        series(file, "triggers", np.zeros(4))
    with pytest.raises(StrainError, match="has no data set strain/Strain, nor one with start"):
        read_strain(path)
    with h5py.File(path, "a") as file:
        for name in ("a", "b"):
            pycbc_series(file, f"H1/{name}", noise(1))
    with pytest.raises(StrainError, match="2 channels that may be the strain: H1/a, H1/b"):
        read_strain(path)
    assert read_strain(path, channel="H1/b").channel == "H1/b"
    with h5py.File(path, "a") as file:
        for number in range(1000):
            file.create_group(f"g{number}")
    with pytest.raises(StrainError, match=r"has more than 1,000 groups and data sets"):
        read_strain(path)


def test_hdf5_that_leads_to_other_files_or_to_too_much_memory_is_refused(tmp_path, write):
    write(noise(1), "secret.hdf5")
    for name in ("link", "raw", "virtual", "chunks", "none"):
        path = tmp_path / f"{name}.hdf5"
        with h5py.File(path, "w") as file:
            layout = h5py.VirtualLayout((RATE,), "f8")
            layout[:] = h5py.VirtualSource("secret.hdf5", "strain/Strain", (RATE,))
            match name:
                case "link":
                    file["strain"] = h5py.ExternalLink("secret.hdf5", "strain")
                case "raw":
                    raw = [("secret.hdf5", 0, 80)]
                    file.create_dataset("strain/Strain", (10,), "f8", external=raw)
                case "virtual":
                    file.create_virtual_dataset("strain/Strain", layout)
                case "chunks":
                    file.create_dataset(
                        "strain/Strain", (9,), "f4", chunks=(2**28,), maxshape=(None,)
                    )
        with pytest.raises(StrainError, match=r"has (no data set strain/Strain|chunks of \(2684)"):
            read_strain(path)
        with h5py.File(path, "a") as file:
            if isinstance(file.get("strain/Strain", getlink=True), h5py.HardLink):
                file["strain/Strain"].attrs.update(start_time=1.0, delta_t=1.0)
        with pytest.raises(StrainError, match=r"has (no data set strain/Strain|chunks of \(2684)"):
            read_strain(path, channel="Strain" if name == "link" else None)


def test_gwf_is_read_by_gwpy_where_its_reader_is_installed(tmp_path, monkeypatch):
    path = tmp_path / "some.gwf"
    path.write_bytes(b"IGWD" + bytes(60))
    names = ["V1:DQ", "V1:Hrec_hoft_16384Hz_clean", "V1:Hrec_hoft_16384Hz"]
    series = pytest.importorskip("gwpy.timeseries").TimeSeries(noise(8), t0=START, sample_rate=RATE)
    asked = []
    reader = SimpleNamespace(read=lambda *given, **_: asked.append(given) or series)
    timeseries = SimpleNamespace(TimeSeries=reader)
    listing = SimpleNamespace(get_channel_names=lambda _: names)
    monkeypatch.setitem(sys.modules, "gwpy.timeseries", timeseries)
    monkeypatch.setitem(sys.modules, "gwpy.io.gwf", listing)
    strain = read_strain(path)
    np.testing.assert_array_equal(strain.values, noise(8))
    assert (strain.start, strain.sample_rate, strain.detector) == (START, RATE, "V1")
    assert strain.channel == "V1:Hrec_hoft_16384Hz"
    assert asked == [(path, "V1:Hrec_hoft_16384Hz")]
    del names[1:]
    with pytest.raises(StrainError, match="has no channel known as strain; it has V1:DQ"):
        read_strain(path)
    monkeypatch.setitem(sys.modules, "gwpy.io.gwf", None)
    with pytest.raises(StrainError, match=r"pip install 'flax-glitch\[gwf\]'"):
        read_strain(path)


def test_masks_beside_the_strain_of_a_gwf_say_when_it_is_flagged(tmp_path, monkeypatch):
    path, name = tmp_path / "H1.gwf", "H1:GWOSC-4KHZ_R1_{}".format
    path.write_bytes(b"IGWD" + bytes(60))
    make = pytest.importorskip("gwpy.timeseries").TimeSeries
    made = {
        name("STRAIN"): make(noise(8), t0=START, sample_rate=RATE),
        name("DQMASK"): make(np.array([127] * 7 + [0b1110111], np.int32), t0=START, sample_rate=1),
        name("INJMASK"): make(np.array([31] * 7 + [0b01110], np.int32), t0=START, sample_rate=1),
    }
    reader = SimpleNamespace(read=lambda _, channel, format: made[channel])
    monkeypatch.setitem(sys.modules, "gwpy.timeseries", SimpleNamespace(TimeSeries=reader))
    listing = SimpleNamespace(get_channel_names=lambda _: list(made))
    monkeypatch.setitem(sys.modules, "gwpy.io.gwf", listing)
    strain = read_strain(path)
    assert strain.flagged(START + 6.9) == ()
    assert strain.flagged(START + 7.0) == ("fails CBC_CAT3", "injected CBC_HW_INJ")
    del made[name("DQMASK")], made[name("INJMASK")]
    assert read_strain(path).flags is None


@pytest.mark.parametrize(
    ("seconds", "event", "length", "place"),
    [
        (100, 50.25, 64, 32.0),
        (100, 10.0, 64, 10.0),
        (100, 96.5, 64, 60.5),
        (32, 16.4, 32, 16.4),
        (40, 20.0, 32, 16.0),
        (10, 3.5, 8, 3.5),
    ],
)
def test_a_block_is_as_long_as_can_be_with_the_event_in_its_middle(
    write, seconds, event, length, place
):
    samples, found = block(strain_of(noise(seconds), write), START + event)
    assert len(samples) == length * SAMPLE_RATE
    assert found == pytest.approx(place, abs=1e-3)


@pytest.mark.parametrize("rate", [3000, 4096, 4097, 8192, 16384, 65536])
def test_a_tone_keeps_its_amplitude_its_phase_and_its_place_in_time(write, rate):
    time = np.arange(70 * rate) / rate
    values = 1e-21 * np.sin(2 * np.pi * 1000 * time) + 1e-20
    strain = strain_of(values, write, rate=rate)
    samples, event = block(strain, START + 40.3)
    begin = 40.3 - event
    ours = begin + np.arange(len(samples)) / SAMPLE_RATE
    tone = 1e-21 * np.sin(2 * np.pi * 1000 * ours) + 1e-20
    inner = slice(SAMPLE_RATE // 8, -SAMPLE_RATE // 8)
    assert np.abs(samples - tone)[inner].max() < 0.01e-21
    assert np.abs(samples - tone).max() < 2e-21  # no step at the edges, where the data end


def test_what_the_new_rate_can_t_hold_is_suppressed(write):
    time = np.arange(16 * 16384) / 16384
    strain = strain_of(np.sin(2 * np.pi * 6000 * time), write, rate=16384)
    samples, _ = block(strain, START + 8.0)
    assert np.abs(samples[1000:-1000]).max() < 2e-3


def with_gap(begin, end, seconds=100, filled=np.nan):
    values = noise(seconds)
    values[int(begin * RATE) : int(end * RATE)] = filled
    return values


@pytest.mark.parametrize(
    ("gap", "length", "place"),
    [((0, 20), 64, 30.0), ((0, 45), 32, 5.0), ((55, 100), 32, 27.0), ((53, 54), 32, 29.0)],
)
def test_a_gap_further_out_shortens_the_block(write, gap, length, place):
    samples, event = block(strain_of(with_gap(*gap), write), START + 50.0)
    assert len(samples) == length * SAMPLE_RATE
    assert event == pytest.approx(place)
    assert np.isfinite(samples).all()


@pytest.mark.parametrize(
    ("values", "event", "message"),
    [
        (noise(10), -1.0, "1126259446 to 1126259456 doesn't hold GPS 1126259445.0; give a time"),
        (noise(10), 10.0, "doesn't hold GPS 1126259456.0"),
        (noise(10), float("nan"), "doesn't hold GPS nan"),
        (noise(10), 1.5, "has 1.50 s before GPS 1126259447.5 and 8.50 s after it"),
        (noise(10), 9.0, "has 9.00 s before GPS 1126259455 and 1.00 s after it"),
        (noise(7), 3.0, "has 7.00 s without a gap about GPS 1126259449.0; a picture needs 8 s"),
        (with_gap(51, 51.5), 50.0, "no data from GPS 1126259497 to 1126259497.5, within 3 s"),
        (with_gap(48.5, 60), 50.0, "no data from GPS 1126259494.5 to 1126259506, within 3 s"),
        (np.zeros(40960), 5.0, "no data from GPS 1126259446 to 1126259456"),
        (with_gap(52, 60, filled=0.0), 50.0, "no data from GPS 1126259498 to 1126259506"),
    ],
)
def test_too_little_strain_about_an_event_is_told_with_the_numbers(write, values, event, message):
    with pytest.raises(StrainError) as caught:
        block(strain_of(values, write), START + event)
    assert message in str(caught.value)
    assert str(caught.value).startswith("H1's strain of GPS 1126259446 to ")


def test_noise_goes_on_as_it_is_above_what_a_low_rate_can_hold(write):
    samples, _ = block(strain_of(noise(32, 2048), write, rate=2048), START + 16.0)
    density = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    bands = [(100, 900), (900, 1050), (1050, 2000), (2000, 4000)]
    below, *above = (density[(hertz > low) & (hertz < high)].mean() for low, high in bands)
    assert above == pytest.approx([below] * 3, rel=0.5, abs=0)


def test_strain_sampled_too_slowly_is_refused(write):
    with pytest.raises(StrainError, match=r"has 2047 samples a second; give strain of 2048 to 655"):
        block(strain_of(noise(10, 2047), write, rate=2047), START + 5.0)


@pytest.mark.parametrize("rate", [65537, 8388593])
def test_a_made_up_rate_is_refused_unread(write, rate):
    with pytest.raises(StrainError, match=rf"has {rate}\.0 samples a second; .* 65536 at most"):
        read_strain(write(noise(1), "H1.npy"), gps_start=1.0, sample_rate=float(rate))


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32])
def test_counts_and_short_floats_are_taken(write, kind):
    values = (2000 * np.random.default_rng(0).normal(size=4 * RATE)).astype(kind)
    strain = strain_of(values, write)
    assert strain.values.dtype == np.float64
    np.testing.assert_array_equal(strain.values, values)


@pytest.mark.parametrize("value", [1e308, -1e308, 1e-321])
def test_values_that_no_strain_has_are_refused(write, value):
    values = np.zeros(RATE)
    values[1:4] = value, np.nan, -value / 2
    with pytest.raises(
        StrainError, match=r"its greatest value is .*e(\+308|-322), which no strain"
    ):
        strain_of(values, write)


@pytest.mark.parametrize("told", [{"Xspacing": 0.0}, {"Xstart": [1, 2]}])
def test_a_start_or_rate_that_makes_no_sense_is_said_without_python_s_words(tmp_path, told):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        samples = file.create_dataset("strain/Strain", data=np.zeros(8))
        samples.attrs.update({"Xstart": 1000, "Xspacing": 1 / 4096} | told)
    with pytest.raises(StrainError, match="its start, sample rate or detector isn't one that"):
        read_strain(path, detector="H1")


def test_a_start_in_utc_is_that_in_gps_seconds(write):
    path = write(noise(8), "H1.npy")
    strain = read_strain(path, gps_start="2015-09-14T09:50:29Z", sample_rate=4096.0)
    assert strain.start == START  # of GW150914's 32 s
    assert block(strain, START + 4.0)[1] == 4.0
