//! A redis-server with TLS, and the certificates of a private authority.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::server::{RedisServer, free_port};

/// A private authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a private authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", self.0.der())
    }

    /// A certificate for a name, and its key, as PEM.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()))
    }
}

/// One whose certificate is for `localhost`. Its own port, without TLS, is for the test.
pub(crate) struct TlsServer {
    pub(crate) redis: RedisServer,
    port: u16,
    files: PathBuf,
}

impl TlsServer {
    /// With `clients`, it takes only clients with a certificate of the authority.
    pub(crate) async fn start(authority: &Authority, clients: bool) -> Option<Self> {
        let port = free_port();
        let files = std::env::temp_dir().join(format!("oauth-redis-tls-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&files).unwrap();
        let (certificate, key) = authority.issue("localhost");
        let file = |name: &str, content: &str| {
            let path = files.join(name);
            std::fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let options = [
            ["--save", ""],
            ["--tls-port", &port.to_string()],
            ["--tls-cert-file", &file("server.crt", &certificate)],
            ["--tls-key-file", &file("server.key", &key)],
            ["--tls-ca-cert-file", &file("ca.crt", &authority.pem())],
            ["--tls-auth-clients", if clients { "yes" } else { "no" }],
        ];
        let redis = RedisServer::start_with(options.as_flattened()).await?;
        Some(Self { redis, port, files })
    }

    /// With this name of its machine.
    pub(crate) fn url(&self, host: &str) -> String {
        format!("rediss://{host}:{}", self.port)
    }

    /// A file beside its certificates.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.files.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.files);
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
