//! Numbers as they stand in expressions, exact.

use std::cmp::Ordering;

/// The most digits of a number, and the largest exponent.
const MAX_DIGITS: usize = 1000;
const MAX_EXPONENT: i64 = 400;

/// A decimal number: digits times a power of ten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    negative: bool,
    /// Each 0 to 9, highest first; neither the first nor the last is 0. None for 0.
    digits: Vec<u8>,
    exponent: i64,
}

/// The largest whole number that is not above another one, and whether it is that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Floor {
    /// Two's complement, highest byte first, as short as can be; none for 0.
    pub(super) bytes: Vec<u8>,
    pub(super) exact: bool,
}

impl Number {
    /// Reads a number like `-12.30` or `1e5`; all of the text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = || whole.bytes().chain(after.bytes());
        let lacks_digits = whole.is_empty() || (mantissa.contains('.') && after.is_empty());
        if lacks_digits || mantissa.len() > MAX_DIGITS || !(-MAX_EXPONENT..=MAX_EXPONENT).contains(&exponent) {
            return None;
        }
        if !all().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let mut digits: Vec<u8> = all().map(|digit| digit - b'0').skip_while(|digit| *digit == 0).collect();
        let mut exponent = exponent - after.len() as i64;
        while digits.last() == Some(&0) {
            digits.pop();
            exponent += 1;
        }
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        Some(Self { negative, digits, exponent })
    }

    /// It times ten to the power of `scale`, rounded down. The scale is a few thousand at most.
    pub(super) fn floor(&self, scale: u64) -> Floor {
        let exponent = self.exponent.saturating_add(i64::try_from(scale).unwrap_or(i64::MAX));
        let (kept, zeros) = match usize::try_from(exponent) {
            Ok(zeros) => (self.digits.len(), zeros),
            Err(_) => {
                let cut = usize::try_from(exponent.unsigned_abs()).unwrap_or(usize::MAX);
                (self.digits.len().saturating_sub(cut), 0)
            }
        };
        let exact = kept == self.digits.len();
        let kept = self.digits.iter().take(kept).copied().chain(std::iter::repeat_n(0, zeros));
        let mut magnitude = binary(kept);
        if self.negative && !exact {
            add_one(&mut magnitude);
        }
        Floor { bytes: complement(&magnitude, self.negative), exact }
    }

    /// The nearest double.
    pub(super) fn double(&self) -> f64 {
        self.text().parse().unwrap_or(f64::NAN)
    }

    /// The nearest float.
    pub(super) fn float(&self) -> f32 {
        self.text().parse().unwrap_or(f32::NAN)
    }

    fn text(&self) -> String {
        let digits: String = self.digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        format!("{}0{digits}e{}", if self.negative { "-" } else { "" }, self.exponent)
    }
}

impl Floor {
    /// How a whole number compares with what this was made of.
    #[allow(clippy::big_endian_bytes, reason = "decimals are written highest byte first")]
    pub(super) fn compare(&self, value: i64) -> Ordering {
        self.compare_bytes(&value.to_be_bytes())
    }

    /// The same of a number in two's complement, highest byte first.
    pub(super) fn compare_bytes(&self, value: &[u8]) -> Ordering {
        // A number that is not whole lies above its floor.
        compare(shortest(value), &self.bytes).then(if self.exact { Ordering::Equal } else { Ordering::Less })
    }

    /// It as a number of 64 bits, if it is exactly one.
    #[allow(clippy::big_endian_bytes, reason = "decimals are written highest byte first")]
    pub(super) fn long(&self) -> Option<i64> {
        let sign = if self.bytes.first().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
        let mut wide = [sign; 8];
        wide.get_mut(8usize.checked_sub(self.bytes.len())?..)?.copy_from_slice(&self.bytes);
        self.exact.then_some(i64::from_be_bytes(wide))
    }
}

/// A number in two's complement without bytes that only repeat its sign; none for 0.
fn shortest(mut bytes: &[u8]) -> &[u8] {
    loop {
        bytes = match bytes {
            [0] => &[],
            [0, next, ..] if *next < 0x80 => bytes.get(1..).unwrap_or_default(),
            [0xff, next, ..] if *next >= 0x80 => bytes.get(1..).unwrap_or_default(),
            _ => return bytes,
        }
    }
}

