//! Where a repository lies in an object store: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.

use std::fmt;

use object_store::path::Path;

use crate::storage::{Kind, Name};

/// Which kind of object store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheme {
    /// Amazon S3 and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

impl Scheme {
    /// How URLs of it begin, without the `://`.
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }

    fn named(text: &str) -> Option<Self> {
        [Self::S3, Self::Google, Self::Azure].into_iter().find(|scheme| scheme.name() == text)
    }
}

/// A bucket (or container) and a prefix in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    scheme: Scheme,
    bucket: String,
    prefix: String,
}

/// A text that names no place in an object store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}: {reason}")]
pub struct BadLocation {
    text: String,
    reason: String,
}

impl Location {
    /// Whether the text is meant as a place in an object store: it begins with a scheme that is known here.
    pub fn is_meant(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| Scheme::named(scheme).is_some())
    }

    /// The place that a URL names. A slash at its end means nothing.
    ///
    /// # Errors
    /// If it names no bucket, or its prefix cannot be one of keys.
    pub fn parse(text: &str) -> Result<Self, BadLocation> {
        let bad = |reason: String| BadLocation { text: text.into(), reason };
        let split = text.split_once("://").and_then(|(scheme, rest)| Some((Scheme::named(scheme)?, rest)));
        let (scheme, rest) =
            split.ok_or_else(|| bad("an object store is given as s3://, gs:// or az://BUCKET/PREFIX".into()))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(bad(format!("no bucket is named: {}://BUCKET/PREFIX", scheme.name())));
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !bucket.chars().all(is_plain) {
            return Err(bad(format!(
                "a bucket's name has letters, digits, dots, hyphens and underscores only, and \"{bucket}\" has others: \
                 addresses and passwords come from the environment"
            )));
        }
        let whole = prefix;
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if !whole.is_empty() && prefix.split('/').any(str::is_empty) {
            return Err(bad("a part of the prefix is empty: was a variable not set?".into()));
        }
        let prefix = Path::parse(prefix).map_err(|error| bad(error.to_string()))?;
        Ok(Self { scheme, bucket: bucket.into(), prefix: prefix.to_string() })
    }

    /// Which kind of store it is.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The bucket, or container.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// What all keys begin with, without a slash at its end; empty for the whole bucket.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key of something below the prefix.
    pub(super) fn key(&self, below: &str) -> Path {
        match self.prefix.is_empty() {
            true => Path::from(below),
            // The prefix is one of keys as it stands: what the client would write differently in it (`~`) must stay.
            false => {
                let key = format!("{}/{below}", self.prefix);
                Path::parse(&key).unwrap_or_else(|_| Path::from(key))
            }
        }
    }

    /// What a key is called below the prefix.
    pub(super) fn below<'k>(&self, key: &'k str) -> Option<&'k str> {
        match self.prefix.is_empty() {
            true => Some(key),
            false => key.strip_prefix(self.prefix.as_str())?.strip_prefix('/'),
        }
    }

    /// The object of this kind that has the key. None for keys that no object could have.
    pub(super) fn object(&self, kind: Kind, key: &str) -> Option<Name> {
        let below = self.below(key)?;
        let name = Name::new(kind, below.rsplit('/').next().unwrap_or(below));
        (!name.file().is_empty() && name.to_string() == below).then_some(name)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.bucket)?;
        match self.prefix.is_empty() {
            true => Ok(()),
            false => write!(f, "/{}", self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_bucket_and_a_prefix() {
        let parsed = |text| Location::parse(text).unwrap();
        let place = parsed("s3://lake/backups/nightly/");
        assert_eq!((place.scheme(), place.bucket(), place.prefix()), (Scheme::S3, "lake", "backups/nightly"));
        assert_eq!(place.to_string(), "s3://lake/backups/nightly");
        assert_eq!(place.key(&Name::log(7).to_string()).as_ref(), "backups/nightly/log/00000000000000000007");
        let whole = parsed("gs://lake");
        assert_eq!((whole.prefix(), whole.to_string()), ("", "gs://lake".into()));
        assert_eq!(whole.key("config").as_ref(), "config");
        assert_eq!(parsed("az://box/").scheme(), Scheme::Azure);
        // What is listed by the prefix has to be found below it.
        let odd = parsed("s3://lake/a~b [1]");
        let key = odd.key(&Name::log(7).to_string());
        assert_eq!(odd.object(Kind::Log, key.as_ref()), Some(Name::log(7)));
    }

    #[test]
    fn what_names_no_bucket_is_refused_with_a_reason() {
        for text in [
            "s3://",
            "s3:///prefix",
            "s3://a//b",
            "s3://a//",
            "s3://a/b//",
            "s3://key:secret@host/bucket",
            "s3://host:9000/b",
            "ftp://x/y",
        ] {
            let error = Location::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(text) && error.len() > text.len() + 10, "{error}");
        }
        assert!(!Location::is_meant("/backup") && !Location::is_meant("sftp://x/y") && Location::is_meant("gs://"));
    }

    #[test]
    fn only_keys_that_an_object_could_have_are_objects() {
        let place = Location::parse("s3://lake/repo").unwrap();
        let pack = Name::new(Kind::Pack, "ab".repeat(32));
        assert_eq!(place.object(Kind::Pack, place.key(&pack.to_string()).as_ref()), Some(pack));
        for stranger in
            ["repo/packs/cd/abab", "repo/packs/README", "repository/packs/ab/abab", "packs/ab/abab", "repo/packs"]
        {
            assert_eq!(place.object(Kind::Pack, stranger), None, "{stranger}");
        }
    }
}
