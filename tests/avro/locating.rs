//! Fields of generated records are found where a reader of whole records finds them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::ops::Range;

use crate::avro_gen;

use avro_gen::{Generated, Random};
use avro_snap::avro::field_path::{FieldPath, MAX_STEPS};
use avro_snap::avro::locate::Locator;
use avro_snap::avro::schema::{Kind, NodeId, Schema};
use avro_snap::avro::varint;
use proptest::prelude::*;

type Places = BTreeMap<Vec<String>, (NodeId, Range<usize>)>;

/// Reads records as a whole, and writes down where everything lies that a path can lead to.
struct Reader<'a> {
    schema: &'a Schema,
    bytes: &'a [u8],
    at: usize,
    places: Places,
}

impl Reader<'_> {
    fn long(&mut self) -> i64 {
        let long = varint::decode(&self.bytes[self.at..]).unwrap();
        self.at += long.used;
        long.value
    }

    fn text(&mut self) -> String {
        let length = self.long() as usize;
        self.at += length;
        String::from_utf8_lossy(&self.bytes[self.at - length..self.at]).into_owned()
    }

    /// `path` is none within arrays, and in what comes again under a key or a name that came before.
    fn value(&mut self, id: NodeId, path: Option<Vec<String>>) {
        let begin = self.at;
        let within = |name: &str, known: bool| {
            let mut path = path.clone().filter(|_| !known)?;
            path.push(name.to_owned());
            Some(path)
        };
        match &self.schema.node(id).kind {
            Kind::Union { branches } => {
                let branch = self.long() as usize;
                return self.value(branches[branch], path);
            }
            Kind::Null => return,
            Kind::Boolean => self.at += 1,
            Kind::Int | Kind::Long | Kind::Enum { .. } => drop(self.long()),
            Kind::Float => self.at += 4,
            Kind::Double => self.at += 8,
            Kind::Fixed { size, .. } => self.at += *size as usize,
            Kind::Bytes | Kind::String => drop(self.text()),
            Kind::Record { fields, .. } => {
                for (place, field) in fields.iter().enumerate() {
                    let known = fields[..place].iter().any(|before| before.name == field.name);
                    self.value(field.node, within(&field.name, known));
                }
            }
            Kind::Array { items } => self.runs(|reader| reader.value(*items, None)),
            Kind::Map { values } => {
                let mut known = Vec::new();
                self.runs(|reader| {
                    let key = reader.text();
                    reader.value(*values, within(&key, known.contains(&key)));
                    known.push(key);
                });
            }
        }
        if let Some(path) = path {
            self.places.insert(path, (id, begin..self.at));
        }
    }

    fn runs(&mut self, mut item: impl FnMut(&mut Self)) {
        loop {
            let count = self.long();
            if count < 0 {
                self.long();
            }
            if count == 0 {
                return;
            }
            (0..count.unsigned_abs()).for_each(|_| item(self));
        }
    }
}

/// Some path that the schema knows.
fn some_path(schema: &Schema, random: &mut Random) -> Option<FieldPath> {
    let (mut names, mut at) = (Vec::new(), schema.root());
    while names.len() < MAX_STEPS {
        match &schema.node(at).kind {
            Kind::Union { branches } => at = *branches.get(random.below(branches.len()))?,
            Kind::Record { fields, .. } if !fields.is_empty() && (names.is_empty() || !random.one_in(4)) => {
                let field = &fields[random.below(fields.len())];
                names.push(field.name.clone());
                at = field.node;
            }
            Kind::Map { values } if names.is_empty() || !random.one_in(3) => {
                names.push("k".into());
                at = *values;
            }
            _ => break,
        }
    }
    FieldPath::new(names).ok()
}

fn case(seed: u64, depth: usize) -> (Generated, Schema, Vec<FieldPath>, Random) {
    let mut random = Random::new(seed);
    let generated = Generated::record(&mut random, depth);
    let schema = Schema::parse(&generated.text).unwrap();
    let paths = (0..random.below(6) + 1).filter_map(|_| some_path(&schema, &mut random)).collect();
    (generated, schema, paths, random)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn fields_are_found_where_a_whole_reading_finds_them(seed: u64, depth in 1usize..6) {
        let (generated, schema, mut paths, mut random) = case(seed, depth);
        let bytes = generated.datum(&mut random);
        let mut reader = Reader { schema: &schema, bytes: &bytes, at: 0, places: Places::new() };
        reader.value(schema.root(), Some(Vec::new()));
        prop_assert_eq!(reader.at, bytes.len());
        reader.places.remove(&Vec::new());
        // Paths that certainly lead to something, among them keys of maps as they are.
        let there: Vec<_> = reader.places.keys().filter(|names| names.len() <= MAX_STEPS).cloned().collect();
        for _ in 0..there.len().min(3) {
            paths.push(FieldPath::new(there[random.below(there.len())].clone()).unwrap());
        }
        let locator = Locator::new(&schema, &paths).unwrap();
        let mut found = Vec::new();
        locator.find(&bytes, &mut found).unwrap();
        prop_assert_eq!(found.len(), paths.len());
        for (path, found) in paths.iter().zip(found) {
            let found = found.map(|found| (found.node, found.range));
            prop_assert_eq!(found.as_ref(), reader.places.get(path.names()), "{} in {}", path, &generated.text);
        }
    }

    #[test]
    fn any_bytes_are_followed_or_refused(seed: u64, depth in 1usize..6, bytes: Vec<u8>) {
        let (_, schema, paths, _) = case(seed, depth);
        let mut found = Vec::new();
        let locator = Locator::new(&schema, &paths).unwrap();
        if locator.find(&bytes, &mut found).is_ok() {
            prop_assert!(found.iter().flatten().all(|found| found.range.start <= found.range.end && found.range.end <= bytes.len()));
        }
    }
}
