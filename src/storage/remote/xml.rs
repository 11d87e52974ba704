//! As much of XML as answers of stores need.

/// What stands between a tag and its end, with characters in place of entities.
pub(super) fn within(text: &str, tag: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{tag}>"))?;
    let (text, _) = rest.split_once(&format!("</{tag}>"))?;
    Some(unescaped(text.trim()))
}

/// Puts characters in place of the entities of XML.
pub(super) fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let entity = after.split_once(';').and_then(|(name, after)| Some((character(name)?, after)));
        rest = match entity {
            Some((character, after)) => {
                plain.push(character);
                after
            }
            None => {
                plain.push('&');
                after
            }
        };
    }
    plain + rest
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(number)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_of_all_forms_are_read_and_others_stay() {
        let text = "<A>1</A><B> a&amp;lt;b&#10;c&#x41;&nbsp;&; </B>";
        assert_eq!(within(text, "B").unwrap(), "a&lt;b\ncA&nbsp;&;");
        assert_eq!((within(text, "A"), within(text, "C"), within("<A>1", "A")), (Some("1".into()), None, None));
    }
}
