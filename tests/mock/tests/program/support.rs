//! The program as a child process, and the smallest client that can talk to it.

use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Longer than anything here takes on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oauth-mock"));
    command.args(args).kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) async fn run(args: &[&str]) -> Output {
    timeout(PATIENCE, program(args).output()).await.expect("the program does not end").unwrap()
}

/// A server that runs, and is killed with this value.
pub(crate) struct Running {
    child: Child,
    pub(crate) url: String,
    /// Empty without a control port.
    pub(crate) control: String,
}

pub(crate) async fn serve(args: &[&str]) -> Running {
    let mut command = program(&[&["serve"], args].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = word(&mut lines, "READY ").await;
    let control =
        if args.contains(&"--no-control") { String::new() } else { word(&mut lines, "CONTROL ").await };
    Running { child, url, control }
}

async fn word(lines: &mut tokio::io::Lines<BufReader<tokio::process::ChildStdout>>, before: &str) -> String {
    let line = timeout(PATIENCE, lines.next_line()).await.expect("the program is silent").unwrap();
    let line = line.expect("the program has ended");
    line.strip_prefix(before).unwrap_or_else(|| panic!("{before:?} expected, not {line:?}")).to_owned()
}

impl Running {
    /// Sends a signal, and waits for the exit code and what was written to stderr.
    pub(crate) async fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
        let mut errors = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        let status = timeout(PATIENCE, async {
            stderr.read_to_string(&mut errors).await.unwrap();
            self.child.wait().await.unwrap()
        });
        (status.await.expect("the program does not stop").code(), errors)
    }

    /// Sends an order to the control port, and expects that it is carried out.
    pub(crate) async fn order(&self, method: &str, path: &str, body: Value) -> Value {
        let response = self.control(method, path, body).await;
        assert!(
            matches!(response.status, 200 | 201),
            "{method} {path}: {} {}",
            response.status,
            response.body
        );
        response.json()
    }

    pub(crate) async fn control(&self, method: &str, path: &str, body: Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(&self.control, method, path, &[("content-type", "application/json")], &body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        send(&self.url, "GET", path, &[], "").await
    }

    /// Asks for a token with client_credentials as `svc`.
    pub(crate) async fn token(&self) -> Response {
        let form = "grant_type=client_credentials&client_id=svc&client_secret=s3cr3t";
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        send(&self.url, "POST", "/token", &headers, form).await
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// One request on a connection of its own. A connection that was cut has status 0.
pub(crate) async fn send(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let host = url.strip_prefix("http://").unwrap();
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "host") {
        request += &format!("host: {host}\r\n");
    }
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    let mut bytes = Vec::new();
    let exchange = async {
        let mut stream = TcpStream::connect(host).await?;
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).await?;
        stream.read_to_end(&mut bytes).await
    };
    // What came before a reset is looked at, too.
    let _ = timeout(PATIENCE, exchange).await.expect("no response");
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Response { status, head: head.to_owned(), body: body.to_owned() }
}

/// Fetches JSON over HTTPS from a server that this authority vouches for.
pub(crate) async fn https_get(url: &str, ca_pem: &str, path: &str) -> Value {
    let host = url.strip_prefix("https://").unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let config =
        ClientConfig::builder_with_provider(default_provider().into()).with_safe_default_protocol_versions();
    let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TcpStream::connect(host).await.unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // A server may end the connection without saying so; what matters has come by then.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("no response");
    let text = String::from_utf8(bytes).unwrap();
    serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// A file of one test, gone with it.
pub(crate) struct File(PathBuf);

impl File {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("oauth-mock-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // It is in the directory for such files; another process may have removed it.
        let _ = fs::remove_file(&self.0);
    }
}
