//! Patterns with `%` and `_`.

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Any number of characters.
    Any,
    One,
    This(char),
}

/// A pattern that texts are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Like(Vec<Part>);

impl Like {
    pub(super) fn new(pattern: &str) -> Self {
        let (mut parts, mut chars) = (Vec::new(), pattern.chars());
        while let Some(c) = chars.next() {
            let part = match c {
                '%' => Part::Any,
                '_' => Part::One,
                '\\' => Part::This(chars.next().unwrap_or('\\')),
                c => Part::This(c),
            };
            if part != Part::Any || parts.last() != Some(&Part::Any) {
                parts.push(part);
            }
        }
        Self(parts)
    }

    /// Whether a text is like it as a whole. What is not UTF-8 in it is U+FFFD.
    pub(super) fn fits(&self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text);
        let (mut rest, mut at) = (text.chars(), 0);
        // Where the last `%` stands, and from where on what follows it is tried next.
        let mut again: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let mut after = rest.clone();
            let next = after.next();
            match (self.0.get(at), next) {
                (Some(Part::Any), _) => {
                    again = Some((at + 1, rest.clone()));
                    at += 1;
                    continue;
                }
                (Some(Part::One), Some(_)) => {}
                (Some(Part::This(c)), Some(next)) if *c == next => {}
                (None, None) => return true,
                _ => {
                    // What the `%` stands for is one character longer.
                    let Some((part, from)) = &mut again else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    (rest, at) = (from.clone(), *part);
                    continue;
                }
            }
            (rest, at) = (after, at + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            (['%', rest @ ..], text) => (0..=text.len()).any(|cut| naive(rest, &text[cut..])),
            (['_', rest @ ..], [_, text @ ..]) => naive(rest, text),
            ([c, rest @ ..], [d, text @ ..]) => c == d && naive(rest, text),
            _ => false,
        }
    }

    #[test]
    fn a_backslash_makes_a_sign_stand_for_itself() {
        assert!(Like::new(r"100\%").fits(b"100%") && !Like::new(r"100\%").fits(b"1000"));
        assert!(Like::new("Müll%").fits("Müller".as_bytes()) && Like::new("M_ll").fits("Müll".as_bytes()));
    }

    proptest! {
        #[test]
        fn it_is_what_trying_everything_finds(pattern in "[ab%_]{0,8}", text in "[abü]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Like::new(&pattern).fits(text.as_bytes()), naive(&chars(&pattern), &chars(&text)));
        }
    }
}
