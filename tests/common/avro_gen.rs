//! Random schemas and random data of them, encoded as any writer might: every type, logical types, recursion, both forms
//! of array and map runs. The same seed gives the same.

#![allow(dead_code, reason = "each test crate that includes this uses a part of it")]

use avro_snap::avro::varint;

/// A stream of numbers from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A number of any magnitude.
    pub(crate) fn long(&mut self) -> i64 {
        let shift = self.below(64);
        self.next() as i64 >> shift
    }
}

/// A type, so that data of it can be made.
#[derive(Debug, Clone)]
enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(usize),
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    Record(usize),
    /// A type that is mentioned again.
    Named(usize),
}

/// A random schema.
#[derive(Debug, Clone)]
pub(crate) struct Generated {
    /// It as JSON.
    pub(crate) text: String,
    root: Type,
    /// The fields of the records that [`Type::Record`] names.
    records: Vec<Vec<Type>>,
    /// The named types: full name, type.
    names: Vec<(String, Type)>,
}

impl Generated {
    /// A schema whose types nest at most `depth` deep.
    pub(crate) fn any(random: &mut Random, depth: usize) -> Self {
        let mut schema = Self { text: String::new(), root: Type::Null, records: Vec::new(), names: Vec::new() };
        let (root, text) = schema.make(random, depth, Place::Anywhere);
        (schema.root, schema.text) = (root, text);
        schema
    }

    /// A schema that is a record, as nearly all are.
    pub(crate) fn record(random: &mut Random, depth: usize) -> Self {
        let mut schema = Self { text: String::new(), root: Type::Null, records: Vec::new(), names: Vec::new() };
        let (root, text) = schema.make_record(random, depth.max(1), &[]);
        (schema.root, schema.text) = (root, text);
        schema
    }

