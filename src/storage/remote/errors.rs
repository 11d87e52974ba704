//! What the answers of object stores mean for a storage: the one place where that is decided.

use std::error::Error as StdError;

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

use super::xml;
use crate::storage::StorageErrorKind;

/// What kind of failure it was: by what the client says, and by the status of the store's last answer, if there was one.
pub(super) fn kind_of(error: &Error, status: Option<u16>) -> StorageErrorKind {
    use StorageErrorKind::*;
    let said = said(error);
    match error {
        _ if ARCHIVED.iter().any(|code| said.contains(code)) => Archived,
        // A missing bucket says nothing about an object in it.
        Error::NotFound { .. } if says_no_bucket(&said) => Other,
        Error::NotFound { .. } => NotFound,
        _ if status.is_some_and(|status| status >= 400) && RETAINED.iter().any(|word| said.contains(word)) => Retained,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Denied,
        Error::NotSupported { .. } | Error::NotImplemented { .. } => Unsupported,
        Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. } => Invalid,
        _ => match status {
            Some(429 | 503 | 509) => Throttled,
            Some(501 | 405) => Unsupported,
            Some(507) => NoSpace,
            Some(408 | 500..=599) => Unavailable,
            // The bytes did not arrive as they were sent.
            Some(400) if MANGLED.iter().any(|code| said.contains(code)) => Unavailable,
            Some(400) if STALE.iter().any(|code| said.contains(code)) => Denied,
            Some(404) if says_no_bucket(&said) => Other,
            // Of a batch: what it was answered for each of its parts stands inside.
            Some(200..=299) if RETAINED.iter().any(|word| said.contains(word)) => Retained,
            Some(200..=299) if said.contains("AccessDenied") => Denied,
            Some(200..=299) if said.contains("SlowDown") => Throttled,
            Some(200..=299) if said.contains("(code: ") => Unavailable,
            // It was answered, and the answer broke off or made no sense.
            Some(200..=299) | None => match transport(error) {
                Some(_) if said.contains("certificate") => Other,
                Some(_) => Unavailable,
                None if status.is_some() => Unavailable,
                None => Other,
            },
            Some(_) => Other,
        },
    }
}

/// What stores say of an object that must not be deleted yet. S3 has no code for it, only a message; of a bucket with
/// versions it says nothing, and hides the object.
const RETAINED: [&str; 8] = [
    "protected by object lock",
    "Object is WORM protected",
    "ObjectLocked",
    "BlobImmutableDueToPolicy",
    "BlobImmutableDueToLegalHold",
    "etentionPolicyNotMet",
    "cannot be deleted, overwritten or archived until",
    "ObjectUnderActiveHold",
];

/// Codes of S3 for a request that was damaged or cut off on its way.
const MANGLED: [&str; 6] = [
    "BadDigest",
    "IncompleteBody",
    "RequestTimeout",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
    "Md5Mismatch",
];

/// Codes of S3 for credentials that were right once.
const STALE: [&str; 3] = ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"];

/// Codes of S3 and Azure for objects that have to be thawed before they are read.
const ARCHIVED: [&str; 3] = ["InvalidObjectState", "BlobArchived", "BlobBeingRehydrated"];

/// The result of an attempt to create an object that did not plainly succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The store says that the name is taken.
    Taken,
    /// It may have been created.
    Unknown,
    /// It was refused, in this way.
    Failed(StorageErrorKind),
}

/// What an answer to a create means. Only a precondition that failed says that the name is taken: a conflict may be one with
/// a request that fails later, and a request that was answered late or not at all may have been carried out.
pub(super) fn refused(error: &Error, status: Option<u16>) -> Refused {
    match (status, transport(error)) {
        (Some(412 | 304), _) => Refused::Taken,
        (Some(409), _) if said(error).contains("BlobAlreadyExists") => Refused::Taken,
        (Some(409), _) => Refused::Unknown,
        // No connection, so nothing was sent.
        (None, Some(HttpErrorKind::Connect)) => Refused::Failed(kind_of(error, status)),
        (None, Some(_)) => Refused::Unknown,
        _ => match kind_of(error, status) {
            StorageErrorKind::Unavailable => Refused::Unknown,
            // Another store, or what stands before it, answers for one that it has lost sight of.
            StorageErrorKind::NotFound => Refused::Failed(StorageErrorKind::Other),
            kind => Refused::Failed(kind),
        },
    }
}

/// How the connection failed, if it was that.
fn transport(error: &Error) -> Option<HttpErrorKind> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return Some(http.kind());
        }
        next = error.source();
    }
    None
}

/// Whether the store says that there is no such bucket, or container.
fn says_no_bucket(said: &str) -> bool {
    ["NoSuchBucket", "ContainerNotFound", "specified bucket does not exist"].iter().any(|code| said.contains(code))
}

