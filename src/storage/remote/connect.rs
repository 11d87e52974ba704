//! From a location and the environment to a client: endpoints, credentials, policies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, Checksum, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::{ClientOptions, Error, ObjectStore, RetryConfig, StaticCredentialProvider};

use super::direct::{Direct, Line, Signer};
use super::identity::{FromProcess, NO_CREDENTIALS, OfTheMachine, no_identity};
use super::location::{Location, Scheme};
use super::profile::{self, Profile, Source};
use super::traffic::{Counter, Counting};

/// Variables of the environment.
pub(super) type Variables = BTreeMap<String, String>;

/// How long it may take until a connection is there.
const CONNECTING: Duration = Duration::from_secs(10);

/// A client, by what it can do.
#[derive(Clone)]
pub(super) struct Client {
    /// Whole objects, and parts of them.
    pub(super) store: Arc<dyn ObjectStore>,
    /// Listings, page by page.
    pub(super) pages: Arc<dyn PaginatedListStore>,
    /// Objects that are sent in parts.
    pub(super) uploads: Arc<dyn MultipartStore>,
    /// Its address, where that is not the provider's own.
    pub(super) endpoint: Option<String>,
    /// What the client has no request for.
    pub(super) direct: Option<Arc<Direct>>,
}

impl Client {
    fn of(
        store: impl ObjectStore + PaginatedListStore + MultipartStore,
        endpoint: Option<String>,
        direct: Option<Arc<Direct>>,
    ) -> Self {
        let store = Arc::new(store);
        Self { store: store.clone(), pages: store.clone(), uploads: store, endpoint, direct }
    }
}

/// The client for a location. It tries nothing twice: a create that the client repeats by itself comes back as a conflict
/// with itself. The wrapper around it retries, and resolves that.
pub(super) fn client(location: &Location, variables: &Variables, counter: &Arc<Counter>) -> Result<Client, Error> {
    match location.scheme() {
        Scheme::S3 => s3(location, variables, counter),
        Scheme::Google => google(location, variables, counter),
        Scheme::Azure => azure(location, variables, counter),
    }
}

/// Once and no more.
fn once() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// Asking who one is may be repeated.
fn a_few_times() -> RetryConfig {
    RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(20), ..RetryConfig::default() }
}

/// Settings of the connection, in the names of the store's variables: `AWS_ALLOW_HTTP`, `AWS_PROXY_URL`. What takes how
/// long is decided for each operation, by its size.
fn options(variables: &Variables, prefix: &str) -> Result<ClientOptions, Error> {
    let mut options = ClientOptions::new();
    for (name, value) in variables {
        if let Some(key) = name.strip_prefix(prefix).and_then(|key| key.to_ascii_lowercase().parse().ok()) {
            options = options.with_config(key, value);
        }
    }
    Ok(options.with_timeout_disabled().with_connect_timeout(CONNECTING))
}

/// Refuses plain HTTP that was not asked for, before a client says so in its own words.
fn plain_http(endpoint: Option<&str>, variables: &Variables, allow: &str) -> Result<(), Error> {
    let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    match is_plain && !is_true(variables, allow) {
        true => Err(wrong(format!(
            "{} has no encryption on its way: give an https:// address, or set {allow}=true where that is meant",
            endpoint.unwrap_or_default()
        ))),
        false => Ok(()),
    }
}

/// A setting that makes no sense.
fn wrong(reason: String) -> Error {
    Error::InvalidPath { source: object_store::path::Error::InvalidPath { path: PathBuf::from(reason) } }
}

fn is_true(variables: &Variables, name: &str) -> bool {
    variables.get(name).is_some_and(|value| says_true(value))
}

/// As the client reads it.
fn says_true(value: &str) -> bool {
    ["true", "1", "yes", "on", "y", "t"].contains(&value.to_ascii_lowercase().as_str())
}

fn set(variables: &Variables, name: &str) -> Option<String> {
    variables.get(name).filter(|value| !value.is_empty()).cloned()
}

