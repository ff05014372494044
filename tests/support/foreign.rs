//! Programs of other makers, as tests start them: where they are, their files, and when they listen.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How Envoy's package is installed.
pub(crate) const ENVOY_HOW: &str = "python3 -m venv tests/foreign/proxies/.venv && \
     tests/foreign/proxies/.venv/bin/pip install -r tests/foreign/proxies/requirements.txt";
/// Debian's nginx.
pub(crate) const NGINX: &str = "/usr/sbin/nginx";

/// A folder of `tests/foreign`.
pub(crate) fn foreign(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(folder)
}

/// Envoy, as its package has it.
pub(crate) fn envoy() -> PathBuf {
    foreign("proxies/.venv/bin/envoy")
}

/// An address without a listener.
pub(crate) fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Until something listens there: such programs say nothing when they do.
pub(crate) async fn listening(address: SocketAddr) {
    for _ in 0..600 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing listens at {address}");
}

/// Files of one test, which removes them.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("oauth-tests-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
