//! Who one is for AWS, where neither the environment nor the machine says so: profiles, and commands that print credentials.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use object_store::{CredentialProvider, Error};

/// Credentials are fetched again so long before they expire.
const BEFORE_THE_END: Duration = Duration::from_secs(300);

/// What is said where nothing says who one is.
pub(super) const NO_CREDENTIALS: &str =
    "no credentials were found in the environment (AWS_ACCESS_KEY_ID) or in a profile of ~/.aws (AWS_PROFILE)";

/// A failure to learn who one is.
pub(super) fn no_identity(reason: impl Into<String>) -> Error {
    Error::Unauthenticated { path: "credentials".into(), source: reason.into().into() }
}

/// Credentials that a command prints (`credential_process`).
#[derive(Debug)]
pub(super) struct FromProcess {
    command: String,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug, Clone)]
struct Kept {
    credential: Arc<AwsCredential>,
    until: Option<Instant>,
}

impl FromProcess {
    pub(super) fn new(command: String) -> Self {
        Self { command, kept: Mutex::default() }
    }

    /// Runs the command. It may ask a person something on the terminal, so it keeps standard error.
    fn run(&self) -> Result<Kept, Error> {
        let failed = |reason: String| no_identity(format!("credential_process ({}): {reason}", self.command));
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(output.status.to_string()));
        }
        let printed = Printed::parse(&output.stdout).map_err(failed)?;
        let until = printed.lasts(SystemTime::now()).map(|left| Instant::now() + left.saturating_sub(BEFORE_THE_END));
        Ok(Kept { credential: Arc::new(printed.credential), until })
    }
}

#[async_trait]
impl CredentialProvider for FromProcess {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        // Held while the command runs: everybody else needs its answer, and must not start a second one.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_ref().filter(|kept| kept.until.is_none_or(|until| Instant::now() < until)) {
            return Ok(kept.credential.clone());
        }
        let new = self.run()?;
        let credential = new.credential.clone();
        *kept = Some(new);
        Ok(credential)
    }
}

/// What such a command printed.
#[derive(Debug)]
struct Printed {
    credential: AwsCredential,
    expiration: Option<jiff::Timestamp>,
}

impl Printed {
    fn parse(output: &[u8]) -> Result<Self, String> {
        let value: serde_json::Value =
            serde_json::from_slice(output).map_err(|error| format!("what it printed is no JSON: {error}"))?;
        if value["Version"] != 1 {
            return Err("it did not print credentials of version 1".into());
        }
        let text = |key: &str| value[key].as_str().filter(|text| !text.is_empty()).map(String::from);
        let needed = |key: &str| text(key).ok_or_else(|| format!("{key} is missing in what it printed"));
        let credential = AwsCredential {
            key_id: needed("AccessKeyId")?,
            secret_key: needed("SecretAccessKey")?,
            token: text("SessionToken"),
        };
        let expiration = match text("Expiration") {
            Some(time) => Some(time.parse().map_err(|error| format!("Expiration {time}: {error}"))?),
            None => None,
        };
        Ok(Self { credential, expiration })
    }

    /// How long it is good from now on, if it ends.
    fn lasts(&self, now: SystemTime) -> Option<Duration> {
        let end = SystemTime::from(self.expiration?);
        Some(end.duration_since(now).unwrap_or_default())
    }
}

/// The credentials of the machine, a container, or a web identity; where there are none, an error that says what there
/// could be.
#[derive(Debug)]
pub(super) struct OfTheMachine(pub(super) AwsCredentialProvider);

#[async_trait]
impl CredentialProvider for OfTheMachine {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.0.get_credential().await.map_err(|error| {
            no_identity(format!(
                "{NO_CREDENTIALS}, and the machine has no role that it tells of: {}",
                super::errors::said(&error)
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_credential_process_prints_is_read_and_kept_until_shortly_before_its_end() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let output = br#"{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "S", "SessionToken": "T",
            "Expiration": "2023-11-14T22:23:20Z"}"#;
        let printed = Printed::parse(output).unwrap();
        assert_eq!((printed.credential.key_id.as_str(), printed.credential.token.as_deref()), ("A", Some("T")));
        assert_eq!(printed.lasts(now), Some(Duration::from_secs(600)));
        let forever = Printed::parse(br#"{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "S"}"#).unwrap();
        assert_eq!(forever.lasts(now), None);
        for bad in ["", "{}", r#"{"Version": 1, "AccessKeyId": "A"}"#, r#"{"Version": 2}"#, "[1]"] {
            assert!(Printed::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_is_run_once_and_its_failure_is_reported() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let counter = folder.path().join("runs");
        let prints = format!(
            "echo run >> {}; echo '{{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"S\"}}'",
            counter.display()
        );
        let provider = FromProcess::new(prints);
        for _ in 0..3 {
            assert_eq!(runtime.block_on(provider.get_credential()).unwrap().key_id, "A");
        }
        assert_eq!(std::fs::read_to_string(counter).unwrap().lines().count(), 1);
        let error = runtime.block_on(FromProcess::new("exit 3".into()).get_credential()).unwrap_err();
        assert!(super::super::errors::said(&error).contains("exit status: 3"), "{error}");
    }
}
