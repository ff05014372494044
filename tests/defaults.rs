//! With the default features, nothing opens a port or writes a file unless the code or configuration asks for it. Two
//! checks: the few places that can are listed here, each with what leads to it; and a process that uses the default features
//! has opened and written nothing in the end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use http::Request;
use oauth_client::clock::TestClock;
use oauth_client::transport::HttpClient;
use oauth_client::{Client, ClientAuth, grant};
use oauth_guard::{Guard, Issuer};
use oauth_mock::{MockClient, MockServer};

/// Where sockets listen and files are written in the libraries, and what leads there.
const PLACES: [(&str, &str); 3] = [
    ("oauth-client/src/login/loopback.rs", "a login on loopback is started (feature loopback)"),
    (
        "oauth-client/src/store/file/disk.rs",
        "a FileStore or a KeyringStore is given, or store.kind is \"file\" or \"keyring\"",
    ),
    ("oauth-guard/src/revocation/feed/file.rs", "a file of revocations is given, and something is revoked"),
];

/// What opens a port, or makes, changes or renames a file.
const WAYS: [&str; 16] = [
    "::bind(",
    "UdpSocket",
    "UnixListener",
    "UnixDatagram",
    "TcpSocket",
    "File::create",
    "File::options",
    "OpenOptions",
    "DirBuilder",
    "create_dir",
    "fs::write",
    "fs::rename",
    "fs::copy",
    "hard_link",
    "symlink(",
    "memfd",
];

#[test]
fn the_places_that_can_open_a_port_or_write_a_file_are_known() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for library in ["oauth-client", "oauth-client/redis", "oauth-guard", "oauth-guard/redis"] {
        for path in sources(&root.join(library).join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            // Tests stand at the end of a file, or in one of their own.
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            if WAYS.iter().any(|way| code.iter().any(|line| line.contains(way))) {
                found.push(path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    assert_eq!(
        found,
        PLACES.map(|(place, _)| place),
        "a new place needs a reason, in this table and in SECURITY.md"
    );
}

#[test]
fn the_default_features_are_those_that_were_looked_at() {
    let manifest = |package: &str| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(package)).unwrap();
        text.lines().find(|line| line.starts_with("default = ")).unwrap().to_owned()
    };
    assert_eq!(manifest("oauth-client/Cargo.toml"), r#"default = ["loopback", "reqwest"]"#);
    assert_eq!(manifest("oauth-guard/Cargo.toml"), r#"default = ["reqwest"]"#);
}

/// In a process of its own: where it starts there is nothing, and its home and its place for temporary files are there.
#[test]
#[cfg(target_os = "linux")]
fn a_process_with_the_default_features_opens_no_port_and_writes_no_file() {
    const INSIDE: &str = "OAUTH_DEFAULTS_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        use_both_libraries();
        println!("listening: {:?}", listening());
        return;
    }
    let directory = std::env::temp_dir().join(format!("oauth-defaults-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let name = "a_process_with_the_default_features_opens_no_port_and_writes_no_file";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads", "1"])
        .current_dir(&directory)
        .env(INSIDE, "1")
        .envs(["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"].map(|name| (name, &directory)))
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("listening: []"), "{printed}");
    let left: Vec<PathBuf> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    fs::remove_dir_all(&directory).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// A token is obtained, checked, found in the cache and revoked.
#[cfg(target_os = "linux")]
fn use_both_libraries() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = MockServer::builder()
            .audience("orders-api")
            .client(MockClient::new("svc").secret("s3cr3t"))
            .in_process();
        let http = HttpClient::from_service(server.transport());
        let client = Client::builder()
            .issuer(server.issuer())
            .auth(ClientAuth::basic("svc", "s3cr3t"))
            .http(http.clone())
            .clock(TestClock::new())
            .build()
            .unwrap();
        let source = client.source(grant::client_credentials().audience("orders-api")).build().unwrap();
        let token = source.token().await.unwrap();
        let guard = Guard::builder()
            .issuer(Issuer::new(server.issuer()).audience("orders-api"))
            .http(http)
            .clock(TestClock::new())
            .build()
            .unwrap();
        for _ in 0..2 {
            let mut request = Request::get("/orders").body(()).unwrap();
            request.headers_mut().insert("authorization", token.authorization().clone());
            assert!(guard.check(&request).resolve().await.unwrap().is_some());
        }
        source.log_out().await.unwrap();
        // The transport that is bundled, set up and not used.
        let _bundled = Guard::builder().issuer(Issuer::new("https://auth.example.com").audience("x")).build();
    });
}

/// The sockets of this process that wait for connections, by their inodes.
#[cfg(target_os = "linux")]
fn listening() -> Vec<String> {
    const LISTEN: &str = "0A";
    let own: Vec<String> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .collect();
    let mut found = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        // A machine without IPv6 has no table of it.
        let text = fs::read_to_string(table).unwrap_or_default();
        for row in text.lines().skip(1) {
            let cells: Vec<&str> = row.split_whitespace().collect();
            let (Some(state), Some(inode)) = (cells.get(3), cells.get(9)) else { continue };
            if *state == LISTEN && own.contains(&format!("socket:[{inode}]")) {
                found.push((*inode).to_owned());
            }
        }
    }
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            all.push(path);
        }
    }
    all
}
