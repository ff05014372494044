//! Servers over loopback, guarded and not: `cargo bench -p tower-oauth-guard --bench http`, with the name of a server behind `--`
//! (`hyper`, `axum`, `tonic`, `dpop`, `connections`) for that alone.
//!
//! Each server is a process of its own with one thread, and the client, on one thread too, is this one. Both servers of a pair
//! are loaded in turns, and the median over the rounds is reported: how many requests of a second are left with the guard.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up should say so and stop")]

#[expect(dead_code, reason = "this bench needs a part of it")]
#[path = "../../oauth-client/benches/measure/paired.rs"]
mod paired;
#[expect(dead_code, reason = "this bench needs a part of it")]
mod setting;
#[path = "../../oauth-client/benches/measure/summary.rs"]
mod summary;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{env, fs};

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use oauth_guard::clock::{Clock, SystemClock};
use oauth_guard::{Dpop, Guard, GuardLayer, Issuer};
use oauth_mock::{Alg, TestKey};
use tokio::net::{TcpListener, TcpStream};
use tonic::body::Body as GrpcBody;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;
use tower::{Layer, Service};

use self::paired::{median, now};
use self::setting::{AUDIENCE, ISSUER, Setting};
use self::summary::{Summary, is_measuring, is_wanted};

const CONNECTIONS: usize = 16;
const URL: &str = "https://api.example.com/orders";
const UNARY: PathAndQuery = PathAndQuery::from_static("/orders.Orders/Get");

fn main() {
    if let Ok(kind) = env::var("HTTP_BENCH_SERVER") {
        return serve(&kind, &env::var("HTTP_BENCH_KEYS").unwrap_or_default());
    }
    let (rounds, time) =
        if is_measuring() { (9, Duration::from_millis(700)) } else { (1, Duration::from_millis(20)) };
    let setting = Setting::new(Alg::Es256);
    let keys = setting.server.keys().jwks_json();
    let mut summary = Summary::new();
    let counts = if is_measuring() { [1, 10_000] } else { [1, 10] };
    for kind in ["hyper", "axum", "tonic"].into_iter().filter(|kind| is_wanted(kind)) {
        let servers = [Server::start(kind, &keys), Server::start(kind, "")];
        for count in counts {
            let tokens: Arc<[String]> = (0..count).map(|_| setting.token()).collect();
            let load = Load { setting: &setting, tokens, key: None, kind };
            let ratio = load.compare(&servers, rounds, time);
            let many = if count == 1 { "" } else { "_10000" };
            if is_measuring() {
                summary.tell(&format!("http_{kind}_guarded_over_unguarded{many}"), ratio);
            }
        }
    }
    if is_measuring() && is_wanted("dpop") {
        let key = TestKey::generate(Alg::Es256);
        let tokens = Arc::from([setting.mint().bound_to(&key).build()]);
        let servers = [Server::start("dpop", &keys), Server::start("hyper", "")];
        let load = Load { setting: &setting, tokens, key: Some(&key), kind: "dpop" };
        load.compare(&servers, rounds, time);
    }
    if is_wanted("connections") {
        connections(&setting, &keys);
    }
    summary.finish();
}

/// What a connection that has sent one request holds in the server.
fn connections(setting: &Setting, keys: &str) {
    let count = if is_measuring() { 4_000 } else { 10 };
    let token = setting.token();
    let [guarded, bare] = [keys, ""].map(|keys| {
        let server = Server::start("hyper", keys);
        let runtime = runtime();
        runtime.block_on(async {
            let mut open = Vec::new();
            let mut before = 0;
            for number in 0..count + 100 {
                if number == 100 {
                    before = server.resident_bytes();
                }
                let mut sender = connect(&server.address).await;
                send(&mut sender, request(&token, None)).await;
                open.push(sender);
            }
            server.resident_bytes().saturating_sub(before) / count
        })
    });
    println!("each of {count} open connections holds {guarded} bytes with the guard, {bare} without");
}

struct Load<'a> {
    setting: &'a Setting,
    tokens: Arc<[String]>,
    /// For a proof with each request.
    key: Option<&'a TestKey>,
    kind: &'a str,
}

