//! Profiles of `~/.aws/config` and `~/.aws/credentials`, as far as they say who one is, where, and how to find out.

use std::collections::BTreeMap;

/// What a profile says that is of use here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Profile {
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) source: Option<Source>,
}

/// Where the credentials of a profile come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// They stand in it.
    Keys { id: String, secret: String, token: Option<String> },
    /// A command prints them.
    Process(String),
    /// From something that is not done here: the name of the setting.
    Elsewhere(&'static str),
}

type Section = BTreeMap<String, String>;

/// Reads the profile out of the texts of the two files. None if neither has it.
pub(super) fn find(config: &str, credentials: &str, name: &str) -> Option<Profile> {
    let in_config = match name {
        // Both are read as it.
        "default" => section(config, "profile default").or_else(|| section(config, "default")),
        name => section(config, &format!("profile {name}")),
    };
    let in_credentials = section(credentials, name);
    if in_config.is_none() && in_credentials.is_none() {
        return None;
    }
    let (config, credentials) = (in_config.unwrap_or_default(), in_credentials.unwrap_or_default());
    // What stands in `credentials` goes first.
    let get = |key: &str| credentials.get(key).or_else(|| config.get(key)).filter(|value| !value.is_empty()).cloned();
    let source = match (get("aws_access_key_id"), get("aws_secret_access_key"), get("credential_process")) {
        (Some(id), Some(secret), _) => Some(Source::Keys { id, secret, token: get("aws_session_token") }),
        (_, _, Some(command)) => Some(Source::Process(command)),
        _ => ELSEWHERE.iter().find(|key| get(key).is_some()).map(|key| Source::Elsewhere(key)),
    };
    Some(Profile { region: get("region"), endpoint: get("endpoint_url"), source })
}

/// Ways to credentials that other programs know how to go.
const ELSEWHERE: [&str; 5] = ["sso_session", "sso_start_url", "role_arn", "web_identity_token_file", "login_session"];

/// The settings of one section. Indented lines belong to the setting above them, and say nothing here.
fn section(text: &str, name: &str) -> Option<Section> {
    let mut found: Option<Section> = None;
    let mut is_in = false;
    for line in text.lines() {
        let plain = line.trim();
        if plain.is_empty() || plain.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = plain.strip_prefix('[') {
            let title = rest.split(']').next().unwrap_or(rest);
            is_in = title.split_whitespace().collect::<Vec<_>>().join(" ") == name;
            if is_in {
                found.get_or_insert_default();
            }
            continue;
        }
        let is_indented = line.starts_with([' ', '\t']);
        if let (true, false, Some(section), Some((key, value))) =
            (is_in, is_indented, found.as_mut(), plain.split_once('='))
        {
            // A comment at the end of a line begins after a space.
            let value = value.split(" #").next().unwrap_or(value).split(" ;").next().unwrap_or(value);
            section.insert(key.trim().to_ascii_lowercase(), value.trim().to_string());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
# where
[default]
region = eu-central-1
[profile  lake]
region=eu-west-1   # near
endpoint_url = https://s3.example.org
credential_process = /usr/bin/helper --for lake
s3 =
    region = not-this
[profile sso]
sso_session = corp
[services x]
region = nowhere
";
    const CREDENTIALS: &str = "
[default]
aws_access_key_id = AKID
aws_secret_access_key = a/b+c=
[both]
AWS_ACCESS_KEY_ID=ID2
aws_secret_access_key=S2
aws_session_token=T2
";

    #[test]
    fn a_profile_is_read_from_both_files() {
        let find = |name| find(CONFIG, CREDENTIALS, name);
        let keys = |id: &str, secret: &str, token: Option<&str>| {
            Some(Source::Keys { id: id.into(), secret: secret.into(), token: token.map(Into::into) })
        };
        let default = find("default").unwrap();
        assert_eq!((default.region.as_deref(), default.source), (Some("eu-central-1"), keys("AKID", "a/b+c=", None)));
        let lake = find("lake").unwrap();
        assert_eq!(lake.source, Some(Source::Process("/usr/bin/helper --for lake".into())));
        assert_eq!(
            (lake.region.as_deref(), lake.endpoint.as_deref()),
            (Some("eu-west-1"), Some("https://s3.example.org"))
        );
        assert_eq!(find("both").unwrap().source, keys("ID2", "S2", Some("T2")));
        assert_eq!(find("sso").unwrap().source, Some(Source::Elsewhere("sso_session")));
        assert_eq!(find("absent"), None);
        assert_eq!(find("x"), None);
    }

    #[test]
    fn files_that_are_none_have_no_profiles() {
        for text in ["", "[", "[default", "= =\n[default]\n=", "\u{0}\u{fffd}[[default]]"] {
            let found = super::find(text, text, "default");
            assert!(found.is_none_or(|profile| profile.source.is_none()), "{text:?}");
        }
    }
}
