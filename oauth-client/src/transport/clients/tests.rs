use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::{HttpClient, Limits};
use super::*;

const NAME: &str = "auth.example.com";

/// A server on loopback that keeps its connections, and counts them.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), connections: Arc::default() };
        let connections = Arc::clone(&server.connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, body));
            }
        });
        server
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/", self.address.port())
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, body: &str) {
    let mut read = Vec::new();
    loop {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(n) => read.extend_from_slice(&piece[..n]),
        }
        if read.ends_with(b"\r\n\r\n") {
            read.clear();
            let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(response.as_bytes()).await.unwrap();
        }
    }
}

/// Names as a table; each look-up takes the next list of addresses, and the last one stays.
#[derive(Default)]
struct Table(Mutex<HashMap<String, Vec<Vec<IpAddr>>>>);

impl Table {
    fn with(name: &str, look_ups: &[&[&str]]) -> Arc<Self> {
        let look_ups = look_ups.iter().map(|one| one.iter().map(|text| text.parse().unwrap()).collect());
        let table = Self::default();
        table.0.lock().unwrap().insert(name.to_owned(), look_ups.collect());
        Arc::new(table)
    }
}

impl Names for Table {
    fn addresses(&self, name: String) -> Addresses {
        let mut table = self.0.lock().unwrap();
        let found = table
            .get_mut(&name)
            .map(|look_ups| if look_ups.len() > 1 { look_ups.remove(0) } else { look_ups[0].clone() });
        Box::pin(std::future::ready(found.ok_or_else(|| format!("no such name: {name}").into())))
    }
}

/// A transport whose ordinary client finds the name at the server, and that shows no certificate of its own.
fn transport(server: &Server, names: Arc<Table>, is_repeatable: bool) -> HttpClient {
    let most = reqwest::Client::builder().resolve(NAME, server.address).no_proxy();
    let certificates = is_repeatable.then(Certificates::default);
    let clients = Clients::of(build(most).unwrap(), certificates, names);
    HttpClient::from_service(super::super::bundled::Bundled::fixed(clients))
}

async fn get(http: &HttpClient, url: &str, public_only: bool) -> Result<Bytes, Error> {
    let limits = Limits { allow_http: true, public_only, ..Limits::keys() };
    let request = Request::get(url).body(Bytes::new()).unwrap();
    Ok(http.send(request, &limits).await?.into_body())
}

