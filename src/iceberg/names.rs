//! The names of metadata files: `v3.metadata.json` of tables that live in a folder alone, `00003-UUID.metadata.json` of catalogs.

/// What the name of a metadata file says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetadataName {
    /// The version of the metadata. Several files can have the same one, where a commit failed.
    pub version: u64,
    /// The name itself.
    pub name: String,
}

impl MetadataName {
    /// What the name says; none if it is not that of a metadata file.
    pub fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".metadata.json").or_else(|| name.strip_suffix(".metadata.json.gz"))?;
        let stem = stem.strip_suffix(".gz").unwrap_or(stem);
        let digits = match stem.strip_prefix('v') {
            Some(digits) => digits,
            None => stem.split_once('-')?.0,
        };
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let version = is_number.then(|| digits.parse().ok()).flatten()?;
        Some(Self { version, name: name.to_owned() })
    }

    /// Whether it is compressed with gzip.
    pub fn is_compressed(&self) -> bool {
        self.name.ends_with(".gz") || self.name.ends_with(".gz.metadata.json")
    }
}

/// Whether a version hint (the content of `version-hint.text`) names this metadata file: by its number, by its name, or by its name
/// without the end.
pub fn hinted(hint: &[u8], name: &str) -> bool {
    let Ok(hint) = std::str::from_utf8(hint).map(str::trim) else { return false };
    !hint.is_empty()
        && [hint.to_owned(), format!("{hint}.metadata.json"), format!("v{hint}.metadata.json")]
            .contains(&name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_metadata_files_are_known() {
        for (name, version) in [
            ("v3.metadata.json", Some(3)),
            ("00012-9c5d6a2e-0000.metadata.json", Some(12)),
            ("v3.gz.metadata.json", Some(3)),
            ("v3.metadata.json.gz", Some(3)),
            ("v.metadata.json", None),
            ("x-1.metadata.json", None),
            ("snap-1.avro", None),
            ("v3.metadata.json.tmp", None),
        ] {
            assert_eq!(MetadataName::parse(name).map(|name| name.version), version, "{name}");
        }
        assert!(hinted(b"3\n", "v3.metadata.json") && hinted(b"00003-x", "00003-x.metadata.json"));
        assert!(
            hinted(b"v3.metadata.json", "v3.metadata.json")
                && !hinted(b"4", "v3.metadata.json")
                && !hinted(b"", ".metadata.json")
        );
        assert!(MetadataName::parse("v3.gz.metadata.json").unwrap().is_compressed());
    }
}