impl Load<'_> {
    /// The share of the requests that is left with the guard.
    fn compare(&self, servers: &[Server; 2], rounds: usize, time: Duration) -> f64 {
        // Every token is new once; that is not measured here.
        servers.iter().for_each(|server| _ = self.run(server, time, self.tokens.len()));
        let (mut guarded, mut bare) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            if round % 2 == 0 {
                guarded.push(self.run(&servers[0], time, 0));
            }
            bare.push(self.run(&servers[1], time, 0));
            if round % 2 == 1 {
                guarded.push(self.run(&servers[0], time, 0));
            }
        }
        let ratio = median(guarded.iter().zip(&bare).map(|(guarded, bare)| guarded / bare));
        let (guarded, bare) = (median(guarded.into_iter()), median(bare.into_iter()));
        println!(
            "{}, {} tokens: {guarded:.0} requests a second guarded, {bare:.0} bare, {ratio:.3}; {:.2} us more for each",
            self.kind,
            self.tokens.len(),
            1e6 / guarded - 1e6 / bare
        );
        ratio
    }

    /// Requests a second; for so long, and so many at least.
    fn run(&self, server: &Server, time: Duration, least: usize) -> f64 {
        let local = tokio::task::LocalSet::new();
        let runtime = runtime();
        let began = now();
        let counts = local.block_on(&runtime, async {
            let all = (0..CONNECTIONS).map(|number| async move {
                let mut tokens = self.tokens.iter().cycle().skip(number * self.tokens.len() / CONNECTIONS);
                let mut count = 0;
                if self.kind == "tonic" {
                    let endpoint = Endpoint::from_shared(format!("http://{}", server.address));
                    let channel = endpoint.expect("an address").connect().await.expect("a connection");
                    while began.elapsed() < time || count * CONNECTIONS < least {
                        call(channel.clone(), tokens.next().expect("a cycle")).await;
                        count += 1;
                    }
                } else {
                    let mut sender = connect(&server.address).await;
                    while began.elapsed() < time || count * CONNECTIONS < least {
                        let token = tokens.next().expect("a cycle");
                        let proof = self.key.filter(|_| server.guarded).map(|key| self.proof(key, token));
                        send(&mut sender, request(token, proof.as_deref())).await;
                        count += 1;
                    }
                }
                count
            });
            futures_util::future::join_all(all).await
        });
        counts.into_iter().sum::<usize>() as f64 / began.elapsed().as_secs_f64()
    }

    fn proof(&self, key: &TestKey, token: &str) -> String {
        // The mock has a clock of its own, the guard the machine's.
        let now = i64::try_from(SystemClock.now().wall.as_secs()).expect("a time before the end of days");
        self.setting.server.dpop_proof(key, "GET", URL).access_token_hash(token).issued_at(now).build()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

type Sender = http1::SendRequest<Empty<Bytes>>;

async fn connect(address: &str) -> Sender {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    sender
}

/// Eight headers, as a browser's API call has them, and the proof.
fn request(token: &str, proof: Option<&str>) -> Request<Empty<Bytes>> {
    let scheme = if proof.is_some() { "DPoP" } else { "Bearer" };
    let mut request = Request::get("/orders")
        .header(header::HOST, "api.example.com")
        .header(header::USER_AGENT, "bench/1.0")
        .header(header::ACCEPT, "application/json")
        .header(header::ACCEPT_ENCODING, "gzip, br")
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-request-id", "b1946ac92492d2347c6235b4d2611184")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header(header::AUTHORIZATION, format!("{scheme} {token}"));
    if let Some(proof) = proof {
        request = request.header("dpop", proof);
    }
    request.body(Empty::new()).expect("a request")
}

async fn send(sender: &mut Sender, request: Request<Empty<Bytes>>) {
    sender.ready().await.expect("an open connection");
    let response = sender.send_request(request).await.expect("a response");
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.expect("a body");
}

async fn call(channel: Channel, token: &str) {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("a channel");
    let mut request = tonic::Request::new("42".to_owned());
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    client.unary(request, UNARY, ProstCodec::<String, String>::default()).await.expect("a response");
}

/// One server on one thread, until it is killed; guarded if there are keys.
fn serve(kind: &str, keys: &str) {
    let guard = (!keys.is_empty()).then(|| {
        let guard = Guard::builder().issuer(Issuer::new(ISSUER).audience(AUDIENCE).jwks_json(keys));
        let guard = guard.public_url("https://api.example.com");
        if kind == "dpop" { guard.dpop(Dpop::new()) } else { guard }.build().expect("a guard").layer()
    });
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        match kind {
            "axum" => serve_axum(listener, guard).await,
            "tonic" => serve_tonic(listener, guard).await,
            _ => match guard {
                Some(guard) => serve_hyper(listener, guard.layer(Ok200)).await,
                None => serve_hyper(listener, Ok200).await,
            },
        }
    });
}

async fn serve_axum(listener: TcpListener, guard: Option<GuardLayer>) {
    let app = Router::new().route("/orders", get(|| async { "ok" }));
    let app = match guard {
        Some(guard) => app.layer(guard),
        None => app,
    };
    axum::serve(listener, app).await.expect("a server");
}

async fn serve_tonic(listener: TcpListener, guard: Option<GuardLayer>) {
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut server = tonic::transport::Server::builder();
    match guard {
        Some(guard) => server.layer(guard).add_service(Orders).serve_with_incoming(incoming).await,
        None => server.add_service(Orders).serve_with_incoming(incoming).await,
    }
    .expect("a server");
}

async fn serve_hyper<S, B>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + 'static,
    S::Future: 'static,
    B: hyper::body::Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                stream.set_nodelay(true).expect("an option");
                let service = TowerToHyperService::new(service.clone());
                tokio::task::spawn_local(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        })
        .await;
}

/// The service behind the guard.
#[derive(Clone)]
struct Ok200;

impl<B> Service<Request<B>> for Ok200 {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Full::new(Bytes::from_static(b"ok")))))
    }
}

/// What generated code would be.
#[derive(Clone)]
struct Orders;

impl NamedService for Orders {
    const NAME: &'static str = "orders.Orders";
}

type Boxed<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

impl Service<Request<GrpcBody>> for Orders {
    type Response = Response<GrpcBody>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<GrpcBody>) -> Self::Future {
        Box::pin(async { Ok(Grpc::new(ProstCodec::<String, String>::default()).unary(Get, request).await) })
    }
}

struct Get;

impl UnaryService<String> for Get {
    type Response = String;
    type Future = Ready<Result<tonic::Response<String>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<String>) -> Self::Future {
        ready(Ok(tonic::Response::new(request.into_inner())))
    }
}

/// This program once more, as a server.
struct Server {
    process: Child,
    address: String,
    guarded: bool,
}

impl Server {
    fn start(kind: &str, keys: &str) -> Self {
        let mut process = Command::new(env::current_exe().expect("a program"))
            .env("HTTP_BENCH_SERVER", kind)
            .env("HTTP_BENCH_KEYS", keys)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a server");
        let mut address = String::new();
        let out = process.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut address).expect("its address");
        Self { process, address: address.trim().to_owned(), guarded: !keys.is_empty() }
    }

    /// What the process has in memory. Zero where the system does not say.
    fn resident_bytes(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<usize>().ok());
        kibibytes.unwrap_or_default() * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
