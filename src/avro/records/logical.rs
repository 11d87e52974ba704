//! Values of logical types as text.

use std::fmt::Write as _;

use crate::avro::schema::Kind;

/// The most bytes of a decimal that is written as a number; longer ones take ever more time.
const MAX_DECIMAL: usize = 16 << 10;

/// The most digits after the point of a decimal that is written as a number.
const MAX_SCALE: u64 = 2 * MAX_DECIMAL as u64;

/// A whole number as text, if its logical type says that it is a day or a time.
pub(in crate::avro) fn moment(value: i64, kind: &Kind, logical: Option<&str>) -> Option<String> {
    Some(match (kind, logical?) {
        (Kind::Int, "date") => date(value),
        (Kind::Int, "time-millis") => time(value, 3),
        (Kind::Long, "time-micros") => time(value, 6),
        (Kind::Long, "timestamp-millis") => timestamp(value, 3, "Z"),
        (Kind::Long, "timestamp-micros") => timestamp(value, 6, "Z"),
        (Kind::Long, "timestamp-nanos") => timestamp(value, 9, "Z"),
        (Kind::Long, "local-timestamp-millis") => timestamp(value, 3, ""),
        (Kind::Long, "local-timestamp-micros") => timestamp(value, 6, ""),
        (Kind::Long, "local-timestamp-nanos") => timestamp(value, 9, ""),
        _ => return None,
    })
}

/// A day counted from 1970-01-01. Years outside of 0 to 9999 have a sign, as ISO 8601 has it for more digits.
pub(super) fn date(days: i64) -> String {
    // From 0000-03-01 on, in eras of 400 years.
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    match year {
        0..10_000 => format!("{year:04}-{month:02}-{day:02}"),
        // The sign is one of the five.
        _ => format!("{year:+05}-{month:02}-{day:02}"),
    }
}

/// A time in units of this many digits after the second. One that is not within a day has more hours, or a sign.
pub(super) fn time(value: i64, digits: usize) -> String {
    let units = 10u64.pow(digits as u32);
    let sign = if value < 0 { "-" } else { "" };
    let (seconds, rest) = (value.unsigned_abs() / units, value.unsigned_abs() % units);
    format!("{sign}{:02}:{:02}:{:02}.{rest:0digits$}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn timestamp(value: i64, digits: usize, zone: &str) -> String {
    let day = 86_400 * 10i64.pow(digits as u32);
    format!("{}T{}{zone}", date(value.div_euclid(day)), time(value.rem_euclid(day), digits))
}

/// Bytes as text, if their logical type says what they are.
pub(in crate::avro) fn of_bytes(
    bytes: &[u8],
    kind: &Kind,
    logical: Option<&str>,
    scale: Option<u64>,
) -> Option<String> {
    match (kind, logical, bytes) {
        (Kind::Bytes | Kind::Fixed { .. }, _, _) if scale.is_some() => decimal(bytes, scale.unwrap_or(0)),
        (Kind::Fixed { .. }, Some("uuid"), bytes) if bytes.len() == 16 => Some(uuid(bytes)),
        (Kind::Fixed { .. }, Some("duration"), &[a, b, c, d, e, f, g, h, i, j, k, l]) => {
            let [months, days, millis] = [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_le_bytes);
            Some(format!("P{months}M{days}DT{}.{:03}S", millis / 1000, millis % 1000))
        }
        _ => None,
    }
}

/// A decimal: two's complement, highest byte first, the point `scale` digits from the end.
pub(super) fn decimal(bytes: &[u8], scale: u64) -> Option<String> {
    if bytes.len() > MAX_DECIMAL || scale > MAX_SCALE {
        return None;
    }
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let mut magnitude = bytes.to_vec();
    if negative {
        magnitude.iter_mut().for_each(|byte| *byte = !*byte);
        for byte in magnitude.iter_mut().rev() {
            let (sum, carry) = byte.overflowing_add(1);
            *byte = sum;
            if !carry {
                break;
            }
        }
        // -128 as one byte is its own complement, and right as a number without a sign.
    }
    let digits = digits(&magnitude);
    let scale = scale as usize;
    let digits = format!("{digits:0>least$}", least = scale + 1);
    let (whole, after) = digits.split_at(digits.len() - scale);
    let (sign, point) = (if negative { "-" } else { "" }, if scale > 0 { "." } else { "" });
    Some(format!("{sign}{whole}{point}{after}"))
}

/// The digits of a number, highest byte first, without zeros in front.
fn digits(bytes: &[u8]) -> String {
    const BASE: u64 = 1_000_000_000;
    // Nine digits each, the last ones first; four bytes are taken in at once, the first ones being fewer.
    let mut parts: Vec<u64> = Vec::new();
    let (first, rest) = bytes.split_at(bytes.len() % 4);
    for word in std::iter::once(first).chain(rest.chunks(4)) {
        let mut carry = word.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        for part in &mut parts {
            let sum = (*part << (8 * word.len())) + carry;
            *part = sum % BASE;
            carry = sum / BASE;
        }
        while carry > 0 {
            parts.push(carry % BASE);
            carry /= BASE;
        }
    }
    let mut text = parts.pop().unwrap_or(0).to_string();
    for part in parts.iter().rev() {
        let _ = write!(text, "{part:09}");
    }
    text
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (place, byte) in bytes.iter().enumerate() {
        let dash = if matches!(place, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(text, "{dash}{byte:02x}");
    }
    text
}
