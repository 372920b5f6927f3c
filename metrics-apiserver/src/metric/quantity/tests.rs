use super::parse::ParseQuantityError;
use super::*;

fn text(text: &str) -> Quantity {
    text.parse().unwrap()
}

#[test]
fn a_quantity_prints_as_go_prints_it() {
    for (milli, printed) in [
        (0, "0"),
        (1, "1m"),
        (1500, "1500m"),
        (100, "100m"),
        (-5000, "-5"),
        (1_000_000, "1k"),
        (1_234_567_000, "1234567"),
        (9_000_000_000_000_000_000, "9P"),
        (i64::MAX, "9223372036854775807m"),
        (i64::MIN, "-9223372036854775808m"),
    ] {
        assert_eq!(Quantity::from_milli(milli).to_string(), printed);
    }
}

#[test]
fn each_format_prints_as_go_prints_it() {
    for (value, format, printed) in [
        (0, Format::Nano, "0"),
        (1, Format::Nano, "1n"),
        (1_500, Format::Nano, "1500n"),
        (-250_000_000, Format::Nano, "-250m"),
        (1_000_000_000, Format::Nano, "1"),
        (i64::MAX, Format::Nano, "9223372036854775807n"),
        (0, Format::Binary, "0"),
        (1_023_000, Format::Binary, "1023"),
        (1_000_000, Format::Binary, "1k"),
        (1_024_000, Format::Binary, "1Ki"),
        (1_025_000, Format::Binary, "1025"),
        (1_536_000, Format::Binary, "1536"),
        (-1_048_576_000, Format::Binary, "-1Mi"),
        (1_024_001, Format::Binary, "1024001m"),
        (64 * 1_048_576_000, Format::Binary, "64Mi"),
    ] {
        assert_eq!(Quantity::new(value, format).to_string(), printed, "{format:?}");
    }
}

#[test]
fn a_float_is_truncated_at_the_precision_of_its_format() {
    for (value, format, printed) in [
        (0.123_456_789_9, Format::Nano, "123456789n"),
        (0.25, Format::Nano, "250m"),
        (2048.0, Format::Binary, "2Ki"),
        (2048.0009, Format::Binary, "2Ki"),
        (2048.5, Format::Binary, "2048500m"),
    ] {
        assert_eq!(Quantity::of(value, format).unwrap().to_string(), printed);
    }
    assert_eq!(Quantity::of(9_223_372_037.0, Format::Nano), Err(QuantityError::OutOfRange));
    assert_eq!(Quantity::of(f64::NAN, Format::Nano), Err(QuantityError::NotANumber));
}

#[test]
fn thousandths_of_a_finer_quantity_are_rounded_away_from_zero() {
    for (nano, milli) in [(1, 1), (-1, -1), (1_000_000, 1), (1_000_001, 2), (-1_500_000, -2), (0, 0)] {
        assert_eq!(Quantity::new(nano, Format::Nano).milli(), milli, "{nano}");
    }
}

#[test]
fn a_float_is_truncated_after_the_thousandths_toward_zero() {
    for (value, milli) in [
        (0.0004, 0),
        (-0.0004, 0),
        (1.5, 1500),
        (-1.9999, -1999),
        (0.0, 0),
        (-0.0, 0),
        (f64::MIN_POSITIVE, 0),
    ] {
        assert_eq!(Quantity::from_f64(value).unwrap().milli(), milli, "{value}");
    }
}

#[test]
fn a_number_that_is_not_finite_or_out_of_range_is_refused() {
    assert_eq!(Quantity::from_f64(f64::NAN), Err(QuantityError::NotANumber));
    for sign in [1.0, -1.0] {
        assert_eq!(Quantity::from_f64(sign * f64::INFINITY), Err(QuantityError::Infinite));
        assert_eq!(Quantity::from_f64(sign * 9_223_372_036_854_776.0), Err(QuantityError::OutOfRange));
        assert_eq!(Quantity::from_f64(sign * f64::MAX), Err(QuantityError::OutOfRange));
        let largest = Quantity::from_f64(sign * 9_223_372_036_854_774.0).unwrap();
        assert_eq!(largest.is_negative(), sign < 0.0, "neither sign wraps around");
    }
}

#[test]
fn texts_of_the_grammar_are_read() {
    for (written, milli) in [
        ("0", 0),
        ("1.5", 1500),
        ("+1.5", 1500),
        ("-.5", -500),
        ("1.", 1000),
        ("500m", 500),
        ("10k", 10_000_000),
        ("1Ki", 1_024_000),
        ("1.5Ki", 1_536_000),
        ("1e3", 1_000_000),
        ("1E3", 1_000_000),
        ("1e-3", 1),
        ("1n", 1),
        ("-1n", -1),
        ("0.0001Ki", 103),
        ("9223372036854775", 9_223_372_036_854_775_000),
        ("0e999999999999", 0),
        ("1e-999999999999", 1),
    ] {
        assert_eq!(text(written).milli(), milli, "{written}");
    }
}

#[test]
fn texts_outside_the_grammar_or_the_range_are_refused() {
    for bad in
        ["", "-", ".", "m", "e3", "1 ", " 1", "1i", "0.1mi", "1.1.M", "1e", "1ee3", "0x1", "1m3", "NaN", "٣"]
    {
        assert!(matches!(bad.parse::<Quantity>(), Err(ParseQuantityError::Syntax(_))), "{bad:?}");
    }
    for large in
        ["9223372036854776", "-9223372036854776", "9223372036854775.0001", "1e30", "8Ei", "1e999999999"]
    {
        assert!(matches!(large.parse::<Quantity>(), Err(ParseQuantityError::OutOfRange(_))), "{large}");
    }
    assert!(matches!("0".repeat(65).parse::<Quantity>(), Err(ParseQuantityError::TooLong(65))));
}

proptest::proptest! {
    #[test]
    fn printing_and_reading_is_the_identity(milli in -MAX_UNITS * 1000..=MAX_UNITS * 1000) {
        let quantity = Quantity::from_milli(milli);
        proptest::prop_assert_eq!(text(&quantity.to_string()), quantity);
    }

    #[test]
    fn no_text_makes_the_reader_panic(written in "\\PC{0,70}") {
        let _ = written.parse::<Quantity>();
    }

    #[test]
    fn no_float_becomes_a_quantity_of_the_other_sign(bits in proptest::num::u64::ANY) {
        let value = f64::from_bits(bits);
        if let Ok(quantity) = Quantity::from_f64(value) {
            proptest::prop_assert!(quantity.milli() == 0 || quantity.is_negative() == (value < 0.0));
        }
    }
}
