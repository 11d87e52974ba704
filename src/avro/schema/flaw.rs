//! What every common reader refuses in a schema, though its records can be walked: judged, but no obstacle.

use std::collections::HashSet;

/// Why readers refuse a schema that says all that is needed to walk its records.
///
/// Found to be refused by fastavro 1.13, Python avro 1.12 and the schema parser of Java, and invalid as the Avro
/// specification has it ("Enums", "Schema Declaration"). What any of them accepts is no flaw: names that break the rules,
/// fields or branches that repeat, unions within unions, defaults of fields that do not fit, unknown orders, comments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaFlaw {
    /// An enum that names a symbol twice.
    #[error("the enum {name:?} names the symbol {symbol:?} twice")]
    RepeatedSymbol {
        /// The enum, shortened.
        name: String,
        /// The symbol, shortened.
        symbol: String,
    },
    /// An enum whose default is a text and none of its symbols.
    #[error("the default {symbol:?} of the enum {name:?} is not one of its symbols")]
    UnknownDefault {
        /// The enum, shortened.
        name: String,
        /// The default, shortened.
        symbol: String,
    },
    /// A byte order mark before the JSON.
    #[error("a byte order mark before the JSON")]
    ByteOrderMark,
    /// A word that is no value of JSON, nor one of those that common writers write.
    #[error("{0} is no value of JSON")]
    Word(&'static str),
}

/// The most characters of a name in a message.
const SHOWN: usize = 60;

fn shown(name: &str) -> String {
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}

/// What is wrong with an enum.
pub(super) fn of_enum(name: &str, symbols: &[String], default: Option<&str>) -> Option<SchemaFlaw> {
    let mut seen = HashSet::with_capacity(symbols.len());
    if let Some(symbol) = symbols.iter().find(|symbol| !seen.insert(symbol.as_str())) {
        return Some(SchemaFlaw::RepeatedSymbol { name: shown(name), symbol: shown(symbol) });
    }
    let unknown = default.filter(|default| !seen.contains(default))?;
    Some(SchemaFlaw::UnknownDefault { name: shown(name), symbol: shown(unknown) })
}
