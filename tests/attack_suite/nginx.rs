//! nginx in front of an API that checks nothing: it asks the guard first, in a request of its own (`auth_request`). The guard
//! then judges a path that another server routes, so that both have to read it alike.

use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri};
use oauth_guard::config::GuardConfig;
use oauth_mock::MockServer;
use oauth_mock::suite::Suite;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tower::ServiceExt as _;

use super::gateways::{filled_in, started};
use super::installed::is_there;
use super::programs::{Folder, NGINX};

/// nginx, the guard that it asks, and the API behind it.
struct Gateway {
    /// Where requests are sent on as they came.
    address: SocketAddr,
    /// Where they are sent on in nginx's spelling of the path.
    respelled: SocketAddr,
    _nginx: Child,
    _folder: Folder,
}

/// Whether nginx is there.
fn installed() -> bool {
    is_there(Path::new(NGINX).is_file(), "nginx", "apt-get install nginx-light")
}

impl Gateway {
    async fn start(name: &str, address: SocketAddr, guard: SocketAddr) -> Self {
        let api =
            serve(Router::new().fallback(|uri: Uri| async move { format!("reached {}", uri.path()) })).await;
        let (folder, respelled) = (Folder::new(name), super::free_port());
        let there = folder.0.display().to_string();
        let words =
            [("folder", there), ("address", address.to_string()), ("respelled", respelled.to_string())];
        let more = [("guard", guard.to_string()), ("api", api.to_string())];
        let words: Vec<_> = words.iter().chain(&more).map(|(word, value)| (*word, value.as_str())).collect();
        folder.write("guarded.conf", &filled_in("nginx_guarded.conf", &words));
        let file = folder.write("nginx.conf", &filled_in("nginx.conf", &words));
        let mut command = Command::new(NGINX);
        command.arg("-e").arg(folder.0.join("error.log")).arg("-c").arg(file);
        let nginx = started(command, address).await;
        Self { address, respelled, _nginx: nginx, _folder: folder }
    }

    /// Which paths the API was asked for, with these headers and every spelling, and through which address.
    async fn reached(&self, headers: &str) -> Vec<(SocketAddr, String)> {
        let mut reached = Vec::new();
        for target in spellings(self.address) {
            for address in [self.address, self.respelled] {
                let response = ask(address, &target, headers).await;
                if let Some((_, path)) = response.split_once("reached ") {
                    reached.push((address, path.lines().next().unwrap().to_owned()));
                }
            }
        }
        reached
    }
}

/// What nginx asks: the guard judges method and path of the caller's request, which are in headers.
async fn serve_guard(rules: &str) -> SocketAddr {
    let guard = GuardConfig::from_toml(rules).unwrap().build().unwrap();
    let app = Router::new().fallback(|| async { StatusCode::NO_CONTENT }).layer(guard.layer());
    let asked = tower::service_fn(move |mut request: Request<axum::body::Body>| {
        let app = app.clone();
        async move {
            match callers(request.headers()) {
                Some((method, uri)) => {
                    (*request.method_mut(), *request.uri_mut()) = (method, uri);
                    app.oneshot(request).await
                }
                None => Ok(axum::response::IntoResponse::into_response(StatusCode::BAD_REQUEST)),
            }
        }
    });
    // No router is around it: that would note the path of nginx's question as the request's own.
    let (listener, address) = listener().await;
    tokio::spawn(async move { axum::serve(listener, tower::make::Shared::new(asked)).await });
    address
}

fn callers(headers: &HeaderMap) -> Option<(Method, Uri)> {
    let text = |name| headers.get(name)?.to_str().ok();
    Some((text("x-original-method")?.parse().ok()?, text("x-original-uri")?.parse().ok()?))
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn serve(app: Router) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Sends this request target as it is; the whole response.
async fn ask(address: SocketAddr, target: &[u8], headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut wire = [b"GET ", target].concat();
    wire.extend(format!(" HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n").bytes());
    stream.write_all(&wire).await.unwrap();
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    String::from_utf8_lossy(&response).into_owned()
}

/// Where the most lenient of servers would route this path: everything decoded once, parameters and empty segments left out,
/// backslashes taken for slashes, dot segments followed.
fn leniently(path: &str) -> Vec<String> {
    let decoded = percent_decoded(path.split(['?', '#']).next().unwrap());
    let mut segments: Vec<String> = Vec::new();
    for segment in decoded.split(['/', '\\']) {
        match segment.split(';').next().unwrap() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name.to_owned()),
        }
    }
    segments
}

