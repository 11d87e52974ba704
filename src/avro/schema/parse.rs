//! From JSON to nodes.

use std::collections::HashMap;

use super::evolution::{self, Decimal, Evolution};
use super::flaw::{self, SchemaFlaw};
use super::json::{self, Json, Object};
use super::resolve::{Forward, resolve};
use super::{
    Field, Kind, MAX_DEPTH, MAX_NAME_BYTES, MAX_NAMES, MAX_NODES, MAX_TEXT, Node, NodeId, Schema, SchemaError,
};
use crate::avro::walk::Program;

/// [`Schema::parse`].
pub(super) fn schema(text: &str) -> Result<Schema, SchemaError> {
    if text.len() > MAX_TEXT {
        return Err(SchemaError::TooLong(text.len()));
    }
    let (json, flaw) = json::parse(text)?;
    let mut parser = Parser { flaw, ..Parser::default() };
    let root = parser.schema(&json, "", 0)?;
    drop(json);
    let Parser { mut nodes, names, forward, evolution, flaw, .. } = parser;
    let (root, least) = resolve(&mut nodes, root, &names, &forward)?;
    let program = Program::compile(&nodes, &least, root);
    Ok(Schema { nodes, root, least, evolution, flaw, program })
}

#[derive(Default)]
struct Parser {
    nodes: Vec<Node>,
    /// Named types by full name.
    names: HashMap<String, NodeId>,
    /// Names that were referred to before they were defined, if they ever are.
    forward: Forward,
    /// Primitive types, which need only one node each.
    primitives: HashMap<(&'static str, Option<String>, Option<Decimal>), NodeId>,
    evolution: Evolution,
    /// The first that was found.
    flaw: Option<SchemaFlaw>,
    name_bytes: usize,
}

/// What an attribute that is missing or of the wrong kind makes of a schema.
fn missing(of: &'static str, attribute: &'static str) -> SchemaError {
    SchemaError::Attribute { of, attribute }
}

// What leads from one schema to those within it is kept apart from the rest, so that the frames of deep schemas are small.
impl Parser {
    fn schema(&mut self, json: &Json, namespace: &str, depth: usize) -> Result<NodeId, SchemaError> {
        if depth >= MAX_DEPTH {
            return Err(SchemaError::TooDeep);
        }
        match json {
            Json::Text(name) => self.reference(name, None, None, namespace),
            Json::List(branches) => self.union(branches, namespace, depth),
            Json::Object(object) => self.object(object, namespace, depth),
            Json::Number(_) | Json::Other => Err(SchemaError::NotASchema),
        }
    }

    fn union(&mut self, branches: &[Json], namespace: &str, depth: usize) -> Result<NodeId, SchemaError> {
        let id = self.open(None)?;
        let mut nodes = Vec::with_capacity(branches.len());
        for branch in branches {
            nodes.push(self.schema(branch, namespace, depth + 1)?);
        }
        Ok(self.close(id, Kind::Union { branches: nodes }))
    }

    fn object(&mut self, object: &Object, namespace: &str, depth: usize) -> Result<NodeId, SchemaError> {
        let name = match object.get("type") {
            None => return Err(missing("a schema", "type")),
            Some(Json::Text(name)) => name.as_str(),
            Some(nested) => return self.schema(nested, namespace, depth + 1),
        };
        match name {
            "record" | "error" => self.record(object, namespace, depth),
            "enum" => self.enumeration(object, namespace),
            "fixed" => self.fixed(object, namespace),
            "array" => {
                let items = object.get("items").ok_or(missing("an array", "items"))?;
                let id = self.open(logical(object))?;
                let items = self.schema(items, namespace, depth + 1)?;
                Ok(self.close(id, Kind::Array { items }))
            }
            "map" => {
                let values = object.get("values").ok_or(missing("a map", "values"))?;
                let id = self.open(logical(object))?;
                let values = self.schema(values, namespace, depth + 1)?;
                Ok(self.close(id, Kind::Map { values }))
            }
            name => self.reference(name, logical(object), evolution::decimal(object), namespace),
        }
    }

    fn record(&mut self, object: &Object, namespace: &str, depth: usize) -> Result<NodeId, SchemaError> {
        let named = Named::of(object, "a record", namespace)?;
        let id = self.open(logical(object))?;
        self.define(&named, id)?;
        self.keep_aliases(&named, id, object)?;
        let list = object.list("fields").ok_or(missing("a record", "fields"))?;
        let mut fields = Vec::with_capacity(list.len());
        for field in list {
            let Json::Object(field) = field else { return Err(missing("a record", "fields")) };
            let name = field.text("name").ok_or(missing("a field", "name"))?;
            let node = field.get("type").ok_or(missing("a field", "type"))?;
            let node = self.schema(node, &named.inner, depth + 1)?;
            self.keep_of_field((id, fields.len()), field);
            fields.push(Field { name: name.to_owned(), node });
        }
        Ok(self.close(id, Kind::Record { name: named.full, fields }))
    }

