//! From conditions and a schema to filters.

use std::collections::HashSet;

use super::like::Like;
use super::moment::Unit;
use super::number::Number;
use super::test::{Prepared, Set, Target, Test};
use super::{Asked, Comparison, Condition, Expression, Filter, FilterError, FilterReason, Literal, Question};
use crate::avro::field_path::FieldPath;
use crate::avro::locate::{Locator, types_of};
use crate::avro::records::of_bytes;
use crate::avro::schema::{Kind, NodeId, Schema};

/// The most digits after the point of a decimal that is compared as a number.
const MAX_SCALE: u64 = 4096;

/// [`Filter::new`].
pub(super) fn filter(expression: &Expression, schema: &Schema) -> Result<Filter, FilterError> {
    let compiler = Compiler { expression, schema };
    let condition = compiler.condition(&expression.condition)?;
    let locator = Locator::new(schema, &expression.fields).map_err(|error| compiler.wrong(0, error.into()))?;
    Ok(Filter { condition, locator, found: Vec::new() })
}

/// A duration as records print it.
pub(super) fn duration(value: &[u8]) -> Option<String> {
    of_bytes(value, &Kind::Fixed { name: String::new(), size: 12 }, Some("duration"), None)
}

struct Compiler<'a> {
    expression: &'a Expression,
    schema: &'a Schema,
}

