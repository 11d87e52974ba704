//! The exit codes: all of them, here.

use avro_snap::error::{Error, ErrorKind};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All was done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// A snapshot was made, but some input could not be read and is not in it, or it is not as expected; or an Avro file was looked into
    /// (`--fail-on-damaged`, `cat`, `check --avro`) that is not sound.
    Incomplete = 3,
    /// There is no repository.
    NoRepository = 10,
    /// Somebody else uses what is needed.
    Busy = 11,
    /// The password is wrong, or there is none.
    Password = 12,
    /// It was restored, but for files whose data is lost or damaged.
    RestoredWithDamage = 21,
    /// Data in the repository is lost or damaged.
    Damage = 22,
    /// A signal said that it was to end.
    Interrupted = 130,
}

/// The table for people; part of the help.
pub(crate) const TABLE: &str = "\
Exit codes:
    0  done
    1  failed
    2  the arguments make no sense
    3  a snapshot was made, but some input could not be read, or it is not as expected (create
       --expect); or (create --fail-on-damaged, cat, check --avro) an Avro file is not sound
   10  there is no repository
   11  the repository is busy
   12  wrong password, or none
   21  restored, but some files are lost or damaged
   22  data in the repository is lost or damaged
  130  interrupted (Ctrl-C, SIGTERM)";

impl Exit {
    /// What an error of the library ends the program with.
    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound if matches!(error, Error::NoRepository { .. }) => Self::NoRepository,
            ErrorKind::Busy => Self::Busy,
            ErrorKind::Password => Self::Password,
            ErrorKind::Interrupted => Self::Interrupted,
            ErrorKind::Damage => Self::Damage,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_every_code() {
        use Exit::*;
        let all =
            [Done, Failed, Usage, Incomplete, NoRepository, Busy, Password, RestoredWithDamage, Damage, Interrupted];
        for exit in all {
            let code = format!("{:>5}  ", exit as u8);
            assert!(TABLE.lines().any(|line| line.starts_with(&code)), "{exit:?}");
        }
        assert_eq!(TABLE.lines().count(), 1 + all.len() + 1, "one takes two lines");
    }
}
