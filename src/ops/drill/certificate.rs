//! What a drill came to, as a certificate that shows if it was changed later.
//!
//! It is signed with a key that follows from the repository's: keyed BLAKE3 over all of it in canonical form. That proves that it was made
//! by somebody who had the keys of this repository, and was not changed since by somebody who has not. It does not prove when it was made,
//! nor that the program that made it did what it says: anybody who has the password can make one. Without encryption there are no keys, and
//! what stands there is a checksum against accidents.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::id::{hex, unhex};
use crate::store::{Attestation, Repository};

/// What keeps these signatures apart from all else that is made with the keys.
const PURPOSE: &str = "snap 2026-11 v1 drill certificate";

/// Keys that are not signed: the signature itself, and what the command line adds to what it prints.
const NOT_SIGNED: [&str; 3] = ["signature", "message_type", "storage"];

/// How many reasons are listed for which files were not opened.
const REASONS: usize = 16;

/// What was tried out, and the result.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Certificate {
    /// Version of this form.
    pub version: u32,
    /// `good`, or `failed` if a file of the sample did not come back as it was saved.
    pub result: String,
    /// The repository.
    pub repository_id: String,
    /// The snapshot.
    pub snapshot_id: String,
    /// When that was begun.
    pub snapshot_time: String,
    /// What that is one of.
    pub series: String,
    /// The path in it that files were drawn from; empty for all.
    pub path: String,
    /// When the drill was begun.
    pub time: String,
    /// The machine that it was made on.
    pub host: String,
    /// Who made it.
    pub user: String,
    /// This program, with its version.
    pub program: String,
    /// What Avro files were opened with.
    pub second_reader: String,
    /// How much was to be drawn.
    pub sample: String,
    /// With this number, the same files are drawn.
    pub seed: String,
    /// Regular files that could have been drawn.
    pub files_of: u64,
    /// Their bytes.
    pub bytes_of: u64,
    /// Files that were restored, read again and found to be what was saved.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Avro files among them that the second reader decoded.
    pub avro_files: u64,
    /// Records that it decoded.
    pub records: u64,
    /// Files that did not come back as they were saved.
    pub failed: Vec<Damaged>,
    /// Avro files that are what was saved, and that the second reader did not decode, by the reason.
    pub not_opened: Vec<NotOpened>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Bytes restored, read again and decoded in a second.
    pub bytes_per_sec: u64,
    /// What shows that it was not changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// A file that did not come back as it was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// Its path in the snapshot.
    pub path: String,
    /// Code of the error (`docs/json.md`).
    pub code: String,
    /// Why.
    pub message: String,
    /// Whether data of the repository is lost or damaged.
    #[serde(skip)]
    pub is_damage: bool,
}

/// Avro files that the second reader did not decode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotOpened {
    /// Why.
    pub reason: String,
    /// How many files.
    pub files: u64,
    /// One of them.
    pub example: String,
}

/// What shows that a certificate was not changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// `keys` for keyed BLAKE3 with a key of the repository, `checksum` for BLAKE3, which everybody can make.
    pub method: String,
    /// The epoch of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// In hexadecimal.
    pub value: String,
}

/// What a certificate is found to be.
#[derive(Debug, Clone, Serialize)]
pub struct Attested {
    /// Whether it was made with the keys of this repository (or, without keys, has the right checksum), and not changed since.
    pub authentic: bool,
    /// How it is signed.
    pub method: String,
    /// Why it is not authentic.
    pub reason: Option<String>,
    /// All that it says.
    pub certificate: Value,
}

impl Certificate {
    /// Whether all files of the sample came back as they were saved.
    pub fn is_good(&self) -> bool {
        self.failed.is_empty()
    }

    /// The work is done.
    pub(super) fn end(&mut self, all: Duration, restoring: Duration) {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.result = if self.is_good() { "good" } else { "failed" }.into();
        self.duration_ms = millis(all);
        self.bytes_per_sec = self.bytes.saturating_mul(1000) / millis(restoring).max(1);
    }

    /// Signs it with the keys of the repository.
    pub(super) fn sign(&mut self, repository: &Repository) -> Result<()> {
        self.signature = None;
        let value = serde_json::to_value(&*self).map_err(|error| Error::Internal(error.to_string()))?;
        let Attestation { epoch, value } = repository.attest(PURPOSE, canonical(&value).as_bytes());
        self.signature = Some(Signature { method: method(epoch).into(), epoch, value: hex(&value) });
        Ok(())
    }
}

fn method(epoch: Option<u32>) -> &'static str {
    if epoch.is_some() { "keys" } else { "checksum" }
}