impl Compiler<'_> {
    fn wrong(&self, at: usize, reason: FilterReason) -> FilterError {
        FilterError { at, text: self.expression.text.clone(), reason }
    }

    fn condition(&self, condition: &Condition<Asked>) -> Result<Condition<Test>, FilterError> {
        let all = |conditions: &[Condition<Asked>]| -> Result<Vec<_>, FilterError> {
            conditions.iter().map(|one| self.condition(one)).collect()
        };
        Ok(match condition {
            Condition::All(conditions) => Condition::All(all(conditions)?),
            Condition::Any(conditions) => Condition::Any(all(conditions)?),
            Condition::Not(inner) => Condition::Not(Box::new(self.condition(inner)?)),
            Condition::Test(asked) => {
                let question = self.question(asked).map_err(|reason| self.wrong(asked.at, reason))?;
                Condition::Test(Test { field: asked.field, question })
            }
        })
    }

    fn question(&self, asked: &Asked) -> Result<Prepared, FilterReason> {
        let Some(field) = self.expression.fields.get(asked.field) else {
            return Err(FilterReason::Syntax("a field that is not there".into()));
        };
        let nodes = types_of(self.schema, field)?;
        Ok(match &asked.question {
            Question::IsNull => Prepared::IsNull,
            Question::Compare(comparison, literal) => {
                Prepared::Compare(*comparison, self.targets(field, &nodes, literal, *comparison)?)
            }
            Question::In(literals) => {
                let mut of: Vec<(NodeId, Vec<Target>)> = nodes.iter().map(|node| (*node, Vec::new())).collect();
                for literal in literals {
                    for (node, target) in self.targets(field, &nodes, literal, Comparison::Equal)? {
                        let known = of.iter_mut().find(|(known, _)| *known == node);
                        known.into_iter().for_each(|(_, targets)| targets.push(target.clone()));
                    }
                }
                let sets = of.into_iter().filter(|(_, targets)| !targets.is_empty());
                Prepared::In(sets.map(|(node, targets)| (node, Set::new(targets))).collect())
            }
            Question::Like(pattern) => {
                let is_text = |id: &NodeId| matches!(self.schema.node(*id).kind, Kind::String);
                let texts: Vec<_> = nodes.iter().copied().filter(is_text).collect();
                if texts.is_empty() {
                    return Err(self.mismatch(field, &nodes, "`like` is for texts".into()));
                }
                Prepared::Like(texts, Like::new(pattern))
            }
        })
    }

    /// What values of each type are compared with: those types that the literal goes with, of which there must be one.
    fn targets(
        &self,
        field: &FieldPath,
        nodes: &[NodeId],
        literal: &Literal,
        comparison: Comparison,
    ) -> Result<Vec<(NodeId, Target)>, FilterReason> {
        let of = |id: &NodeId| Some((*id, self.target(*id, literal, comparison)?));
        let targets: Vec<_> = nodes.iter().filter_map(of).collect();
        let is_null = |id: &NodeId| self.schema.node(*id).kind == Kind::Null;
        if targets.is_empty() && !nodes.iter().all(is_null) {
            let expected = self.expected(nodes, comparison);
            return Err(self.mismatch(field, nodes, expected));
        }
        Ok(targets)
    }

    fn target(&self, id: NodeId, literal: &Literal, comparison: Comparison) -> Option<Target> {
        let node = self.schema.node(id);
        let logical = node.logical.as_deref();
        let unit = Unit::of(&node.kind, logical);
        let scale = self.schema.decimal(id).map(|decimal| decimal.scale);
        let sized = matches!(node.kind, Kind::Bytes);
        let text = match literal {
            Literal::Text(text) | Literal::Bare(text) => Some(text.as_str()),
            _ => None,
        };
        let number = || match literal {
            Literal::Number(number, _) => Some(number.clone()),
            Literal::Bare(text) => Number::parse(text),
            _ => None,
        };
        match &node.kind {
            Kind::Boolean => match literal {
                Literal::Boolean(value) => Some(Target::Boolean(*value)),
                Literal::Bare(text) => text.to_ascii_lowercase().parse().ok().map(Target::Boolean),
                _ => None,
            },
            Kind::Int | Kind::Long => {
                let moment = unit.zip(text).and_then(|(unit, text)| Some((unit, unit.parse(text)?)));
                match moment {
                    Some((unit, nanoseconds)) => Some(Target::Moment { unit: unit.nanoseconds, nanoseconds }),
                    None => Some(Target::Whole(number()?.floor(0))),
                }
            }
            Kind::Float => Some(Target::Float(match number() {
                Some(number) => number.float(),
                None => special(text?)? as f32,
            })),
            Kind::Double => Some(Target::Double(match number() {
                Some(number) => number.double(),
                None => special(text?)?,
            })),
            Kind::Bytes | Kind::Fixed { .. } if scale.is_some_and(|scale| scale <= MAX_SCALE) => {
                let number = number().or_else(|| Number::parse(text?))?;
                Some(Target::Decimal { floor: number.floor(scale.unwrap_or(0)), sized })
            }
            Kind::Fixed { size: 16, .. } if logical == Some("uuid") => {
                Some(Target::Bytes { bytes: uuid(text?)?, sized: false })
            }
            Kind::Fixed { size: 12, .. } if logical == Some("duration") => {
                let orders = !matches!(comparison, Comparison::Equal | Comparison::Unequal);
                Some(Target::Printed(text.filter(|_| !orders)?.to_owned()))
            }
            Kind::Bytes | Kind::Fixed { .. } => {
                // As records print them: each byte is the character of that number.
                let bytes = text?.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<_>>()?;
                Some(Target::Bytes { bytes, sized })
            }
            Kind::String => Some(Target::Bytes { bytes: text?.as_bytes().to_vec(), sized: true }),
            Kind::Enum { symbols, .. } => {
                let text = text?;
                Some(Target::Symbols(symbols.iter().map(|symbol| symbol.as_str().cmp(text)).collect()))
            }
            Kind::Null | Kind::Record { .. } | Kind::Array { .. } | Kind::Map { .. } | Kind::Union { .. } => None,
        }
    }

    fn mismatch(&self, field: &FieldPath, nodes: &[NodeId], expected: String) -> FilterReason {
        let mut met = HashSet::new();
        let kinds = nodes.iter().map(|id| self.kind(*id)).filter(|kind| met.insert(kind.clone()));
        let kinds: Vec<_> = kinds.filter(|kind| nodes.len() == 1 || kind != "null").take(5).collect();
        FilterReason::Type { field: field.clone(), kind: kinds.join(" or "), expected }
    }

    /// What a type is, with its article.
    fn kind(&self, id: NodeId) -> String {
        let node = self.schema.node(id);
        let kind = match &node.kind {
            Kind::Null => return "null".into(),
            Kind::Bytes => return with_logical("bytes", node.logical.as_deref()),
            Kind::Record { .. } => "record",
            Kind::Enum { .. } => "enum",
            Kind::Fixed { .. } => "fixed",
            Kind::Array { .. } => "array",
            Kind::Map { .. } => "map",
            Kind::Union { .. } => "union",
            primitive => primitive.primitive().unwrap_or_default(),
        };
        let article = if kind.starts_with(['a', 'e', 'i']) { "an" } else { "a" };
        with_logical(&format!("{article} {kind}"), node.logical.as_deref())
    }

    /// What the values of these types compare with.
    fn expected(&self, nodes: &[NodeId], comparison: Comparison) -> String {
        let of = |id: &NodeId| -> Option<String> {
            let node = self.schema.node(*id);
            let (kind, logical) = (&node.kind, node.logical.as_deref());
            if let Some(unit) = Unit::of(kind, logical) {
                return Some(format!("it compares with texts like {}", unit.example()));
            }
            let text = match kind {
                Kind::Null => return None,
                Kind::Boolean => "it compares with true and false",
                Kind::Int | Kind::Long | Kind::Float | Kind::Double => "it compares with numbers",
                Kind::Bytes | Kind::Fixed { .. } if self.schema.decimal(*id).is_some() => "it compares with numbers",
                Kind::Fixed { size: 16, .. } if logical == Some("uuid") => {
                    "it compares with texts like '123e4567-e89b-12d3-a456-426614174000'"
                }
                Kind::Fixed { size: 12, .. } if logical == Some("duration") && comparison != Comparison::Equal => {
                    "durations have no order"
                }
                Kind::Bytes | Kind::Fixed { .. } => "it compares with texts of characters up to U+00FF",
                Kind::String | Kind::Enum { .. } => "it compares with texts in single quotes",
                Kind::Record { .. } | Kind::Map { .. } => "only what is in it can be compared",
                Kind::Array { .. } => "it can be compared with nothing but null",
                Kind::Union { .. } => return None,
            };
            Some(text.into())
        };
        nodes.iter().find_map(of).unwrap_or_else(|| "it can be compared with nothing".into())
    }
}

fn with_logical(kind: &str, logical: Option<&str>) -> String {
    match logical {
        Some(logical) => format!("{kind} ({logical})"),
        None => kind.to_owned(),
    }
}

/// Numbers that are no digits, as records print them.
fn special(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn uuid(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<char> = text.chars().filter(|c| *c != '-').collect();
    let byte = |pair: &[char]| match pair {
        [a, b] => u8::try_from(a.to_digit(16)? * 16 + b.to_digit(16)?).ok(),
        _ => None,
    };
    if digits.len() == 32 { digits.chunks(2).map(byte).collect() } else { None }
}
