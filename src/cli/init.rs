//! `snap init`

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use avro_snap::chunk::CutParams;
use avro_snap::crypto::slot::KdfCost;
use avro_snap::crypto::{Secret, Suite, SystemEntropy};
use avro_snap::pack::parse_share;
use avro_snap::storage::Local;
use avro_snap::store::{InitOptions, InitReport, SystemClock, init};

use super::Context;
use super::compression::Compression;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::from::OtherRepository;
use super::open::{folder, who};
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
    /// then corrected when they are read, with a warning, and `snap repair packs` repairs them. It cannot restore a
    /// pack that is gone altogether. `snap repair packs --parity` changes it later.
    #[arg(long, value_name = "SHARE", default_value = "off", value_parser = parse_share)]
    parity: u32,

    /// Create it even in a directory that holds other files
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

/// The library's own cost of trying a password, as it is written.
static KDF_MEMORY: LazyLock<String> = LazyLock::new(|| (KdfCost::default().memory_kib >> 10).to_string());

/// How dear it is to try a password.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Kdf {
    /// Memory needed to try a password, in MiB: more makes guessing harder (8 to 2048)
    #[arg(long, value_name = "MIB", default_value = KDF_MEMORY.as_str(), value_parser = KdfCost::parse_memory)]
    kdf_memory: KdfCost,
}

impl Kdf {
    /// As the library takes it.
    pub(crate) fn cost(self) -> KdfCost {
        self.kdf_memory
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
    /// No encryption: anyone who can read the storage can read the data
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
    /// Whether another repository is read.
    pub(crate) fn takes_from_another(&self) -> bool {
        self.from_repo.is_some()
    }

    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let place = context.repository_folder()?;
        if context.globals.key_export.is_some() {
            return Err(Failure::Usage("a new repository has no key export yet: --key-export does not go here".into()));
        }
        if !self.force {
            refuse_strangers(context, &place)?;
        }
        let (cut, chunk_id_key) = match &self.from_repo {
            Some(other) => self.taken_over(context, &folder(other)?)?,
            None => (CutParams::default(), None),
        };
        let mut options = self.options().cut(cut);
        options.chunk_id_key = chunk_id_key;
        let suite = options.encryption;
        let (report, _) = make(context, &place, options)?;
        let output = &context.output;
        let said = match output.json {
            true => output.object("summary", &report),
            false => {
                let id = report.repository_id;
                output.note(format_args!("created repository {id} at {} ({})", place.display(), suite.name()))
            }
        };
        let said = said.and_then(|()| match suite {
            Suite::None => Ok(()),
            _ => output.note(format_args!(
                "Without its password nothing in it can be read. `snap key export` makes a second way in."
            )),
        });
        context.finish_with(Exit::Done, said.map_err(Failure::from))
    }

    /// What the flags say.
    pub(super) fn options(&self) -> InitOptions {
        InitOptions::default()
            .encryption(self.encryption.suite())
            .kdf(self.kdf.cost())
            .compression(self.compression)
            .parity(self.parity)
    }

    /// What this repository takes over from the other one.
    fn taken_over(&self, context: &Context, other: &Path) -> Result<(CutParams, Option<Secret>)> {
        let other = self.from.open(context, other)?;
        let key = other.keys().keyring().map(|keyring| keyring.chunk_id_key.clone());
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
pub(crate) fn refuse_strangers(context: &Context, place: &Path) -> Result<()> {
    let (stranger, free) = match stores::is_store(place) {
        true => (stores::stranger(context, place)?.map(PathBuf::from), "give a prefix under which nothing lies"),
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

/// Makes the repository, and returns the password that was given for it, too.
pub(crate) fn make(context: &Context, place: &Path, mut options: InitOptions) -> Result<(InitReport, Option<Vec<u8>>)> {
    options.password = match options.encryption {
        Suite::None => None,
        _ => Some(context.password_source()?.password("password of the new repository", true, &context.output)?),
    };
    options.label = who();
    if stores::is_store(place) {
        stores::look_into(context, place)?;
    }
    let report = init(&context.backend(place)?, &options, &SystemClock, &SystemEntropy)?;
    places::remember(context, place, report.repository_id);
    Ok((report, options.password))
}
