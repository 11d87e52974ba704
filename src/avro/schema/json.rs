//! The part of JSON that schemas are made of: everything else is passed over without being kept.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A value that may be a schema or an attribute of one.
#[derive(Debug)]
pub(super) enum Json {
    /// A string.
    Text(String),
    /// A whole number, 0 or above.
    Number(u64),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(Object),
    /// Anything else.
    Other,
}

/// The attributes of an object that mean something.
#[derive(Debug, Default)]
pub(super) struct Object(Vec<(&'static str, Json)>);

impl Object {
    /// An attribute; where there are several of the name, the last, as most parsers of JSON have it.
    pub(super) fn get(&self, attribute: &str) -> Option<&Json> {
        self.0.iter().rev().find(|entry| entry.0 == attribute).map(|entry| &entry.1)
    }

    /// An attribute that is a string.
    pub(super) fn text(&self, attribute: &str) -> Option<&str> {
        match self.get(attribute) {
            Some(Json::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// An attribute that is a list.
    pub(super) fn list(&self, attribute: &str) -> Option<&[Json]> {
        match self.get(attribute) {
            Some(Json::List(list)) => Some(list),
            _ => None,
        }
    }
}

/// The attributes that mean something.
const ATTRIBUTES: [&str; 13] = [
    "type",
    "name",
    "namespace",
    "fields",
    "symbols",
    "items",
    "values",
    "size",
    "logicalType",
    "default",
    "aliases",
    "precision",
    "scale",
];

/// Those of them that hold no schemas. What nests in them is not kept, and may nest as deep as it likes.
const SHALLOW: [&str; 4] = ["default", "aliases", "precision", "scale"];

/// The key of an object.
struct Key(Option<&'static str>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                Ok(Key(ATTRIBUTES.into_iter().find(|attribute| *attribute == key)))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object = Object::default();
        while let Some(Key(key)) = entries.next_key()? {
            match key {
                Some(key) => {
                    let value = match SHALLOW.contains(&key) {
                        true => entries.next_value::<Shallow>()?.0,
                        false => entries.next_value()?,
                    };
                    // Keys that repeat without end must not pile up.
                    object.0.retain(|entry| entry.0 != key);
                    object.0.push((key, value));
                }
                None => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        object.0.shrink_to_fit();
        Ok(Json::Object(object))
    }
}

/// A value that is no schema: a text, a number, or a list of texts; anything else is [`Json::Other`].
struct Shallow(Json);

impl<'de> Deserialize<'de> for Shallow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShallowVisitor { texts: true }).map(Self)
    }
}

/// An item of a list that is no schema.
struct Item(Json);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShallowVisitor { texts: false }).map(Self)
    }
}

struct ShallowVisitor {
    /// Whether lists are looked into.
    texts: bool,
}

impl<'de> Visitor<'de> for ShallowVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        if self.texts {
            while let Some(Item(item)) = items.next_element()? {
                if let Json::Text(_) = item {
                    list.push(item);
                }
            }
            return Ok(Json::List(list));
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Json::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Json::Other)
    }
}