    /// A datum, encoded.
    pub(crate) fn datum(&self, random: &mut Random) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&self.root, random, 0, &mut out);
        out
    }

    /// The same without logical types, which apache-avro 0.22 does not take out of its canonical form as it should.
    pub(crate) fn text_without_logical(&self) -> String {
        LOGICAL.iter().fold(self.text.clone(), |text, name| text.replace(&format!(",\"logicalType\":\"{name}\""), ""))
    }

    fn make(&mut self, random: &mut Random, depth: usize, place: Place<'_>) -> (Type, String) {
        let open = match place {
            Place::Anywhere => &[],
            Place::In(open) | Place::Branch(open) => open,
        };
        match random.below(if depth == 0 { 9 } else { 16 }) {
            0 => (Type::Null, "\"null\"".into()),
            1 => (Type::Boolean, "\"boolean\"".into()),
            2 => (Type::Int, plain(random, "int", "date")),
            3 => (Type::Long, plain(random, "long", "timestamp-millis")),
            4 => (Type::Float, plain(random, "float", "made-up")),
            5 => (Type::Double, plain(random, "double", "made-up")),
            6 => (Type::Bytes, plain(random, "bytes", "made-up")),
            7 => (Type::String, plain(random, "string", "made-up")),
            8 => match random.below(self.names.len() + 1) {
                0 => (Type::String, "{\"type\":{\"type\":\"string\",\"avro.java.string\":\"String\"}}".into()),
                n => {
                    let (name, named) = &self.names[n - 1];
                    // A record within itself must have a way out, which a union or a list around it gives.
                    match named {
                        Type::Named(record) if open.contains(record) => (
                            Type::Array(Box::new(named.clone())),
                            format!("{{\"type\":\"array\",\"items\":\"{name}\"}}"),
                        ),
                        _ => (named.clone(), format!("\"{name}\"")),
                    }
                }
            },
            9 => {
                let size = random.below(4) * random.below(9);
                let name = self.name(random, Type::Fixed(size));
                (Type::Fixed(size), format!("{{\"type\":\"fixed\",\"name\":\"{name}\",\"size\":{size}}}"))
            }
            10 => {
                let most = if random.one_in(8) { 200 } else { 5 };
                let count = 1 + random.below(most);
                let symbols: Vec<_> = (0..count).map(|n| format!("\"S{n}\"")).collect();
                let name = self.name(random, Type::Enum(count));
                let text = format!("{{\"symbols\":[{}],\"name\":\"{name}\",\"type\":\"enum\"}}", symbols.join(","));
                (Type::Enum(count), text)
            }
            11 => {
                let (items, text) = self.make(random, depth - 1, Place::In(open));
                (Type::Array(Box::new(items)), format!("{{\"type\":\"array\",\"items\":{text}}}"))
            }
            12 => {
                let (values, text) = self.make(random, depth - 1, Place::In(open));
                (Type::Map(Box::new(values)), format!("{{\"type\":\"map\",\"values\":{text}}}"))
            }
            13 if !matches!(place, Place::Branch(_)) => self.make_union(random, depth, open),
            _ => self.make_record(random, depth, open),
        }
    }

    /// A union of null and one other, or of several records and such.
    fn make_union(&mut self, random: &mut Random, depth: usize, open: &[usize]) -> (Type, String) {
        let mut branches = vec![(Type::Null, "\"null\"".to_owned())];
        let more = if random.one_in(3) { 3 } else { 1 };
        for _ in 0..more {
            let branch = match open {
                [.., record] if random.one_in(4) => {
                    let name = self.names.iter().find(|name| matches!(name.1, Type::Named(r) if r == *record));
                    name.map(|name| (name.1.clone(), format!("\"{}\"", name.0)))
                }
                _ => None,
            };
            let names = self.names.len();
            let branch = branch.unwrap_or_else(|| self.make(random, depth - 1, Place::Branch(open)));
            // A union has at most one branch of a kind.
            if !branches.iter().any(|other| discriminant(&other.0) == discriminant(&branch.0)) {
                branches.push(branch);
            } else {
                // What it defined is not defined after all.
                self.names.truncate(names);
            }
        }
        // The null may come last; the others keep their order, since one may mention what another defines.
        branches.rotate_left(random.below(2));
        let text = branches.iter().map(|branch| branch.1.as_str()).collect::<Vec<_>>().join(",");
        (Type::Union(branches.into_iter().map(|branch| branch.0).collect()), format!("[{text}]"))
    }

    fn make_record(&mut self, random: &mut Random, depth: usize, open: &[usize]) -> (Type, String) {
        let record = self.records.len();
        self.records.push(Vec::new());
        let name = self.name(random, Type::Named(record));
        let open = [open, &[record]].concat();
        let mut texts = Vec::new();
        for n in 0..random.below(10) {
            let (field, text) = self.make(random, depth - 1, Place::In(&open));
            self.records[record].push(field);
            texts.push(format!("{{\"name\":\"f{n}\",\"type\":{text},\"doc\":\"a {{field}}\"}}"));
        }
        let fields = texts.join(",");
        (Type::Record(record), format!("{{\"type\":\"record\",\"name\":\"{name}\",\"fields\":[{fields}]}}"))
    }

    /// Names a type; always with its namespace, so that a mention means the same everywhere.
    fn name(&mut self, random: &mut Random, named: Type) -> String {
        let name = format!("n{}.T{}", random.below(3), self.names.len());
        self.names.push((name.clone(), named));
        name
    }

    fn put(&self, of: &Type, random: &mut Random, depth: usize, out: &mut Vec<u8>) {
        match of {
            Type::Null => {}
            Type::Boolean => out.push(random.below(2) as u8),
            Type::Int => varint::encode(out, i64::from(random.long() as i32)),
            Type::Long => varint::encode(out, random.long()),
            Type::Float => bytes(random, 4, out),
            Type::Double => bytes(random, 8, out),
            Type::Fixed(size) => bytes(random, *size, out),
            Type::Bytes | Type::String => {
                let most = if random.one_in(20) { 300 } else { 12 };
                let length = random.below(most);
                varint::encode(out, length as i64);
                // ASCII, so that it is a proper string too.
                out.extend((0..length).map(|_| b'a' + random.below(26) as u8));
            }
            Type::Enum(symbols) => varint::encode(out, random.below(*symbols) as i64),
            Type::Array(items) => self.runs(random, depth, out, |random, out| self.put(items, random, depth + 1, out)),
            Type::Map(values) => self.runs(random, depth, out, |random, out| {
                self.put(&Type::String, random, depth + 1, out);
                self.put(values, random, depth + 1, out);
            }),
            Type::Union(branches) => {
                let null = branches.iter().position(|branch| matches!(branch, Type::Null));
                let branch = match null {
                    Some(null) if depth > 8 => null,
                    _ => random.below(branches.len()),
                };
                varint::encode(out, branch as i64);
                self.put(&branches[branch], random, depth + 1, out);
            }
            Type::Record(record) | Type::Named(record) => {
                self.records[*record].iter().for_each(|field| self.put(field, random, depth + 1, out));
            }
        }
    }

    /// The runs of an array or a map, some of which announce their length.
    fn runs(&self, random: &mut Random, depth: usize, out: &mut Vec<u8>, item: impl Fn(&mut Random, &mut Vec<u8>)) {
        let runs = if depth > 6 { 0 } else { random.below(3) };
        for _ in 0..runs {
            let count = 1 + random.below(3);
            let mut items = Vec::new();
            (0..count).for_each(|_| item(random, &mut items));
            if random.one_in(2) {
                varint::encode(out, count as i64);
            } else {
                varint::encode(out, -(count as i64));
                varint::encode(out, items.len() as i64);
            }
            out.extend(items);
        }
        out.push(0);
    }
}

/// Where a type is to stand; with the records it stands in.
#[derive(Clone, Copy)]
enum Place<'a> {
    Anywhere,
    In(&'a [usize]),
    Branch(&'a [usize]),
}

/// What counts as one kind in a union.
fn discriminant(of: &Type) -> usize {
    match of {
        Type::Null => 0,
        Type::Boolean => 1,
        Type::Int => 2,
        Type::Long => 3,
        Type::Float => 4,
        Type::Double => 5,
        Type::Bytes => 6,
        Type::String => 7,
        Type::Fixed(_) => 8,
        Type::Enum(_) => 9,
        Type::Array(_) => 10,
        Type::Map(_) => 11,
        Type::Union(_) => 12,
        Type::Record(_) | Type::Named(_) => 13,
    }
}

/// The logical types that are made, one of them unknown.
const LOGICAL: [&str; 3] = ["date", "timestamp-millis", "made-up"];

/// A primitive type, in one of the ways to write it.
fn plain(random: &mut Random, name: &str, logical: &str) -> String {
    match random.below(3) {
        0 => format!("{{\"type\":\"{name}\"}}"),
        1 => format!("{{\"type\":\"{name}\",\"logicalType\":\"{logical}\"}}"),
        _ => format!("\"{name}\""),
    }
}

fn bytes(random: &mut Random, count: usize, out: &mut Vec<u8>) {
    out.extend((0..count).map(|_| random.next() as u8));
}
