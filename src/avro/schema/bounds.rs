//! Whether few bytes can hold values of any size.

use super::{Kind, NodeId, Schema};

/// Why few bytes can hold values of any size or depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unbounded {
    /// A type refers to itself, so values nest as deep as the data says.
    #[error("its schema refers to itself, so its values nest to any depth")]
    Recursive,
    /// A record, an array or a fixed of which all values take no bytes, or an array of such items.
    #[error("types of its schema take no bytes, so few bytes hold any number of values")]
    Empty,
}

impl Schema {
    /// Why a reader that builds all values, and sets no bounds of its own, must not be given data of this schema: few bytes of it could
    /// take any amount of stack, memory or time. None if what it builds is bounded by the bytes.
    pub fn unbounded(&self) -> Option<Unbounded> {
        let all = || (0..self.nodes.len()).map(|number| NodeId(number as u32));
        let holds_empty = |id: NodeId| match &self.node(id).kind {
            Kind::Record { .. } | Kind::Fixed { .. } => self.is_empty(id),
            Kind::Array { items } => self.is_empty(*items),
            _ => false,
        };
        if self.is_empty(self.root) || all().any(holds_empty) {
            return Some(Unbounded::Empty);
        }
        self.is_recursive().then_some(Unbounded::Recursive)
    }

    /// Whether a type leads back to itself.
    fn is_recursive(&self) -> bool {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            Unseen,
            Open,
            Done,
        }
        let mut states = vec![State::Unseen; self.nodes.len()];
        // Each with how many of its types were gone into.
        let mut open = vec![(self.root, 0)];
        while let Some((id, next)) = open.pop() {
            let Some(state) = states.get_mut(id.index()) else { continue };
            match (next, *state) {
                (0, State::Open) => return true,
                (0, State::Done) => continue,
                _ => *state = State::Open,
            }
            match within(&self.node(id).kind, next) {
                Some(child) => open.extend([(id, next + 1), (child, 0)]),
                None => *state = State::Done,
            }
        }
        false
    }
}

/// The type with this number of those that stand within another.
fn within(kind: &Kind, number: usize) -> Option<NodeId> {
    match kind {
        Kind::Record { fields, .. } => fields.get(number).map(|field| field.node),
        Kind::Array { items: one } | Kind::Map { values: one } => (number == 0).then_some(*one),
        Kind::Union { branches } => branches.get(number).copied(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_bytes_hold_no_more_than_they_seem_unless_it_is_said() {
        let unbounded = |text: &str| Schema::parse(text).unwrap().unbounded();
        for text in [
            r#""long""#,
            r#"["null", "string"]"#,
            r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "null"}, {"name": "b", "type": "int"}]}"#,
            r#"{"type": "map", "values": "null"}"#,
            r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "record", "name": "S", "fields":
                [{"name": "x", "type": "int"}]}}, {"name": "b", "type": "S"}, {"name": "c", "type": {"type": "array", "items": "S"}}]}"#,
        ] {
            assert_eq!(unbounded(text), None, "{text}");
        }
        for text in [
            r#""null""#,
            r#"{"type": "record", "name": "R", "fields": []}"#,
            r#"{"type": "array", "items": "null"}"#,
            r#"{"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}"#,
            r#"{"type": "record", "name": "R", "fields": [{"name": "n", "type": "int"}, {"name": "a", "type":
                {"type": "record", "name": "S", "fields": [{"name": "x", "type": "null"}]}}]}"#,
        ] {
            assert_eq!(unbounded(text), Some(Unbounded::Empty), "{text}");
        }
        for text in [
            r#"{"type": "record", "name": "L", "fields": [{"name": "v", "type": "int"}, {"name": "next", "type": ["null", "L"]}]}"#,
            r#"{"type": "record", "name": "T", "fields": [{"name": "v", "type": "int"}, {"name": "c", "type": {"type": "array", "items": "T"}}]}"#,
            r#"{"type": "record", "name": "M", "fields": [{"name": "v", "type": "int"}, {"name": "c", "type": {"type": "map", "values": ["int", "M"]}}]}"#,
        ] {
            assert_eq!(unbounded(text), Some(Unbounded::Recursive), "{text}");
        }
    }
}
