//! JSON text of records: quoting and escaping, in parts.

use super::{Done, PART};

/// Where text goes.
pub(super) struct Out<'o> {
    pub(super) text: &'o mut String,
    /// Nothing is written.
    pub(super) muted: bool,
    /// A string was not UTF-8.
    pub(super) lossy: bool,
    pub(super) full: &'o mut dyn FnMut(&mut String) -> Done,
}

impl Out<'_> {
    pub(super) fn push(&mut self, text: &str) -> Done {
        if self.muted {
            return Ok(());
        }
        self.text.push_str(text);
        if self.text.len() >= PART { (self.full)(self.text) } else { Ok(()) }
    }

    /// A text in quotes. Characters that a terminal would obey are escaped, all of them.
    pub(super) fn string(&mut self, text: &str) -> Done {
        self.text(text.as_bytes())
    }

    /// The same of bytes that should be UTF-8; the replacement character stands for what is not.
    pub(super) fn text(&mut self, bytes: &[u8]) -> Done {
        if self.muted {
            return Ok(());
        }
        self.push("\"")?;
        for chunk in bytes.utf8_chunks() {
            self.escaped(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                self.lossy = true;
                self.push("\u{fffd}")?;
            }
        }
        self.push("\"")
    }

    /// Bytes in quotes, each as the character of that number.
    pub(super) fn latin(&mut self, bytes: &[u8]) -> Done {
        if self.muted {
            return Ok(());
        }
        self.push("\"")?;
        for part in bytes.chunks(RUN) {
            let text: String = part.iter().map(|byte| char::from(*byte)).collect();
            self.escaped(&text)?;
        }
        self.push("\"")
    }

    fn escaped(&mut self, mut text: &str) -> Done {
        while !text.is_empty() {
            let Some((plain, rest)) = text.split_at_checked(plain_prefix(text)) else { break };
            self.push(plain)?;
            let mut others = rest.chars();
            if let Some(c) = others.next() {
                push_escaped(self.text, c);
            }
            text = others.as_str();
        }
        Ok(())
    }
}

/// How many bytes are looked at and written at once.
pub(super) const RUN: usize = 4 << 10;

/// How many bytes of the text stand for themselves in JSON and for a terminal, at most [`RUN`] of them.
fn plain_prefix(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, end) = (0, bytes.len().min(RUN));
    while at < end {
        match bytes.get(at..).unwrap_or_default() {
            // The control characters from U+0080 to U+009F.
            [0xc2, 0x80..=0x9f, ..] | [0..0x20 | b'"' | b'\\' | 0x7f, ..] | [] => break,
            _ => at += 1,
        }
    }
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn push_escaped(text: &mut String, c: char) {
    match c {
        '"' => text.push_str("\\\""),
        '\\' => text.push_str("\\\\"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        c if c.is_control() => push_control(text, c),
        c => text.push(c),
    }
}

/// A control character as JSON escapes it; there is none above U+009F. Bytes may be hundreds of millions of them.
fn push_control(text: &mut String, c: char) {
    let digit = |shift: u32| char::from_digit(u32::from(c) >> shift & 15, 16).unwrap_or('0');
    text.push_str("\\u00");
    text.push(digit(4));
    text.push(digit(0));
}
