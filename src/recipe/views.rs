//! The two ways in which a file can be read (`docs/format.md`, "Plain view").

use super::layout::{Class, Entry};
use super::{ContainerRecipe, Stream};
use crate::avro::container::{Header, MARKER, encode_header};
use crate::avro::varint;

/// As which bytes a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// The file, bit for bit.
    Exact,
    /// A container with the same records in the same blocks, uncompressed: its codec is `null`. Nothing has to be encoded
    /// for it. Of a file that is no such container, or has blocks that are not decoded, it is the file itself.
    Plain,
}

impl View {
    /// All views.
    pub const ALL: [Self; 2] = [Self::Exact, Self::Plain];

    /// Its name, in paths and keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Plain => "plain",
        }
    }

    /// The view with this name.
    pub fn of_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name().as_bytes() == name)
    }
}

/// The header of the plain view with its marker; `None` if the plain view is the file itself.
pub(super) fn plain_header(recipe: &ContainerRecipe, header: &Header) -> Option<Vec<u8>> {
    let all_decoded = recipe.payloads == Stream::Empty && recipe.strays == Stream::Empty;
    if !all_decoded || header.codec_name() == "null" {
        return None;
    }
    let as_null = |(key, value)| if key == b"avro.codec" { (key, &b"null"[..]) } else { (key, value) };
    let entries: Vec<(&[u8], &[u8])> = header.entries().map(as_null).collect();
    Some(encode_header(entries.into_iter(), &header.marker))
}

/// How many bytes of a plain view, which is not the file itself, an entry takes.
pub(super) fn plain_length(entry: &Entry) -> u64 {
    match entry.class {
        Class::Stray => entry.length,
        Class::Records | Class::Payload | Class::Corrected => {
            (plain_head(entry).len() as u64).saturating_add(entry.length).saturating_add(MARKER as u64)
        }
    }
}

/// What stands before the payload of a block in such a view.
pub(super) fn plain_head(entry: &Entry) -> Vec<u8> {
    let mut head = Vec::with_capacity(20);
    varint::encode(&mut head, entry.count as i64);
    varint::encode(&mut head, entry.length as i64);
    head
}
