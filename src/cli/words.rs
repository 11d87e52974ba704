//! Splits a command line into words the way a shell does, without a shell.

/// The words; none if a quote is not closed. White space parts words; `'...'` and `"..."` keep it, and `\` keeps the next
/// character (between double quotes only `"` and `\`). Nothing else has a meaning.
pub(crate) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '"' => break,
                        '\\' => match rest.next()? {
                            c @ ('"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(rest.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_would() {
        for (text, expected) in [
            ("pass show  backup", Some(&["pass", "show", "backup"][..])),
            ("echo 'a b' \"c \\\"d\"", Some(&["echo", "a b", "c \"d"])),
            ("a\\ b '' x'y'z", Some(&["a b", "", "xyz"])),
            ("$(boom) `x` | y", Some(&["$(boom)", "`x`", "|", "y"])),
            ("", Some(&[])),
            ("a 'b", None),
            ("a \"b", None),
            ("a\\", None),
        ] {
            let words = split(text);
            assert_eq!(
                words.as_ref().map(|words| words.iter().map(String::as_str).collect()),
                expected.map(<[_]>::to_vec),
                "{text}"
            );
        }
    }
}