    fn enumeration(&mut self, object: &Object, namespace: &str) -> Result<NodeId, SchemaError> {
        let named = Named::of(object, "an enum", namespace)?;
        let symbols = object.list("symbols").ok_or(missing("an enum", "symbols"))?.iter();
        let symbols = symbols.map(|symbol| match symbol {
            Json::Text(symbol) => Ok(symbol.clone()),
            _ => Err(missing("an enum", "symbols")),
        });
        let symbols = symbols.collect::<Result<Vec<_>, _>>()?;
        if self.flaw.is_none() {
            self.flaw = flaw::of_enum(&named.full, &symbols, object.text("default"));
        }
        let kind = Kind::Enum { name: named.full.clone(), symbols };
        let id = self.leaf(&named, kind, object)?;
        if let Some(symbol) = object.text("default") {
            self.evolution.symbols.insert(id, symbol.to_owned());
        }
        Ok(id)
    }

    fn fixed(&mut self, object: &Object, namespace: &str) -> Result<NodeId, SchemaError> {
        let named = Named::of(object, "a fixed", namespace)?;
        let size = match object.get("size") {
            Some(Json::Number(size)) => Some(*size),
            // The rules of the canonical form know of sizes in quotes.
            Some(Json::Text(size)) => size.parse().ok(),
            _ => None,
        };
        let size = size.ok_or(missing("a fixed", "size"))?;
        let id = self.leaf(&named, Kind::Fixed { name: named.full.clone(), size }, object)?;
        self.evolution.decimals.extend(evolution::decimal(object).map(|decimal| (id, decimal)));
        Ok(id)
    }

    /// A named type that holds no other types. Writers may define one wherever it is used, as long as it is the same
    /// each time; what is beside the bytes (a logical type) may differ.
    fn leaf(&mut self, named: &Named, kind: Kind, object: &Object) -> Result<NodeId, SchemaError> {
        let known = self.names.get(&named.full).is_some_and(|id| self.nodes[id.index()].kind == kind);
        let id = self.open(logical(object))?;
        match known {
            true => self.charge(named.full.len())?,
            false => self.define(named, id)?,
        }
        self.keep_aliases(named, id, object)?;
        Ok(self.close(id, kind))
    }

    /// A primitive type or one that is defined somewhere.
    fn reference(
        &mut self,
        name: &str,
        logical: Option<String>,
        decimal: Option<Decimal>,
        namespace: &str,
    ) -> Result<NodeId, SchemaError> {
        if let Some((name, kind)) = primitive(name) {
            let key = (name, logical, decimal);
            if let Some(&id) = self.primitives.get(&key) {
                return Ok(id);
            }
            let id = self.open(key.1.clone())?;
            self.evolution.decimals.extend(decimal.map(|decimal| (id, decimal)));
            self.primitives.insert(key, id);
            return Ok(self.close(id, kind));
        }
        let full = full_name(name, namespace);
        self.charge(full.len())?;
        match self.names.get(&full) {
            Some(&id) => Ok(id),
            // It may be defined further on, or outside of all namespaces.
            None => Ok(self.forward.reference(full, name)),
        }
    }

    /// Writes down which node a name means. A type without a name cannot be referred to.
    fn define(&mut self, named: &Named, id: NodeId) -> Result<(), SchemaError> {
        if named.full.is_empty() {
            return Ok(());
        }
        self.charge(named.full.len())?;
        if self.names.len() >= MAX_NAMES {
            return Err(SchemaError::TooMany);
        }
        match self.names.insert(named.full.clone(), id) {
            Some(_) => Err(SchemaError::DefinedTwice(named.full.clone())),
            None => Ok(()),
        }
    }

    fn keep_aliases(&mut self, named: &Named, id: NodeId, object: &Object) -> Result<(), SchemaError> {
        let aliases: Vec<_> = evolution::aliases(object).map(|alias| full_name(alias, &named.inner)).collect();
        self.charge(aliases.iter().map(String::len).sum())?;
        if !aliases.is_empty() {
            self.evolution.aliases.insert(id, aliases);
        }
        Ok(())
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
        Ok(id)
    }

    fn close(&mut self, id: NodeId, kind: Kind) -> NodeId {
        self.nodes[id.index()].kind = kind;
        id
    }
}

fn logical(object: &Object) -> Option<String> {
    object.text("logicalType").map(str::to_owned)
}

/// The names that a definition defines.
struct Named {
    /// The full name; empty for a type without a name, as avsc writes them.
    full: String,
    /// The namespace of what is within it.
    inner: String,
}

impl Named {
    fn of(object: &Object, of: &'static str, namespace: &str) -> Result<Self, SchemaError> {
        let namespace = object.text("namespace").unwrap_or(namespace);
        let name = match object.get("name") {
            None => "",
            Some(Json::Text(name)) => name,
            Some(_) => return Err(missing(of, "name")),
        };
        if name.is_empty() {
            return Ok(Self { full: String::new(), inner: namespace.to_owned() });
        }
        let full = full_name(name, namespace);
        let inner = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        Ok(Self { full, inner })
    }
}

/// A primitive type: its name, and what it is.
fn primitive(name: &str) -> Option<(&'static str, Kind)> {
    Some(match name {
        "null" => ("null", Kind::Null),
        "boolean" => ("boolean", Kind::Boolean),
        "int" => ("int", Kind::Int),
        "long" => ("long", Kind::Long),
        "float" => ("float", Kind::Float),
        "double" => ("double", Kind::Double),
        "bytes" => ("bytes", Kind::Bytes),
        "string" => ("string", Kind::String),
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
