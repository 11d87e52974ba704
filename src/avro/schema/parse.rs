//! From JSON to nodes.

use std::collections::HashMap;

use super::evolution::{self, Decimal, Evolution};
use super::json::{Json, Object};
use super::{
    Field, Kind, MAX_DEPTH, MAX_NAME_BYTES, MAX_NAMES, MAX_NODES, MAX_TEXT, Node, NodeId, Schema, SchemaError,
};
use crate::avro::walk::Program;

/// [`Schema::parse`].
pub(super) fn schema(text: &str) -> Result<Schema, SchemaError> {
    if text.len() > MAX_TEXT {
        return Err(SchemaError::TooLong(text.len()));
    }
    let json: Json = serde_json::from_str(text).map_err(|error| SchemaError::Json(error.to_string()))?;
    let mut parser = Parser::default();
    let root = parser.schema(&json, "", 0)?;
    let always_empty = parser.least[root.index()] == 0;
    let program = Program::compile(&parser.nodes, &parser.least, root);
    Ok(Schema { nodes: parser.nodes, root, always_empty, evolution: parser.evolution, program })
}

#[derive(Default)]
struct Parser {
    nodes: Vec<Node>,
    /// For each node a number of bytes that no datum falls short of; 0 exactly where every datum is empty.
    least: Vec<u64>,
    /// Named types by full name.
    names: HashMap<String, NodeId>,
    /// Primitive types, which need no more than one node each.
    primitives: HashMap<(&'static str, Option<String>, Option<Decimal>), NodeId>,
    evolution: Evolution,
    name_bytes: usize,
}

impl Parser {
    fn schema(&mut self, json: &Json, namespace: &str, depth: usize) -> Result<NodeId, SchemaError> {
        if depth >= MAX_DEPTH {
            return Err(SchemaError::TooDeep);
        }
        match json {
            Json::Text(name) => self.reference(name, None, None, namespace),
            Json::List(branches) => {
                let id = self.open(None)?;
                let branches = branches
                    .iter()
                    .map(|branch| self.schema(branch, namespace, depth + 1))
                    .collect::<Result<Vec<_>, _>>()?;
                let least = branches.iter().map(|branch| self.least[branch.index()]).min().unwrap_or(0);
                Ok(self.close(id, Kind::Union { branches }, least.saturating_add(1)))
            }
            Json::Object(object) => self.object(object, namespace, depth),
            Json::Number(_) | Json::Other => Err(SchemaError::NotASchema),
        }
    }

    fn object(&mut self, object: &Object, namespace: &str, depth: usize) -> Result<NodeId, SchemaError> {
        let logical = object.text("logicalType").map(str::to_owned);
        let decimal = evolution::decimal(object);
        let missing = |of, attribute| SchemaError::Attribute { of, attribute };
        match object.get("type") {
            None => Err(missing("a schema", "type")),
            Some(Json::Text(name)) => match name.as_str() {
                "record" | "error" => {
                    let (id, name, namespace) = self.define(object, "a record", namespace, logical)?;
                    let mut fields = Vec::new();
                    let mut least = 0u64;
                    for field in object.list("fields").ok_or(missing("a record", "fields"))? {
                        let Json::Object(field) = field else { return Err(missing("a record", "fields")) };
                        let name = field.text("name").ok_or(missing("a field", "name"))?.to_owned();
                        let node = field.get("type").ok_or(missing("a field", "type"))?;
                        let node = self.schema(node, &namespace, depth + 1)?;
                        least = least.saturating_add(self.least[node.index()]);
                        self.keep_of_field((id, fields.len()), field);
                        fields.push(Field { name, node });
                    }
                    Ok(self.close(id, Kind::Record { name, fields }, least))
                }
                "enum" => {
                    let (id, name, _) = self.define(object, "an enum", namespace, logical)?;
                    let symbols = object.list("symbols").ok_or(missing("an enum", "symbols"))?.iter();
                    let symbols = symbols.map(|symbol| match symbol {
                        Json::Text(symbol) => Ok(symbol.clone()),
                        _ => Err(missing("an enum", "symbols")),
                    });
                    let symbols = symbols.collect::<Result<_, _>>()?;
                    if let Some(symbol) = object.text("default") {
                        self.evolution.symbols.insert(id, symbol.to_owned());
                    }
                    Ok(self.close(id, Kind::Enum { name, symbols }, 1))
                }
                "fixed" => {
                    let (id, name, _) = self.define(object, "a fixed", namespace, logical)?;
                    let size = match object.get("size") {
                        Some(Json::Number(size)) => Some(*size),
                        // The rules of the canonical form know of sizes in quotes.
                        Some(Json::Text(size)) => size.parse().ok(),
                        _ => None,
                    };
                    let size = size.ok_or(missing("a fixed", "size"))?;
                    self.evolution.decimals.extend(decimal.map(|decimal| (id, decimal)));
                    Ok(self.close(id, Kind::Fixed { name, size }, size))
                }
                "array" => {
                    let id = self.open(logical)?;
                    let items = object.get("items").ok_or(missing("an array", "items"))?;
                    let items = self.schema(items, namespace, depth + 1)?;
                    Ok(self.close(id, Kind::Array { items }, 1))
                }
                "map" => {
                    let id = self.open(logical)?;
                    let values = object.get("values").ok_or(missing("a map", "values"))?;
                    let values = self.schema(values, namespace, depth + 1)?;
                    Ok(self.close(id, Kind::Map { values }, 1))
                }
                name => self.reference(name, logical, decimal, namespace),
            },
            Some(nested) => self.schema(nested, namespace, depth + 1),
        }
    }

