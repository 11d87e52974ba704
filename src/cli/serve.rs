//! `snap serve`

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

use avro_snap::crypto::{Entropy, SystemEntropy};
use avro_snap::error::{Error, IoContext};
use avro_snap::id::hex;
use avro_snap::live::Live;
use avro_snap::recipe::View;
use avro_snap::serve::{Access, Limits, Secret, Served, names_of, serve};
use serde::Serialize;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::interrupt;
use super::pick::Filters;

/// Serve snapshots to query engines: a read-only S3, plain HTTP, and pages
///
/// Nothing is restored, and nothing can be written. All snapshots lie below /plain/ (Avro files without compression, which every
/// reader seeks in) and /exact/ (bit for bit as they were saved), by the names latest, latest~2, the beginning of an id, or
/// @2026-11-01 (the newest that is not later); and below /series/NAME/latest/plain/. For clients of S3 the same paths are keys in
/// one bucket. New snapshots appear without a restart.
///
/// Clients of S3 sign with the keys that are printed at the start, or with SNAP_SERVE_ACCESS_KEY and SNAP_SERVE_SECRET_KEY. Pages
/// and plain HTTP are open to this machine, and need a token where other machines reach the port. The connection is not
/// encrypted: put a proxy with TLS in front of it where the network is not yours.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Listen on this address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7979")]
    listen: String,

    /// Let clients of S3 read without keys; only on an address of this machine
    #[arg(long)]
    anonymous: bool,

    /// The name of the bucket for clients of S3 [default: the name of the repository]
    #[arg(long, value_name = "NAME", value_parser = parse_bucket)]
    bucket: Option<String>,

    /// Answer requests for this host name, too, such as that of this machine or of a proxy; may be repeated
    #[arg(long, value_name = "NAME")]
    server_name: Vec<String>,

    /// Ask for the token in FILE before pages and files are shown [env: SNAP_SERVE_TOKEN] [default: none on an address of this machine,
    /// a random one elsewhere]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Serve at most N connections at once
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections)]
    max_connections: usize,

    #[command(flatten)]
    filters: Filters,
}

/// What is printed once it listens.
#[derive(Debug, Serialize)]
struct Serving {
    address: SocketAddr,
    bucket: String,
    access_key: Option<String>,
    secret_key: Option<String>,
    token: Option<String>,
}

/// Why a bucket cannot have the name of a folder.
const FILES: &str = "plain files are served under this name";

/// The name of a bucket as clients of S3 accept it.
fn parse_bucket(text: &str) -> std::result::Result<String, String> {
    let is_name = (3..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte))
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric());
    match text {
        "series" => Err(FILES.into()),
        _ if View::of_name(text.as_bytes()).is_some() => Err(FILES.into()),
        _ if !is_name => Err("the name of a bucket has 3 to 63 small letters, digits, `-` and `.`".into()),
        _ => Ok(text.into()),
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let filter = self.filters.filter()?;
        let asked = self.listen.to_socket_addrs().when("find", &self.listen)?.next();
        let asked = asked.ok_or_else(|| Failure::Usage(format!("{:?} is no address", self.listen)))?;
        let is_local = asked.ip().is_loopback();
        if self.anonymous && !is_local {
            return Err(Failure::Usage(format!(
                "--anonymous would let anybody who reaches {asked} read all snapshots: use it with an address of this machine, \
                 like 127.0.0.1:7979"
            )));
        }
        let keys = if self.anonymous { None } else { Some(keys()?) };
        let token = self.token(is_local)?;
        let repository = context.open()?;
        let bucket = self.bucket.clone().unwrap_or_else(|| self.bucket_of(context));
        let socket = TcpListener::bind(asked).when("listen on", &self.listen)?;
        let address = socket.local_addr().when("listen on", &self.listen)?;
        let hosts = names_of(address).into_iter().chain(self.server_name.iter().cloned()).chain(named(&self.listen));
        let access = Access::new(keys.clone(), token.clone(), hosts.collect());
        let mut limits = Limits::default();
        limits.connections = self.max_connections.max(1);
        let live = Live::new(Arc::new(repository), filter);
        self.announce(
            context,
            Serving {
                address,
                bucket: bucket.clone(),
                access_key: keys.as_ref().map(|keys| keys.access_key.clone()),
                secret_key: keys.map(|keys| keys.secret_key),
                token,
            },
        )?;
        interrupt::listens(true);
        let served = serve(socket, Served { live, bucket, access, limits }, interrupt::token());
        interrupt::listens(false);
        served?;
        Ok(Exit::Done)
    }

    fn announce(&self, context: &Context, serving: Serving) -> Result<()> {
        let output = &context.output;
        if output.json {
            output.object("serving", serving)?;
            return Ok(output.flush()?);
        }
        let Serving { address, bucket, access_key, secret_key, token } = serving;
        output.line(format!("serving on http://{address}, bucket {bucket}; Ctrl-C ends it"))?;
        if let (Some(access_key), Some(secret_key)) = (access_key, secret_key) {
            output.line(format!("AWS_ACCESS_KEY_ID={access_key}"))?;
            output.line(format!("AWS_SECRET_ACCESS_KEY={secret_key}"))?;
            output.line(format!("AWS_ENDPOINT_URL=http://{address}"))?;
        }
        if let Some(token) = token {
            output.line(format!("token for pages and files: {token}"))?;
        }
        Ok(output.flush()?)
    }

    /// The token that is asked for.
    fn token(&self, is_local: bool) -> Result<Option<String>> {
        let given = match &self.token_file {
            Some(file) => Some((std::fs::read_to_string(file).when("read", file)?, file.display().to_string())),
            None => std::env::var("SNAP_SERVE_TOKEN").ok().map(|token| (token, "SNAP_SERVE_TOKEN".into())),
        };
        match given.map(|(token, from)| (token.trim().to_owned(), from)) {
            Some((token, from)) if token.is_empty() => Err(Failure::Usage(format!("the token in {from} is empty"))),
            Some((token, _)) => Ok(Some(token)),
            None if is_local => Ok(None),
            None => {
                let entropy: &dyn Entropy = &SystemEntropy;
                Ok(Some(hex(&entropy.array::<20>().map_err(Error::from)?)))
            }
        }
    }

    /// A bucket that is called like the repository.
    fn bucket_of(&self, context: &Context) -> String {
        let location = context.globals.repo.as_deref().unwrap_or_else(|| std::path::Path::new(""));
        let name = location.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        parse_bucket(name.trim_matches(['-', '.'])).unwrap_or_else(|_| "snapshots".into())
    }
}

/// The keys of the environment, or random ones.
fn keys() -> Result<Secret> {
    let given = |name: &'static str| std::env::var(name).ok();
    match (given("SNAP_SERVE_ACCESS_KEY"), given("SNAP_SERVE_SECRET_KEY")) {
        (None, None) => Ok(Secret::random(&SystemEntropy)?),
        (Some(access_key), Some(secret_key)) if !access_key.is_empty() && secret_key.len() >= 8 => {
            Ok(Secret { access_key, secret_key })
        }
        _ => Err(Failure::Usage(
            "set both SNAP_SERVE_ACCESS_KEY and SNAP_SERVE_SECRET_KEY (of at least 8 characters), or neither".into(),
        )),
    }
}

/// The name in an address like `host:port`.
fn named(listen: &str) -> Option<String> {
    listen.rsplit_once(':').map(|(host, _)| host.to_owned())
}
