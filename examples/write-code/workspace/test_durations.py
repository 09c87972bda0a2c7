"""What durations.py must do. These tests are protected: the loop cannot change them."""

from datetime import timedelta

import pytest
from durations import format_duration, parse_duration


def test_parses_hours_and_minutes():
    assert parse_duration("PT1H30M") == timedelta(hours=1, minutes=30)


def test_parses_days_with_time():
    assert parse_duration("P3DT4H5M6S") == timedelta(days=3, hours=4, minutes=5, seconds=6)


def test_parses_weeks():
    assert parse_duration("P2W") == timedelta(days=14)


def test_parses_a_fraction_with_point_or_comma():
    assert parse_duration("PT0.5S") == timedelta(milliseconds=500)
    assert parse_duration("PT1,5H") == timedelta(minutes=90)


def test_parses_a_sign():
    assert parse_duration("-PT15M") == timedelta(minutes=-15)
    assert parse_duration("+P1D") == timedelta(days=1)


def test_minutes_may_be_more_than_sixty():
    assert parse_duration("PT90M") == timedelta(minutes=90)


def test_refuses_what_is_no_duration():
    for text in ("", "P", "PT", "P1DT", "1H", "-", "-P", "P-1D", "PT1H ", "pt1h", "PT1H\n", "PT.S"):
        with pytest.raises(ValueError, match="duration"):
            parse_duration(text)


def test_refuses_units_out_of_order():
    with pytest.raises(ValueError, match="duration"):
        parse_duration("PT5S1H")


def test_refuses_a_fraction_that_is_not_last():
    with pytest.raises(ValueError, match="duration"):
        parse_duration("PT1.5H30M")


def test_refuses_years_and_months_by_name():
    for text in ("P1Y", "P6M", "P1Y2M"):
        with pytest.raises(ValueError, match="years and months"):
            parse_duration(text)


def test_refuses_weeks_with_other_units():
    with pytest.raises(ValueError, match="duration"):
        parse_duration("P1W2D")


def test_formats_the_parts_that_are_not_zero():
    assert format_duration(timedelta(days=1, minutes=30)) == "P1DT30M"
    assert format_duration(timedelta(hours=36)) == "P1DT12H"


def test_formats_zero():
    assert format_duration(timedelta()) == "PT0S"


def test_formats_fractions_without_trailing_zeros():
    assert format_duration(timedelta(seconds=1, milliseconds=250)) == "PT1.25S"


def test_formats_a_negative_duration_with_its_sign_in_front():
    assert format_duration(timedelta(minutes=-90)) == "-PT1H30M"


def test_what_is_formatted_parses_to_the_same():
    for seconds in (0, 1, 59.5, 3600, 86_399.999999, 86_400, 1e9, -0.000001, -61):
        delta = timedelta(seconds=seconds)
        assert parse_duration(format_duration(delta)) == delta
