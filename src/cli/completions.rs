//! `snap completions`

use super::Context;
use super::exit::Exit;
use super::failure::Result;

/// Print shell completions
///
/// For bash: `snap completions bash > ~/.local/share/bash-completion/completions/snap`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl Args {
    pub(crate) fn run(self, context: &Context, mut command: clap::Command) -> Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "snap", &mut script);
        context.output.bytes(&script)?;
        Ok(Exit::Done)
    }
}
