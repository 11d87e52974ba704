//! `snap init`

use std::path::{Path, PathBuf};

use avro_snap::chunk::CutParams;
use avro_snap::crypto::slot::KdfCost;
use avro_snap::crypto::{Secret, Suite, SystemEntropy};
use avro_snap::id::RepositoryId;
use avro_snap::storage::Local;
use avro_snap::store::{InitOptions, Repository, Settings, SystemClock};
use serde_json::json;

use super::Context;
use super::compression::Compression;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::from::OtherRepository;
use super::open::{folder, who};
use super::parity::parse_share;
use super::{places, stores};

/// Create a new repository
///
/// The password is asked for twice on a terminal; otherwise it comes from --password-file, --password-command,
/// SNAP_PASSWORD or SNAP_PASSWORD_FILE. Without the password (or a key export) nothing can ever be read.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Encryption of the repository; it cannot be changed later
    ///
    /// aes-256-gcm is the fastest on machines with AES instructions, xchacha20-poly1305 on those without.
    #[arg(long, value_enum, default_value_t, value_name = "SUITE")]
    encryption: Encryption,

    /// Default compression for this repository
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    compression: Compression,

    /// Redundancy of stored data, as a share of it, like 5%: damage up to that share of each pack can be repaired
    ///
    /// It is for storage that neither checks nor repairs what it holds, like a single disk; bytes that have changed are
    /// then read right, with a warning, and `snap repair packs` puts them right. A pack that is gone altogether does not
    /// come back by it. `snap repair packs --parity` changes it later.
    #[arg(long, value_name = "SHARE", default_value = "off", value_parser = parse_share)]
    parity: u32,

    /// Make it in a directory that holds other files
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    kdf: Kdf,

    /// Use the chunk-id key and the cutting parameters of this repository
    ///
    /// The same data then has the same chunk ids in both, so that snapshots can be copied from one to the other without
    /// being stored twice.
    #[arg(long, value_name = "PATH")]
    from_repo: Option<PathBuf>,

    #[command(flatten)]
    from: OtherRepository,
}

/// How dear it is to try a password.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Kdf {
    /// Memory needed to try a password, in MiB: more makes guessing harder (8 to 2048)
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=2048))]
    kdf_memory: u32,
}

impl Kdf {
    /// As the library takes it.
    pub(crate) fn cost(self) -> KdfCost {
        KdfCost { memory_kib: self.kdf_memory << 10, ..KdfCost::default() }
    }
}

/// How data is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Encryption {
    /// AES-256 in Galois/counter mode
    #[default]
    #[value(name = "aes-256-gcm")]
    Aes,
    /// XChaCha20-Poly1305
    #[value(name = "xchacha20-poly1305")]
    ChaCha,
    /// None: everybody who can read the storage can read the data
    None,
}

impl Encryption {
    fn suite(self) -> Suite {
        match self {
            Self::Aes => Suite::Aes256Gcm,
            Self::ChaCha => Suite::XChaCha20Poly1305,
            Self::None => Suite::None,
        }
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let place = context.repository_folder()?;
        if context.globals.key_export.is_some() {
            return Err(Failure::Usage("a new repository has no key export yet: --key-export does not go here".into()));
        }
        if !self.force {
            refuse_strangers(&place)?;
        }
        let (cut, chunk_id_key) = match &self.from_repo {
            Some(other) => self.taken_over(context, &folder(other)?)?,
            None => (CutParams::default(), None),
        };
        let suite = self.encryption.suite();
        let mut settings = self.compression.settings();
        if self.parity > 0 {
            settings.set_parity(self.parity);
        }
        let (id, _) = make(context, &place, suite, self.kdf.cost(), cut, chunk_id_key, settings)?;
        let output = &context.output;
        let said = match output.json {
            true => output.object(
                "summary",
                json!({
                    "repository_id": id.to_string(),
                    "location": place.to_string_lossy(),
                    "encryption": suite.name(),
                }),
            ),
            false => output.note(format_args!("made repository {id} at {} ({})", place.display(), suite.name())),
        };
        let said = said.and_then(|()| match suite {
            Suite::None => Ok(()),
            _ => output.note(format_args!(
                "Without its password nothing in it can be read. `snap key export` makes a second way in."
            )),
        });
        context.told(Exit::Done, said.map_err(Failure::from))
    }

    /// What the other repository gives to this one.
    fn taken_over(&self, context: &Context, other: &Path) -> Result<(CutParams, Option<Secret>)> {
        let other = self.from.open(context, other)?;
        let key = other.keyring().map(|keyring| keyring.chunk_id_key.clone());
        match (key.is_some(), self.encryption) {
            (true, Encryption::None) => Err(Failure::Usage(
                "the other repository is encrypted: its chunk-id key cannot be kept in one that is not".into(),
            )),
            (false, Encryption::Aes | Encryption::ChaCha) => Err(Failure::Usage(
                "the other repository is not encrypted and has no chunk-id key: only one made with `--encryption none` \
                 has the same chunk ids"
                    .into(),
            )),
            _ => Ok((other.cut_params(), key)),
        }
    }
}

/// Refuses to make a repository among other files: its folders would lie between them, and a slip of the finger in -r is
/// found out too late.
pub(crate) fn refuse_strangers(place: &Path) -> Result<()> {
    let (stranger, free) = match stores::is_store(place) {
        true => (stores::stranger(place)?.map(PathBuf::from), "give a prefix under which nothing lies"),
        false => {
            let stranger = Local::new(place).stranger().map_err(avro_snap::error::Error::from)?;
            (stranger, "give an empty directory or one that is not there yet")
        }
    };
    let Some(stranger) = stranger else { return Ok(()) };
    Err(Failure::Own {
        exit: Exit::Failed,
        code: "cannot_init",
        message: format!("there are other files in {}, such as {}", place.display(), stranger.display()),
        hint: Some(format!("{free}; `snap init --force` makes it among them")),
    })
}

/// Makes the repository, and gives the password that was given for it.
pub(crate) fn make(
    context: &Context,
    place: &Path,
    suite: Suite,
    kdf: KdfCost,
    cut: CutParams,
    chunk_id_key: Option<Secret>,
    settings: Settings,
) -> Result<(RepositoryId, Option<Vec<u8>>)> {
    let password = match suite {
        Suite::None => None,
        _ => Some(context.password_source()?.password("password of the new repository", true, &context.output)?),
    };
    let options = InitOptions { suite, password: password.clone(), kdf, label: who(), cut, chunk_id_key, settings };
    if stores::is_store(place) {
        stores::look_into(context, place)?;
    }
    let id = Repository::init(&context.backend(place)?, &options, &SystemClock, &SystemEntropy)?;
    places::remember(context, place, id);
    Ok((id, password))
}