    /// A primitive type or one that is defined already.
    fn reference(
        &mut self,
        name: &str,
        logical: Option<String>,
        decimal: Option<Decimal>,
        namespace: &str,
    ) -> Result<NodeId, SchemaError> {
        if let Some((name, kind, least)) = primitive(name) {
            let key = (name, logical, decimal);
            if let Some(&id) = self.primitives.get(&key) {
                return Ok(id);
            }
            let id = self.open(key.1.clone())?;
            self.evolution.decimals.extend(decimal.map(|decimal| (id, decimal)));
            self.primitives.insert(key, id);
            return Ok(self.close(id, kind, least));
        }
        let full = full_name(name, namespace);
        self.charge(full.len())?;
        match self.names.get(&full).or_else(|| self.names.get(name)) {
            Some(&id) => Ok(id),
            None => Err(SchemaError::UnknownName(full)),
        }
    }

    /// Opens the named type that `object` defines: its node, its full name and the namespace of what is within it.
    fn define(
        &mut self,
        object: &Object,
        of: &'static str,
        namespace: &str,
        logical: Option<String>,
    ) -> Result<(NodeId, String, String), SchemaError> {
        let name = object.text("name").filter(|name| !name.is_empty());
        let name = name.ok_or(SchemaError::Attribute { of, attribute: "name" })?;
        let full = full_name(name, object.text("namespace").unwrap_or(namespace));
        self.charge(full.len())?;
        let id = self.open(logical)?;
        if self.names.len() >= MAX_NAMES {
            return Err(SchemaError::TooMany);
        }
        if self.names.insert(full.clone(), id).is_some() {
            return Err(SchemaError::DefinedTwice(full));
        }
        let inner = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        let aliases: Vec<_> = evolution::aliases(object).map(|alias| full_name(alias, &inner)).collect();
        self.charge(aliases.iter().map(String::len).sum())?;
        if !aliases.is_empty() {
            self.evolution.aliases.insert(id, aliases);
        }
        Ok((id, full, inner))
    }

    /// Writes down what a field says for readers.
    fn keep_of_field(&mut self, field: (NodeId, usize), object: &Object) {
        if object.get("default").is_some() {
            self.evolution.defaults.insert(field);
        }
        let aliases: Vec<_> = evolution::aliases(object).map(str::to_owned).collect();
        if !aliases.is_empty() {
            self.evolution.field_aliases.insert(field, aliases);
        }
    }

    fn charge(&mut self, bytes: usize) -> Result<(), SchemaError> {
        self.name_bytes += bytes;
        if self.name_bytes > MAX_NAME_BYTES { Err(SchemaError::TooMany) } else { Ok(()) }
    }

    /// A node to be filled in by [`Parser::close`] once what it contains is known.
    fn open(&mut self, logical: Option<String>) -> Result<NodeId, SchemaError> {
        if self.nodes.len() >= MAX_NODES {
            return Err(SchemaError::TooMany);
        }
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node { kind: Kind::Null, logical });
        // Only what the node contains can refer to it before it is closed, and that makes it a record within itself,
        // which has no datum of 0 bytes.
        self.least.push(1);
        Ok(id)
    }

    fn close(&mut self, id: NodeId, kind: Kind, least: u64) -> NodeId {
        self.nodes[id.index()].kind = kind;
        self.least[id.index()] = least;
        id
    }
}

/// A primitive type: its name, what it is, the fewest bytes of a datum.
fn primitive(name: &str) -> Option<(&'static str, Kind, u64)> {
    Some(match name {
        "null" => ("null", Kind::Null, 0),
        "boolean" => ("boolean", Kind::Boolean, 1),
        "int" => ("int", Kind::Int, 1),
        "long" => ("long", Kind::Long, 1),
        "float" => ("float", Kind::Float, 4),
        "double" => ("double", Kind::Double, 8),
        "bytes" => ("bytes", Kind::Bytes, 1),
        "string" => ("string", Kind::String, 1),
        _ => return None,
    })
}

/// The full name of `name` where `namespace` is the one around it ("Names"). A name with dots is full already.
fn full_name(name: &str, namespace: &str) -> String {
    match name.rsplit_once('.') {
        Some(("", name)) => name.to_owned(),
        Some(_) => name.to_owned(),
        None if namespace.is_empty() => name.to_owned(),
        None => format!("{namespace}.{name}"),
    }
}