fn percent_decoded(path: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), path.as_bytes());
    while let Some((&first, more)) = rest.split_first() {
        let digits = more.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if first == b'%' => (bytes, rest) = ([bytes, vec![byte]].concat(), &more[2..]),
            _ => (bytes, rest) = ([bytes, vec![first]].concat(), more),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
#[ignore = "needs nginx; see tests/README.md"]
async fn the_guard_as_the_subrequest_of_nginx_responds_as_it_should() {
    if !installed() {
        return;
    }
    let address = super::free_port();
    let suite = Suite::new(format!("http://{address}/whoami")).scope("read").quick();
    let attacker = suite.start().await.unwrap();
    let rules = format!(
        "default_access = \"deny\"\n[[issuer]]\nissuer = \"{}\"\naudience = [\"orders-api\"]\n\
         [[rule]]\npath = \"/whoami\"\nrequire = {{ scope = \"read\" }}\n[keys]\ncooldown_seconds = 1\n",
        attacker.issuer(),
    );
    let _gateway = Gateway::start("nginx-guard", address, serve_guard(&rules).await).await;
    let report = super::run(attacker).await;
    assert_eq!(report.exit_code(), 0, "{report}");
    assert!(report.summary.incorrect == 0 && report.summary.judged > 570, "{report}");
}

/// Everything is public but `/admin`: whatever spelling of it passes nginx must not pass the guard.
#[tokio::test]
#[ignore = "needs nginx; see tests/README.md"]
async fn no_spelling_of_a_path_gets_past_the_guard_through_nginx() {
    if !installed() {
        return;
    }
    let issuer = MockServer::start().await;
    let rules = format!(
        "[[issuer]]\nissuer = \"{}\"\naudience = [\"orders-api\"]\n[[rule]]\npath = \"/\"\naccess = \"public\"\n\
         [[rule]]\npath = \"/{{*rest}}\"\naccess = \"public\"\n[[rule]]\npath = \"/admin\"\n\
         require = {{ scope = \"admin\" }}\n[[rule]]\npath = \"/admin/{{*rest}}\"\n\
         require = {{ scope = \"admin\" }}\n",
        issuer.issuer(),
    );
    let guard = serve_guard(&rules).await;
    let gateway = Gateway::start("nginx-paths", super::free_port(), guard).await;
    let both = [gateway.address, gateway.respelled];
    let token = |scope: &str| {
        let token = issuer.mint().audience("orders-api").scope(scope).build();
        format!("Authorization: Bearer {token}\r\n")
    };
    let (admin, other) = (token("admin"), token("read"));
    for address in both {
        for (target, headers, status) in [
            ("/", "", 200),
            ("/open/page", "", 200),
            ("/admin", "", 401),
            ("/admin/users", "", 401),
            ("/admin/users", other.as_str(), 403),
            ("/admin/users", admin.as_str(), 200),
            ("/guard", admin.as_str(), 404),
        ] {
            let response = ask(address, target.as_bytes(), headers).await;
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{target} {headers}: {response}");
            assert_eq!(status == 200, response.contains("reached /"), "{response}");
            let challenge = response.to_lowercase().contains("www-authenticate: bearer");
            assert_eq!(matches!(status, 401 | 403), challenge, "{response}");
        }
    }
    for headers in ["", "X-Original-URI: /open\r\nX-Original-Method: OPTIONS\r\n", &other] {
        let reached = gateway.reached(headers).await;
        let evaded: Vec<_> = reached.iter().filter(|(_, path)| is_admin(path)).collect();
        assert!(evaded.is_empty(), "{headers}: {evaded:?}");
        // Spellings that lead elsewhere do reach the API: not everything is refused.
        assert!(reached.len() > 100, "{}", reached.len());
    }
}

/// What the test above can see: a guard that compares the beginning of the path, as a first draft would.
#[tokio::test]
#[ignore = "needs nginx; see tests/README.md"]
async fn a_guard_that_compares_the_beginning_of_the_path_is_evaded() {
    if !installed() {
        return;
    }
    let guard = serve(Router::new().fallback(|headers: HeaderMap| async move {
        let admin = callers(&headers).is_none_or(|(_, uri)| uri.path().starts_with("/admin"));
        if admin { StatusCode::UNAUTHORIZED } else { StatusCode::NO_CONTENT }
    }));
    let gateway = Gateway::start("nginx-draft", super::free_port(), guard.await).await;
    let reached = gateway.reached("").await;
    for address in [gateway.address, gateway.respelled] {
        let evaded = reached.iter().filter(|(at, path)| *at == address && is_admin(path)).count();
        assert!(evaded > 100, "{evaded}");
    }
}

/// Whether some server would take it for a path below `/admin`.
fn is_admin(path: &str) -> bool {
    leniently(path).first().is_some_and(|first| first == "admin")
}

/// Ways to write `/admin`, and some that lead elsewhere.
fn spellings(address: SocketAddr) -> Vec<Vec<u8>> {
    let before = [
        "",
        "/",
        "//",
        "/.",
        "/./",
        "/%2e",
        "/%2E/",
        "/open/..",
        "/open/%2e%2e",
        "/open/.%2e/",
        "/open//..",
        "/open/../",
        "/open/x/../..",
        "/open%2f..",
        "/open/..;x=1",
        "/open/..%3b",
        "/open\\..",
        "/open/%5c..",
        "/open?/..",
        "/open#/..",
        "/open%23/..",
        "/open%3f/..",
        "/open/%2e%2e%2f",
        "/;",
        "/;x=1",
        "/%20/..",
        "/open%00/..",
        "/%2561/..",
        "/..",
        "/%2e%2e",
    ];
    let names = [
        "/admin",
        "/admin/",
        "//admin",
        "/%61dmin",
        "/admi%6e",
        "/admin;x=1",
        "/admin%3bx",
        "/admin/.",
        "/admin/users",
        "%2fadmin",
        "%2Fadmin/users",
        "/admin%2fusers",
        "/admin//users",
        "/admin?x=1",
        "/admin#x",
        "/admin%23",
        "/admin%3f",
        "/admin\\users",
        "\\admin",
        "%5cadmin",
        "/admin/../admin",
        "/admin/%2e%2e/admin/users",
        "/admin%00",
        "/admin%",
        "/admin\u{ff0f}users",
        "/admin/x/..",
    ];
    let mut all: Vec<Vec<u8>> = Vec::new();
    for name in names {
        all.extend(before.iter().map(|before| format!("{before}{name}").into_bytes()));
        all.push(format!("http://{address}{name}").into_bytes());
        all.push(format!("http://other.example/open/..{name}").into_bytes());
    }
    all.extend([b"/admin\xff".to_vec(), b"/\xc0\xaf../admin".to_vec(), b"/admin\t".to_vec(), b"*".to_vec()]);
    all
}
