//! Object stores on this machine, started by whichever test needs one first, and ended with this process. Where one is not
//! installed, its tests are passed over, and say so.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, clippy::print_stderr, reason = "this is part of tests")]

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use avro_snap::storage::remote::{Location, Remote};

use crate::bucket::{BUCKET, Bucket};

/// The account of Azurite, which its documentation names.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A service account that asks nobody for a token.
const ACCOUNT_OF_THE_FAKE: &str =
    r#"{"disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}"#;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An S3 that keeps its promises.
    Ministack,
    /// Another one.
    Moto,
    /// Azure Blob Storage.
    Azurite,
    /// An S3 that gives one name to several writers.
    Rclone,
    /// Google Cloud Storage: a fake of our own, in this process.
    Google,
    /// The same as an S3: for tests of many requests.
    InProcess,
}

pub struct Server {
    pub kind: Kind,
    pub port: u16,
    bucket: String,
    _process: Option<(Child, tempfile::TempDir)>,
    /// What serves, where that is in this process.
    pub in_process: Option<Bucket>,
}

/// Where what `.ci/run` installs lies.
fn folder() -> PathBuf {
    std::env::var_os("SNAP_SERVERS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers"), PathBuf::from)
}

impl Kind {
    fn program(self) -> PathBuf {
        folder().join(match self {
            Self::Ministack => "py/bin/ministack",
            Self::Moto => "py/bin/python",
            Self::Azurite => "node/node_modules/.bin/azurite-blob",
            Self::Rclone => "py/bin/rclone",
            Self::Google | Self::InProcess => return PathBuf::new(),
        })
    }

    /// The server, or none where it is not installed.
    pub fn get(self) -> Option<&'static Server> {
        static SERVERS: [OnceLock<Option<Server>>; 6] = [const { OnceLock::new() }; 6];
        SERVERS[self as usize].get_or_init(|| Server::start(self)).as_ref()
    }

    fn command(self, port: u16, data: &Path) -> Command {
        let mut command = Command::new("sh");
        // Ends when this process does, however that ends: its end of the pipe is closed then.
        command.args(["-c", "\"$@\" >\"$LOG\" 2>&1 & child=$!; read -r _; kill -9 $child", "sh"]);
        command.arg(self.program()).env("LOG", data.join("server.log")).current_dir(data);
        let address = format!("127.0.0.1:{port}");
        match self {
            Self::Ministack => {
                command.envs([("SERVICES", "s3"), ("BIND_HOST", "127.0.0.1")]).env("GATEWAY_PORT", port.to_string())
            }
            // Whoever asks may do all, until a test says otherwise.
            Self::Moto => command
                .env("INITIAL_NO_AUTH_ACTION_COUNT", "1000000000")
                .args(["-c", MOTO_ONE_REQUEST_AT_A_TIME, "-H", "127.0.0.1", "-p"])
                .arg(port.to_string()),
            Self::Azurite => command.args(["--blobHost", "127.0.0.1", "--blobPort"]).arg(port.to_string()).args([
                "--inMemoryPersistence",
                "--skipApiVersionCheck",
                "--disableTelemetry",
                "--silent",
            ]),
            Self::Rclone => {
                std::fs::create_dir(data.join("buckets")).unwrap();
                command.args(["serve", "s3", "--addr", &address, "--auth-key", "key,secret"]).arg(data.join("buckets"))
            }
            Self::Google | Self::InProcess => &mut command,
        };
        command
    }
}

/// Moto looks whether a name is taken and takes it in two steps, on a thread for each request: now and then two writers got one name.
const MOTO_ONE_REQUEST_AT_A_TIME: &str = r"
import threading, moto.server
class OneAtATime(moto.server.DomainDispatcherApplication):
    one_request = threading.Lock()
    def __call__(self, environ, start_response):
        with self.one_request:
            return super().__call__(environ, start_response)
moto.server.DomainDispatcherApplication = OneAtATime
moto.server.main()
";

