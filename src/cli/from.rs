//! The other repository: the one to take something over from.

use std::path::{Path, PathBuf};

use avro_snap::error::{Error, IoContext};
use avro_snap::store::Repository;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::password::Source;

/// How the other repository is opened.
#[derive(Debug, clap::Args)]
pub(crate) struct OtherRepository {
    /// Read the password of the other repository from this file [env: SNAP_FROM_PASSWORD_FILE, SNAP_FROM_PASSWORD]
    #[arg(long, value_name = "FILE", requires = "from_repo", conflicts_with = "from_password_command")]
    from_password_file: Option<PathBuf>,

    /// Run this command for the password of the other repository [env: SNAP_FROM_PASSWORD_COMMAND]
    #[arg(long, value_name = "COMMAND", requires = "from_repo")]
    from_password_command: Option<String>,

    /// Open the other repository with a key export instead of a password
    #[arg(
        long, value_name = "FILE", requires = "from_repo",
        conflicts_with_all = ["from_password_file", "from_password_command"]
    )]
    from_key_export: Option<PathBuf>,
}

impl OtherRepository {
    /// Opens the repository in this directory.
    pub(crate) fn open(&self, context: &Context, folder: &Path) -> Result<Repository> {
        self.try_open(context, folder).map_err(|failure| match failure {
            Failure::Library(Error::NoRepository { location }) => Failure::Own {
                exit: Exit::NoRepository,
                code: "no_repository",
                message: format!("there is no repository at {location} to take anything from"),
                hint: Some("check --from-repo or SNAP_FROM_REPOSITORY".into()),
            },
            Failure::Library(error @ Error::WrongPassword { .. }) => Failure::Own {
                exit: Exit::Password,
                code: "wrong_password",
                message: format!("{}: {error}", folder.display()),
                hint: Some(
                    "check --from-password-file, --from-password-command, SNAP_FROM_PASSWORD, SNAP_FROM_PASSWORD_FILE"
                        .into(),
                ),
            },
            Failure::Own { exit: exit @ Exit::Password, code, message, hint } => {
                let names = |hint: String| hint.replace("--password", "--from-password").replace("SNAP_", "SNAP_FROM_");
                Failure::Own { exit, code, message, hint: hint.map(names) }
            }
            failure => failure,
        })
    }

    fn try_open(&self, context: &Context, folder: &Path) -> Result<Repository> {
        if let Some(export) = &self.from_key_export {
            return context.open_by_export(folder, &std::fs::read_to_string(export).when("read", export)?);
        }
        let source =
            Source::find(self.from_password_file.as_deref(), self.from_password_command.as_deref(), "SNAP_FROM")?;
        let (other, _) = context.open_folder(folder, &source, &format!("password of {}", folder.display()))?;
        Ok(other)
    }

    /// Whether its password would be read from standard input.
    pub(crate) fn reads_standard_input(&self) -> bool {
        self.from_password_file.as_deref().is_some_and(super::password::is_standard_input)
    }
}
