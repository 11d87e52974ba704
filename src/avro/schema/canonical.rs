//! The Parsing Canonical Form of a schema and its fingerprint ("Parsing Canonical Form for Schemas").

use std::collections::HashSet;

use super::{Kind, NodeId, Schema};

/// The canonical form: only what says how data are read, in one way of writing it.
pub(super) fn form(schema: &Schema) -> String {
    let mut form = Form { schema, seen: HashSet::new(), out: String::new() };
    form.node(schema.root());
    form.out
}

struct Form<'a> {
    schema: &'a Schema,
    /// The named types that are written already: from then on their name is enough.
    seen: HashSet<&'a str>,
    out: String,
}

impl<'a> Form<'a> {
    /// Writes a node. A type stands where it is first mentioned, which is not deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    fn node(&mut self, id: NodeId) {
        let schema = self.schema;
        match &schema.node(id).kind {
            Kind::Null => self.out.push_str("\"null\""),
            Kind::Boolean => self.out.push_str("\"boolean\""),
            Kind::Int => self.out.push_str("\"int\""),
            Kind::Long => self.out.push_str("\"long\""),
            Kind::Float => self.out.push_str("\"float\""),
            Kind::Double => self.out.push_str("\"double\""),
            Kind::Bytes => self.out.push_str("\"bytes\""),
            Kind::String => self.out.push_str("\"string\""),
            Kind::Record { name, fields } => {
                if self.opened(name, "record") {
                    self.out.push_str(",\"fields\":");
                    self.list(fields, |form, field| {
                        form.out.push_str("{\"name\":");
                        form.text(&field.name);
                        form.out.push_str(",\"type\":");
                        form.node(field.node);
                        form.out.push('}');
                    });
                    self.out.push('}');
                }
            }
            Kind::Enum { name, symbols } => {
                if self.opened(name, "enum") {
                    self.out.push_str(",\"symbols\":");
                    self.list(symbols, |form, symbol| form.text(symbol));
                    self.out.push('}');
                }
            }
            Kind::Fixed { name, size } => {
                if self.opened(name, "fixed") {
                    self.out.push_str(",\"size\":");
                    self.out.push_str(&size.to_string());
                    self.out.push('}');
                }
            }
            Kind::Array { items } => {
                self.out.push_str("{\"type\":\"array\",\"items\":");
                self.node(*items);
                self.out.push('}');
            }
            Kind::Map { values } => {
                self.out.push_str("{\"type\":\"map\",\"values\":");
                self.node(*values);
                self.out.push('}');
            }
            Kind::Union { branches } => self.list(branches, |form, branch| form.node(*branch)),
        }
    }

    /// Writes the beginning of a named type, or its name where it stands already. Says whether the rest must follow. A
    /// type without a name is written as such wherever it stands.
    fn opened(&mut self, name: &'a str, kind: &str) -> bool {
        if !name.is_empty() && !self.seen.insert(name) {
            self.text(name);
            return false;
        }
        self.out.push('{');
        if !name.is_empty() {
            self.out.push_str("\"name\":");
            self.text(name);
            self.out.push(',');
        }
        self.out.push_str("\"type\":\"");
        self.out.push_str(kind);
        self.out.push('"');
        true
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.out.push('[');
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            write(self, item);
        }
        self.out.push(']');
    }

    /// Writes a string. Proper names need no escapes; in odd ones only what JSON cannot do without is escaped.
    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.out.extend(['\\', c]),
                c if c < ' ' => self.out.push_str(&format!("\\u{:04x}", c as u32)),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// The CRC of no bytes, and the polynomial.
const EMPTY: u64 = 0xc15d_213a_a4d7_a795;

const TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { EMPTY } else { 0 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// CRC-64-AVRO, a Rabin fingerprint ("Schema Fingerprints").
pub(super) fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(EMPTY, |crc, byte| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)])
}