#[tokio::test]
async fn a_public_name_that_resolves_to_a_private_address_is_refused_when_it_connects() {
    let server = Server::start("secrets").await;
    for private in
        ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1"]
    {
        let http = transport(&server, Table::with(NAME, &[&[private]]), true);
        let error = get(&http, &server.url(NAME), true).await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("discovery", false), "{private}: {error}");
        assert!(error.to_string().contains(NAME), "it names the host: {error}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_connection_that_is_kept_from_a_configured_url_does_not_serve_one_that_a_document_names() {
    let server = Server::start("secrets").await;
    let http = transport(&server, Table::with(NAME, &[&["127.0.0.1"]]), true);
    for _ in 0..2 {
        assert_eq!(get(&http, &server.url(NAME), false).await.unwrap(), "secrets", "configured: exempt");
    }
    assert_eq!(server.connections(), 1, "it is kept");
    assert_eq!(get(&http, &server.url(NAME), true).await.unwrap_err().code(), "discovery");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn the_connection_goes_to_the_addresses_that_were_checked() {
    let names = Table::with(NAME, &[&["8.8.8.8", "10.0.0.1", "::1"], &["127.0.0.1"]]);
    let resolver = Public { names, proxies: vec!["proxy.example.com".to_owned()] };
    let resolve = |name: &str| resolver.resolve(name.parse().unwrap());
    let found: Vec<_> = resolve(NAME).await.unwrap().map(|address| address.ip()).collect();
    assert_eq!(found, ["8.8.8.8".parse::<IpAddr>().unwrap()], "the private ones are left out");
    let error = resolve(NAME).await.err().expect("the second look-up is private");
    assert!(error.to_string().contains("private") || error.to_string().contains("network"), "{error}");

    let names = Table::with("Proxy.example.com.", &[&["10.0.0.1"]]);
    let resolver = Public { names, ..resolver };
    assert!(
        resolver.resolve("Proxy.example.com.".parse().unwrap()).await.is_ok(),
        "the operator's own choice"
    );
}

#[tokio::test]
async fn names_are_checked_before_a_request_of_a_builder_of_ones_own() {
    let server = Server::start("secrets").await;
    // One private address among them is enough: the builder's resolver chooses by itself.
    for addresses in [&["10.0.0.1"][..], &["8.8.8.8", "10.0.0.1"], &["::1", "8.8.8.8"]] {
        let http = transport(&server, Table::with(NAME, &[addresses]), false);
        assert_eq!(get(&http, &server.url(NAME), true).await.unwrap_err().code(), "discovery");
        assert_eq!(server.connections(), 0);
    }
    // A name that only a proxy knows is the proxy's to resolve.
    let http = transport(&server, Table::with("other.example.com", &[&["10.0.0.1"]]), false);
    assert_eq!(get(&http, &server.url(NAME), true).await.unwrap(), "secrets");
}

#[tokio::test]
async fn private_hosts_in_the_url_are_refused_by_every_transport_unasked() {
    let http = HttpClient::from_service(tower::service_fn(
        |request: Request<super::super::RequestBody>| async move {
            let marked = request.extensions().get::<PublicOnly>().is_some();
            Ok::<_, std::io::Error>(http::Response::new(http_body_util::Full::from(marked.to_string())))
        },
    ));
    for url in [
        "https://localhost./",
        "https://redis/",
        "https://vault.internal/",
        "https://10.0.0.1/",
        "https://2130706433/",
        "https://[::ffff:a00:1]/",
    ] {
        assert_eq!(get(&http, url, true).await.unwrap_err().code(), "discovery", "{url}");
        assert_eq!(get(&http, url, false).await.unwrap(), "false", "{url}: configured");
    }
    assert_eq!(get(&http, "https://auth.example.com/", true).await.unwrap(), "true");
}

#[tokio::test]
async fn what_is_for_this_machine_goes_by_no_proxy() {
    let (server, proxy) = (Server::start("ours").await, Server::start("proxy").await);
    let through = || {
        let proxy = reqwest::Proxy::all(format!("http://{}", proxy.address)).unwrap();
        build(reqwest::Client::builder().proxy(proxy)).unwrap()
    };
    let names: Arc<Table> = Arc::default();
    for certificates in [Some(Certificates::default()), None] {
        let clients = Clients::of(through(), certificates, Arc::clone(&names) as Arc<dyn Names>);
        let http = HttpClient::from_service(super::super::bundled::Bundled::fixed(clients));
        for host in ["127.0.0.1", "localhost", "LOCALHOST.", "api.localhost"] {
            assert_eq!(get(&http, &server.url(host), false).await.unwrap(), "ours", "{host}");
        }
        assert_eq!(get(&http, &server.url(NAME), false).await.unwrap(), "proxy", "others do");
    }
}

#[test]
fn the_hosts_of_proxies_are_read_as_reqwest_reads_them() {
    let read = |name: &str, value: &str| proxies(|one| (one == name).then(|| value.to_owned()));
    for (name, value) in [
        ("HTTPS_PROXY", "http://proxy.corp:3128"),
        ("https_proxy", "proxy.corp:3128"),
        ("ALL_PROXY", "http://user:pass@proxy.corp:3128/"),
        ("http_proxy", " http://PROXY.corp "),
    ] {
        assert_eq!(read(name, value), ["proxy.corp"], "{value}");
    }
    assert!(read("NO_PROXY", "proxy.corp").is_empty() && read("HTTP_PROXY", "").is_empty());
}

/// A server that closes each connection instead of its `dies`-th response. Returns the methods it has read.
async fn dying(dies: usize) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let methods = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            for n in 1.. {
                let mut head = vec![0; 4096];
                match stream.read(&mut head).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => head.truncate(read),
                }
                let method = String::from_utf8_lossy(&head).split(' ').next().unwrap().to_owned();
                methods.lock().unwrap().push(method);
                if n == dies {
                    break;
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            }
        }
    });
    (address, heard)
}

#[tokio::test]
async fn a_get_on_a_pooled_connection_that_turns_out_dead_is_sent_once_more_at_once() {
    let heard = |heard: &Mutex<Vec<String>>| std::mem::take(&mut *heard.lock().unwrap()).join(" ");
    for (method, requests, is_ok) in
        [("GET", "GET GET GET", true), ("POST", "GET POST", false), ("DELETE", "GET DELETE", false)]
    {
        let (address, log) = dying(2).await;
        let http = HttpClient::new().unwrap();
        let url = format!("http://{address}/");
        assert_eq!(get(&http, &url, false).await.unwrap(), "ok");
        let request = Request::builder().method(method).uri(&url).body(Bytes::new()).unwrap();
        let result = http.send(request, &Limits::keys()).await;
        assert_eq!(result.is_ok(), is_ok, "{method}: {result:?}");
        assert_eq!(heard(&log), requests, "{method}");
        if let Err(error) = result {
            assert!(error.is_outcome_unknown(), "{error}");
        }
    }
    // A server that closes new connections as well gets no more than it did.
    let (address, log) = dying(1).await;
    let http = HttpClient::new().unwrap();
    assert_eq!(get(&http, &format!("http://{address}/"), false).await.unwrap_err().code(), "transport");
    assert_eq!(heard(&log), "GET");
}