/// Checks the signature of a certificate: its text, as [`drill`](super::drill()) made it; how it is indented does not matter.
///
/// # Errors
/// [`Error::InvalidArgument`] if it is none, or that of another repository.
pub fn attested(repository: &Repository, text: &[u8]) -> Result<Attested> {
    let wrong = |why: String| Error::argument("certificate", why);
    let Strict(certificate) = serde_json::from_slice(text).map_err(|error| wrong(format!("it is no JSON: {error}")))?;
    let field = |name: &str| certificate.get(name).and_then(Value::as_str).unwrap_or_default();
    let signature = certificate.get("signature").and_then(Value::as_object);
    let Some(signature) = signature.filter(|_| !field("snapshot_id").is_empty()) else {
        return Err(wrong("it is no certificate of a drill, or has no signature".into()));
    };
    if field("repository_id") != repository.id().to_string() {
        return Err(wrong(format!(
            "it is about repository {}, and this is {}",
            field("repository_id"),
            repository.id()
        )));
    }
    let epoch = signature.get("epoch").and_then(Value::as_u64).and_then(|epoch| u32::try_from(epoch).ok());
    let mut value = [0; 32];
    let is_whole = signature.get("value").and_then(Value::as_str).is_some_and(|text| unhex(text, &mut value));
    let expected = repository.attest_of(epoch, PURPOSE, canonical(&certificate).as_bytes());
    let reason = match expected {
        None => Some("it is signed with a key that the repository does not have".to_owned()),
        Some(expected) if !is_whole || expected.value != value => {
            Some("its signature does not fit: it was changed, or made without the keys of this repository".to_owned())
        }
        Some(_) => None,
    };
    Ok(Attested { authentic: reason.is_none(), method: method(epoch).into(), reason, certificate })
}

/// Counts a file that was not opened.
pub(super) fn put_not_opened(list: &mut Vec<NotOpened>, reason: String, path: &str) {
    let at = list.iter().position(|known| known.reason == reason).unwrap_or(list.len());
    if at == list.len() && at < REASONS {
        list.push(NotOpened { reason, files: 0, example: path.to_owned() });
    } else if at == list.len()
        && let Some(last) = list.last_mut()
    {
        "others".clone_into(&mut last.reason);
    }
    if let Some(known) = list.get_mut(at.min(REASONS - 1)) {
        known.files += 1;
        // Which file is named does not depend on threads.
        if path < known.example.as_str() {
            path.clone_into(&mut known.example);
        }
    }
}

/// What is signed: JSON without white space, with keys in the order of their bytes.
fn canonical(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(fields) => {
            let signed = fields.iter().filter(|(name, _)| !NOT_SIGNED.contains(&name.as_str()));
            put_object(&mut text, signed.collect());
        }
        other => put(&mut text, other),
    }
    text
}

fn put_object(text: &mut String, mut fields: Vec<(&String, &Value)>) {
    fields.sort_by_key(|(name, _)| *name);
    text.push('{');
    for (at, (name, value)) in fields.into_iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        let _ = write!(text, "{}:", Value::String(name.clone()));
        put(text, value);
    }
    text.push('}');
}

fn put(text: &mut String, value: &Value) {
    match value {
        Value::Object(fields) => put_object(text, fields.iter().collect()),
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                put(text, item);
            }
            text.push(']');
        }
        plain => {
            let _ = write!(text, "{plain}");
        }
    }
}

/// JSON in which no key stands twice: of two, people would read one and programs the other.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> std::result::Result<Value, E> {
        Err(E::custom(format!("{value} is no whole number")))
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some((name, Strict(value))) = map.next_entry::<String, Strict>()? {
            if fields.insert(name.clone(), value).is_some() {
                return Err(serde::de::Error::custom(format!("the key {name:?} stands there twice")));
            }
        }
        Ok(fields.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_does_not_depend_on_order_or_white_space() {
        let of = |text: &str| canonical(&serde_json::from_str::<Strict>(text).unwrap().0);
        let expected = r#"{"a":[1,{"x":"\"","y":null}],"b":true}"#;
        assert_eq!(of("{ \"b\": true, \"signature\": {}, \"a\": [1, {\"y\": null, \"x\": \"\\u0022\"}]}"), expected);
        assert_eq!(of(r#"{"message_type":"summary","a":[1,{"x":"\"","y":null}],"b":true}"#), expected);
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        for wrong in [r#"{"a":1,"a":1}"#, r#"{"b":[{"a":1,"a":2}]}"#, r#"{"a":1.5}"#, "{"] {
            assert!(serde_json::from_str::<Strict>(wrong).is_err(), "{wrong}");
        }
    }
}
