from datetime import UTC, datetime, timedelta, timezone

import pytest
from astropy.time import Time

from flax_glitch.times import LEAPS, to_gps, to_utc


@pytest.mark.parametrize(
    "said",
    [
        "2015-09-14 09:50:45.4",
        "2015-09-14T09:50:45.4Z",
        "2015/09/14 09:50:45.4 UTC",
        " 2015-09-14T11:50:45.400000+02:00 ",
        datetime(2015, 9, 14, 9, 50, 45, 400_000),
        datetime(2015, 9, 14, 11, 50, 45, 400_000, timezone(timedelta(hours=2))),
        "1126259462.4",
        1126259462.4,
    ],
)
def test_the_first_detection_is_found_by_its_time_as_people_write_it(said):
    assert to_gps(said) == pytest.approx(1126259462.4, abs=1e-6)  # gwosc.org/events/GW150914


@pytest.mark.parametrize("after", LEAPS)
@pytest.mark.parametrize("seconds", [-86400, -2, -1, 0, 1, 86400])
def test_times_around_each_leap_second_are_those_of_astropy(after, seconds):
    moment = after + timedelta(seconds=seconds)
    truth = Time(moment.replace(tzinfo=None), scale="utc")
    assert to_gps(moment) == pytest.approx(truth.gps, abs=1e-6)
    assert to_utc(truth.gps) == truth.isot + "Z"


def test_astropy_knows_no_leap_second_that_is_not_in_the_list():
    assert to_gps(datetime(2026, 11, 1)) == pytest.approx(Time("2026-11-01", scale="utc").gps)


def test_a_leap_second_is_a_second_of_its_own():
    assert to_gps("2016-12-31T23:59:60.5") == 1167264017.5 == to_gps("2016-12-31 23:59:59.5") + 1
    assert to_utc(1167264017.5) == "2016-12-31T23:59:60.500Z"
    with pytest.raises(ValueError, match="give GPS seconds"):
        to_gps("2015-12-31T23:59:60")


def test_a_date_alone_is_its_midnight():
    assert to_gps("2015-09-14") == to_gps(datetime(2015, 9, 14, tzinfo=UTC)) == 1126224017


@pytest.mark.parametrize(
    "said",
    [
        *["", "soon", "nan", "inf", -5, "2015-13-01", "2015-09-14 25:00", "1126259462400"],
        *["09/14/2015", "2015-09/14", "1979-12-31", "9999-01-01", "2015-09-14 09:50:45 CET"],
    ],
)
def test_what_is_no_time_is_told_in_one_line_what_is_taken(said):
    with pytest.raises(ValueError, match=r"give GPS seconds, such as .*, or UTC") as error:
        to_gps(said)
    assert "\n" not in str(error.value)
