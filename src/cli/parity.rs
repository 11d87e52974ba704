//! Redundancy of packs: how much of it, and that it was needed.

use avro_snap::pack::MAX_SHARE;
use avro_snap::store::Repository;

use super::format::count;
use super::output::Output;

/// Reads a share of a pack, like `5%`, `2.5%`, `5` or `off`, as thousandths.
pub(crate) fn parse_share(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is not a share: write it like 5% or 2.5%, at most 100%, or off");
    if text == "off" {
        return Ok(0);
    }
    let number = text.strip_suffix('%').unwrap_or(text);
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(whole) || !is_number(tenth) || tenth.len() > 1 {
        return Err(wrong());
    }
    let share = whole.parse::<u32>().ok().and_then(|whole| whole.checked_mul(10)?.checked_add(tenth.parse().ok()?));
    share.filter(|share| *share <= MAX_SHARE).ok_or_else(wrong)
}

/// Says so if packs were read only with the help of their parity.
pub(crate) fn warn_of_mended(output: &Output, repository: &Repository) {
    let mended = repository.mended_packs().len() as u64;
    if mended > 0 {
        let packs = count(mended, "damaged pack");
        output.warn(&format!(
            "{packs} could be read with the help of parity only: run `snap repair packs` before more is damaged"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read() {
        for (text, share) in
            [("5%", 50), ("5", 50), ("2.5%", 25), ("0.1", 1), ("100%", 1000), ("0", 0), ("0%", 0), ("off", 0)]
        {
            assert_eq!(parse_share(text), Ok(share), "{text}");
        }
        for wrong in ["", "%", "5%%", "-1%", "+5", "100.1%", "101", "0.05%", "2.", ".5", "five", "5 %", "4294967295"] {
            assert!(parse_share(wrong).is_err(), "{wrong}");
        }
    }
}