/// What the store or the client says, for people: of an answer in XML its code and message.
pub(super) fn said(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = error.source();
    }
    match (xml::within(&text, "Code"), xml::within(&text, "Message")) {
        (Some(code), Some(message)) if !message.is_empty() => format!("{code}: {message}"),
        (Some(code), _) => code,
        (None, _) => text,
    }
}

#[cfg(test)]
mod tests {
    use StorageErrorKind::*;

    use super::*;

    fn answered(body: &str) -> Error {
        Error::Generic { store: "S3", source: format!("Server returned non-2xx status code: {body}").into() }
    }

    fn broken(kind: HttpErrorKind, why: &str) -> Error {
        Error::Generic { store: "S3", source: Box::new(HttpError::new(kind, std::io::Error::other(why.to_string()))) }
    }

    fn missing(body: &str) -> Error {
        Error::NotFound { path: "x".into(), source: body.into() }
    }

    #[test]
    fn every_answer_has_its_kind() {
        let code = |code: &str| format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>");
        let kinds = [
            (missing(""), Some(404), NotFound),
            (missing(&code("NoSuchKey")), Some(404), NotFound),
            (missing(&code("NoSuchBucket")), Some(404), Other),
            (missing(&code("ContainerNotFound")), Some(404), Other),
            (Error::PermissionDenied { path: "x".into(), source: "no".into() }, Some(403), Denied),
            (Error::Unauthenticated { path: "x".into(), source: "no".into() }, None, Denied),
            (answered(&code("SlowDown")), Some(503), Throttled),
            (answered(""), Some(429), Throttled),
            (answered(&code("InternalError")), Some(500), Unavailable),
            (answered(""), Some(502), Unavailable),
            (answered(&code("RequestTimeout")), Some(400), Unavailable),
            (answered(&code("BadDigest")), Some(400), Unavailable),
            (answered(&code("ExpiredToken")), Some(400), Denied),
            (answered(&code("InvalidArgument")), Some(400), Other),
            (
                Error::PermissionDenied { path: "x".into(), source: code("InvalidObjectState").into() },
                Some(403),
                Archived,
            ),
            (answered(&code("BlobArchived")), Some(409), Archived),
            (answered(&code("NotImplemented")), Some(501), Unsupported),
            (answered(""), Some(507), NoSpace),
            (answered(""), Some(301), Other),
            (answered("DeleteObjects request failed for key x: no (code: AccessDenied)"), Some(200), Denied),
            (answered("DeleteObjects request failed for key x: no (code: InternalError)"), Some(200), Unavailable),
            (broken(HttpErrorKind::Connect, "refused"), None, Unavailable),
            (broken(HttpErrorKind::Connect, "invalid peer certificate"), None, Other),
            (broken(HttpErrorKind::Timeout, "late"), None, Unavailable),
            (broken(HttpErrorKind::Interrupted, "cut"), Some(200), Unavailable),
            (broken(HttpErrorKind::Decode, "cut"), Some(206), Unavailable),
        ];
        for (error, status, kind) in kinds {
            assert_eq!(kind_of(&error, status), kind, "{status:?} {error}");
        }
    }

    #[test]
    fn only_a_failed_precondition_says_that_a_name_is_taken() {
        let exists = |body: &str| Error::AlreadyExists { path: "x".into(), source: body.into() };
        let refusals = [
            (exists("<Code>PreconditionFailed</Code>"), Some(412), Refused::Taken),
            (exists("<Code>BlobAlreadyExists</Code>"), Some(409), Refused::Taken),
            (exists("<Code>ConditionalRequestConflict</Code>"), Some(409), Refused::Unknown),
            (exists("<Code>OperationAborted</Code>"), Some(409), Refused::Unknown),
            (answered(""), Some(500), Refused::Unknown),
            (answered(""), Some(504), Refused::Unknown),
            (broken(HttpErrorKind::Request, "closed before the message was complete"), None, Refused::Unknown),
            (broken(HttpErrorKind::Timeout, "late"), None, Refused::Unknown),
            (broken(HttpErrorKind::Unknown, "?"), None, Refused::Unknown),
            (broken(HttpErrorKind::Connect, "refused"), None, Refused::Failed(Unavailable)),
            (answered("<Code>SlowDown</Code>"), Some(503), Refused::Failed(Throttled)),
            (Error::PermissionDenied { path: "x".into(), source: "".into() }, Some(403), Refused::Failed(Denied)),
            (missing("<Code>NoSuchBucket</Code>"), Some(404), Refused::Failed(Other)),
            (missing(""), Some(404), Refused::Failed(Other)),
        ];
        for (error, status, expected) in refusals {
            assert_eq!(refused(&error, status), expected, "{status:?} {error}");
        }
    }

    #[test]
    fn people_get_the_code_and_the_message() {
        let error = answered("503: <?xml?><Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>");
        assert_eq!(said(&error), "SlowDown: Reduce your rate.");
        assert!(said(&broken(HttpErrorKind::Connect, "connection refused")).contains("connection refused"));
    }
}
