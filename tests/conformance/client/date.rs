//! Dates of EXT-X-PROGRAM-DATE-TIME (RFC 8216bis §4.4.4.6, ISO 8601).

use super::line::is_integer;

/// An ISO 8601 date and time with a zone as microseconds since 1970.
pub fn date_micros(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range).filter(|t| is_integer(t))?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let marks: Vec<u8> = [4, 7, 10, 13, 16].iter().filter_map(|&at| text.as_bytes().get(at).copied()).collect();
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
        None => ("0", rest),
    };
    if marks != b"--T::" || !is_integer(fraction) {
        return None;
    }
    let micros = format!("{fraction:0<6}").get(..6)?.parse::<i64>().ok()?;
    let offset_minutes = match zone.as_bytes() {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let minutes = zone[1..3].parse::<i64>().ok()? * 60 + zone[4..6].parse::<i64>().ok()?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    // Days since 1970, after H. Hinnant's "chrono-compatible low-level date algorithms".
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = y.div_euclid(400);
    let day_of_era =
        (y.rem_euclid(400)) * 365 + y.rem_euclid(400) / 4 - y.rem_euclid(400) / 100 + (153 * m + 2) / 5 + day - 1;
    let days = era * 146_097 + day_of_era - 719_468;
    let secs = days * 86_400 + hour * 3_600 + (minute - offset_minutes) * 60 + second;
    Some(secs * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_with_their_zone() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-03-01T00:00:00.5Z", Some(951_868_800_500_000)),
            ("2000-03-01T09:00:00.500+09:00", Some(951_868_800_500_000)),
            ("2026-11-21T12:00:00", None),
            ("2026-11-21", None),
            ("2026-11-21 12:00:00Z", None),
        ] {
            assert_eq!(date_micros(text), expected, "{text}");
        }
    }
}