fn s3(location: &Location, variables: &Variables, counter: &Arc<Counter>) -> Result<Client, Error> {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in variables.iter().filter(|(name, _)| name.starts_with("AWS_")) {
        // How names are given once is not for the environment to say; nor is where to connect to, which the location says.
        match name.to_ascii_lowercase().parse() {
            Ok(AmazonS3ConfigKey::ConditionalPut | AmazonS3ConfigKey::Bucket | AmazonS3ConfigKey::Checksum) => {}
            Ok(AmazonS3ConfigKey::Client(_)) | Err(_) => {}
            Ok(key) => builder = builder.with_config(key, value),
        }
    }
    let profile = profile(variables)?;
    let has_keys = set(variables, "AWS_ACCESS_KEY_ID").is_some();
    if builder.get_config_value(&AmazonS3ConfigKey::Region).is_none()
        && let Some(region) = profile.as_ref().and_then(|profile| profile.region.clone())
    {
        builder = builder.with_region(region);
    }
    let given = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
    let endpoint = given.iter().find_map(|name| set(variables, name));
    let endpoint = endpoint.or_else(|| profile.as_ref().and_then(|profile| profile.endpoint.clone()));
    plain_http(endpoint.as_deref(), variables, "AWS_ALLOW_HTTP")?;
    if let Some(endpoint) = &endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder = match set(variables, "AWS_CHECKSUM_ALGORITHM").map(|name| name.to_ascii_lowercase()).as_deref() {
        Some("none") => builder,
        None | Some("sha256") => builder.with_checksum_algorithm(Checksum::SHA256),
        Some("crc64nvme") => builder.with_checksum_algorithm(Checksum::CRC64NVME),
        Some(other) => {
            return Err(wrong(format!("AWS_CHECKSUM_ALGORITHM is sha256, crc64nvme or none, and not {other}")));
        }
    };
    builder = builder
        .with_bucket_name(location.bucket())
        .with_client_options(options(variables, "AWS_")?)
        .with_http_connector(Counting(counter.clone()))
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    let is_web = set(variables, "AWS_WEB_IDENTITY_TOKEN_FILE").is_some() && set(variables, "AWS_ROLE_ARN").is_some();
    let is_anonymous = builder.get_config_value(&AmazonS3ConfigKey::SkipSignature).is_some_and(|text| says_true(&text));
    builder = match profile.and_then(|profile| profile.source) {
        _ if has_keys || is_anonymous => builder,
        Some(Source::Keys { id, secret, token }) if !is_web => {
            let keys = AwsCredential { key_id: id, secret_key: secret, token };
            builder.with_credentials(Arc::new(StaticCredentialProvider::new(keys)))
        }
        Some(Source::Process(command)) if !is_web => builder.with_credentials(Arc::new(FromProcess::new(command))),
        Some(Source::Elsewhere(setting)) if !is_web => {
            return Err(no_identity(format!(
                "the profile gets its credentials by {setting}, which is not done here: set \
                 `credential_process = aws configure export-credentials --profile NAME --format process` in it"
            )));
        }
        _ if !is_web && is_true(variables, "AWS_EC2_METADATA_DISABLED") => return Err(no_identity(NO_CREDENTIALS)),
        _ => {
            let of_the_machine = builder.clone().with_retry(a_few_times()).build()?.credentials().clone();
            builder.with_credentials(Arc::new(OfTheMachine(of_the_machine)))
        }
    };
    let region = builder.get_config_value(&AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".into());
    let is_set = |key| builder.get_config_value(&key).is_some_and(|text| says_true(&text));
    let is_hosted = is_set(AmazonS3ConfigKey::VirtualHostedStyleRequest);
    let sign_payload = !is_set(AmazonS3ConfigKey::UnsignedPayload);
    let has_checksums = builder.get_config_value(&AmazonS3ConfigKey::Checksum).is_some();
    let store = builder.with_retry(once()).build()?;
    let direct = (!is_anonymous).then(|| {
        let bucket = bucket_of_s3(location.bucket(), endpoint.as_deref(), is_hosted, &region);
        let signer = Signer::S3 { credentials: store.credentials().clone(), region, sign_payload };
        let line = Line::new(options(variables, "AWS_")?, counter);
        Ok::<_, Error>(Arc::new(Direct { bucket, signer, has_checksums, line }))
    });
    Ok(Client::of(store, endpoint, direct.transpose()?))
}

/// The address of a bucket, as the client makes it.
fn bucket_of_s3(bucket: &str, endpoint: Option<&str>, is_hosted: bool, region: &str) -> String {
    match (endpoint, is_hosted) {
        (Some(endpoint), true) => endpoint.trim_end_matches('/').into(),
        (Some(endpoint), false) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
        (None, true) => format!("https://{bucket}.s3.{region}.amazonaws.com"),
        (None, false) => format!("https://s3.{region}.amazonaws.com/{bucket}"),
    }
}

/// The profile that is chosen, or the one called "default" where there is such a one.
fn profile(variables: &Variables) -> Result<Option<Profile>, Error> {
    let home = set(variables, "HOME").map(|home| Path::new(&home).join(".aws"));
    let file = |variable: &str, name: &str| {
        set(variables, variable).map(PathBuf::from).or_else(|| home.as_ref().map(|folder| folder.join(name)))
    };
    let read = |path: Option<PathBuf>| path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let config = read(file("AWS_CONFIG_FILE", "config"));
    let credentials = read(file("AWS_SHARED_CREDENTIALS_FILE", "credentials"));
    let chosen = set(variables, "AWS_PROFILE").or_else(|| set(variables, "AWS_DEFAULT_PROFILE"));
    match (profile::find(&config, &credentials, chosen.as_deref().unwrap_or("default")), chosen) {
        (None, Some(name)) => {
            Err(no_identity(format!("there is no profile {name} (AWS_PROFILE) in ~/.aws/config or ~/.aws/credentials")))
        }
        (found, _) => Ok(found),
    }
}

fn google(location: &Location, variables: &Variables, counter: &Arc<Counter>) -> Result<Client, Error> {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (name, value) in variables.iter().filter(|(name, _)| name.starts_with("GOOGLE_")) {
        match name.to_ascii_lowercase().parse() {
            Ok(GoogleConfigKey::Client(_) | GoogleConfigKey::Bucket) | Err(_) => {}
            Ok(key) => builder = builder.with_config(key, value),
        }
    }
    let address = set(variables, "GOOGLE_BASE_URL").or_else(|| address_of_account(variables));
    plain_http(address.as_deref(), variables, "GOOGLE_ALLOW_HTTP")?;
    let builder = builder
        .with_bucket_name(location.bucket())
        .with_client_options(options(variables, "GOOGLE_")?)
        .with_http_connector(Counting(counter.clone()));
    let address = address.unwrap_or_else(|| "https://storage.googleapis.com".into());
    let is_anonymous = builder.get_config_value(&GoogleConfigKey::SkipSignature).is_some_and(|text| says_true(&text));
    let store = builder.with_retry(once()).build()?;
    let direct = (!is_anonymous).then(|| {
        let bucket = format!("{}/{}", address.trim_end_matches('/'), location.bucket());
        let signer = Signer::Google { credentials: store.credentials().clone() };
        let line = Line::new(options(variables, "GOOGLE_")?, counter);
        Ok::<_, Error>(Arc::new(Direct { bucket, signer, has_checksums: true, line }))
    });
    Ok(Client::of(store, Some(address), direct.transpose()?))
}

/// The address that a service account names, which the client takes: that of an emulator.
fn address_of_account(variables: &Variables) -> Option<String> {
    let file = ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"].iter().find_map(|name| set(variables, name));
    let text = match file {
        Some(file) => std::fs::read_to_string(file).ok()?,
        None => set(variables, "GOOGLE_SERVICE_ACCOUNT_KEY")?,
    };
    let account: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(account["gcs_base_url"].as_str()?.to_string())
}

fn azure(location: &Location, variables: &Variables, counter: &Arc<Counter>) -> Result<Client, Error> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (name, value) in variables.iter().filter(|(name, _)| name.starts_with("AZURE_")) {
        match name.to_ascii_lowercase().parse() {
            Ok(AzureConfigKey::Client(_) | AzureConfigKey::ContainerName) | Err(_) => {}
            Ok(key) => builder = builder.with_config(key, value),
        }
    }
    let endpoint = ["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"].iter().find_map(|name| set(variables, name));
    plain_http(endpoint.as_deref(), variables, "AZURE_ALLOW_HTTP")?;
    let builder = builder
        .with_container_name(location.bucket())
        .with_client_options(options(variables, "AZURE_")?)
        .with_http_connector(Counting(counter.clone()));
    Ok(Client::of(builder.with_retry(once()).build()?, endpoint, None))
}