/// A Python that has what the servers need, boto3 among it.
pub fn python(script: &str, arguments: &[&str]) -> String {
    let mut python = Command::new(folder().join("py/bin/python"));
    let output = python.args(["-c", script]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Server {
    /// One of its own for a test that changes what it lets whom do.
    pub fn of_its_own(kind: Kind) -> Option<Self> {
        Self::start(kind)
    }

    fn start(kind: Kind) -> Option<Self> {
        if matches!(kind, Kind::Google | Kind::InProcess) {
            let bucket = Bucket::start();
            let (port, in_process) = (bucket.port, Some(bucket));
            return Some(Self { kind, port, bucket: BUCKET.into(), _process: None, in_process });
        }
        if !kind.program().exists() {
            eprintln!("{kind:?} is not in {}: what needs it was passed over", folder().display());
            return None;
        }
        let data = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = kind.command(port, data.path());
        let process = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{kind:?} does not start: {}",
                std::fs::read_to_string(data.path().join("server.log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        let server = Self { kind, port, bucket: BUCKET.into(), _process: Some((process, data)), in_process: None };
        server.make_bucket();
        Some(server)
    }

    /// A place in it that nothing was put in yet.
    pub fn place(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let scheme = match self.kind {
            Kind::Azurite => "az",
            Kind::Google => "gs",
            _ => "s3",
        };
        format!("{scheme}://{}/test {}/repo", self.bucket, NEXT.fetch_add(1, Ordering::Relaxed)).replace(' ', "-")
    }

    /// What the environment has to say for it, should it be reached at this port.
    pub fn variables_at(&self, port: u16) -> Vec<(String, String)> {
        let pairs: Vec<(&str, String)> = match self.kind {
            Kind::Azurite => vec![
                ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.into()),
                ("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY.into()),
                ("AZURE_STORAGE_ENDPOINT", format!("http://127.0.0.1:{port}/{ACCOUNT}")),
                ("AZURE_ALLOW_HTTP", "true".into()),
            ],
            Kind::Google => vec![
                ("GOOGLE_SERVICE_ACCOUNT_KEY", ACCOUNT_OF_THE_FAKE.into()),
                ("GOOGLE_BASE_URL", format!("http://127.0.0.1:{port}")),
                ("GOOGLE_ALLOW_HTTP", "true".into()),
            ],
            _ => vec![
                ("AWS_ACCESS_KEY_ID", "key".into()),
                ("AWS_SECRET_ACCESS_KEY", "secret".into()),
                ("AWS_REGION", "us-east-1".into()),
                ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
                ("AWS_ALLOW_HTTP", "true".into()),
            ],
        };
        pairs.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }

    pub fn variables(&self) -> Vec<(String, String)> {
        self.variables_at(self.port)
    }

    /// A handle of the storage at a place.
    pub fn open(&self, place: &str) -> Remote {
        Remote::open(&Location::parse(place).unwrap(), self.variables()).unwrap()
    }

    /// The client makes no buckets, so it is asked for as plainly as these servers allow.
    fn make_bucket(&self) {
        let variables = self.variables();
        let script = match self.kind {
            Kind::Azurite => AZURITE_BUCKET,
            _ => S3_BUCKET,
        };
        let mut python = Command::new("python3");
        python.args(["-c", script, &self.bucket, &self.port.to_string(), ACCOUNT_KEY]).envs(variables);
        let output = python.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Makes a bucket by one signed request.
const S3_BUCKET: &str = r#"
import sys, hmac, hashlib, datetime, http.client
bucket, port = sys.argv[1], sys.argv[2]
now = datetime.datetime.now(datetime.timezone.utc)
time, day, host = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d"), "127.0.0.1:" + port
empty = hashlib.sha256(b"").hexdigest()
signed = "host;x-amz-content-sha256;x-amz-date"
canonical = f"PUT\n/{bucket}\n\nhost:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{time}\n\n{signed}\n{empty}"
scope = f"{day}/us-east-1/s3/aws4_request"
text = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
key = b"AWS4secret"
for part in [day, "us-east-1", "s3", "aws4_request"]: key = hmac.new(key, part.encode(), hashlib.sha256).digest()
signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
c = http.client.HTTPConnection(host)
c.request("PUT", "/" + bucket, headers={"x-amz-date": time, "x-amz-content-sha256": empty,
  "Authorization": f"AWS4-HMAC-SHA256 Credential=key/{scope}, SignedHeaders={signed}, Signature={signature}"})
r = c.getresponse(); body = r.read()
assert r.status == 200, (r.status, body)
"#;

const AZURITE_BUCKET: &str = r#"
import sys, hmac, hashlib, base64, http.client
from email.utils import formatdate
bucket, port, key = sys.argv[1], sys.argv[2], base64.b64decode(sys.argv[3])
date, account = formatdate(usegmt=True), "devstoreaccount1"
resource = f"/{account}/{account}/{bucket}\nrestype:container"
text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:2021-08-06\n{resource}"
signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
c = http.client.HTTPConnection("127.0.0.1:" + port)
c.request("PUT", f"/{account}/{bucket}?restype=container", headers={"x-ms-date": date, "x-ms-version": "2021-08-06",
  "Content-Length": "0", "Authorization": f"SharedKey {account}:{signature}"})
r = c.getresponse(); body = r.read()
assert r.status == 201, (r.status, body)
"#;