/// Compares numbers in their shortest forms.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let negative = |bytes: &[u8]| bytes.first().is_some_and(|byte| *byte >= 0x80);
    match (negative(a), negative(b)) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (true, true) => b.len().cmp(&a.len()).then_with(|| a.cmp(b)),
        (false, false) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
    }
}

/// Decimal digits as bytes, highest first, without zeros in front.
fn binary(digits: impl Iterator<Item = u8>) -> Vec<u8> {
    // Lowest first.
    let mut words: Vec<u32> = Vec::new();
    for digit in digits {
        let mut carry = u64::from(digit);
        for word in &mut words {
            let sum = u64::from(*word) * 10 + carry;
            (*word, carry) = (sum as u32, sum >> 32);
        }
        if carry > 0 {
            words.push(carry as u32);
        }
    }
    let bytes = words.iter().rev().flat_map(|word| [word >> 24, word >> 16, word >> 8, *word]).map(|byte| byte as u8);
    bytes.skip_while(|byte| *byte == 0).collect()
}

fn add_one(magnitude: &mut Vec<u8>) {
    for byte in magnitude.iter_mut().rev() {
        let (sum, carry) = byte.overflowing_add(1);
        *byte = sum;
        if !carry {
            return;
        }
    }
    magnitude.insert(0, 1);
}

/// A magnitude and a sign as two's complement in its shortest form.
fn complement(magnitude: &[u8], negative: bool) -> Vec<u8> {
    let mut bytes = [&[0], magnitude].concat();
    if negative {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        add_one(&mut bytes);
    }
    shortest(&bytes).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn numbers_are_read_exactly() {
        for (text, long) in
            [("0", 0), ("-0.0", 0), ("12.50e2", 1250), ("-9223372036854775808", i64::MIN), ("1e3", 1000), ("00012", 12)]
        {
            assert_eq!(number(text).floor(0).long(), Some(long), "{text}");
        }
        for text in ["", "-", "1.", ".5", "1e", "1e401", "0x1", "1_0", "1.2.3", "ß"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
        assert_eq!(number("9223372036854775808").floor(0).long(), None);
        assert_eq!(number("0.1").floor(0).long(), None);
        assert_eq!(number("1e-324").double(), 0.0);
        assert_eq!(number("0.1").float(), 0.1f32);
    }

    #[test]
    fn what_lies_between_whole_numbers_is_above_the_lower_one() {
        assert_eq!(number("2.5").floor(0).compare(2), Ordering::Less);
        assert_eq!(number("2.5").floor(0).compare(3), Ordering::Greater);
        assert_eq!(number("-2.5").floor(0).compare(-3), Ordering::Less);
        assert_eq!(number("-2.5").floor(0).compare(-2), Ordering::Greater);
        assert_eq!(number("12.3").floor(2).compare(1230), Ordering::Equal);
    }

    #[expect(clippy::big_endian_bytes, reason = "decimals are written so")]
    fn decimal(number: i128) -> [u8; 16] {
        number.to_be_bytes()
    }

    proptest! {
        #[test]
        fn they_compare_as_numbers(a: i128, b: i64, shift in 0u32..128, scale in 0u32..30) {
            let a = a >> shift;
            let floor = number(&a.to_string()).floor(0);
            prop_assert_eq!(floor.compare(b), i128::from(b).cmp(&a));
            prop_assert_eq!(floor.compare_bytes(&decimal(a)), Ordering::Equal);
            prop_assert_eq!(floor.long(), i64::try_from(a).ok());
            let cut = number(&format!("{a}e-{scale}")).floor(0);
            let tenth = 10i128.pow(scale);
            prop_assert_eq!(cut.compare_bytes(&decimal(a.div_euclid(tenth))) == Ordering::Equal, a % tenth == 0);
            prop_assert_eq!(cut.compare_bytes(&decimal(a.div_euclid(tenth) + 1)), Ordering::Greater);
        }

        #[test]
        fn any_text_is_a_number_or_none(text: String) {
            let _ = Number::parse(&text).map(|number| number.floor(3));
        }
    }
}
