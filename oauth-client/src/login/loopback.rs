//! A listener on this machine that the browser comes back to (RFC 8252 section 7.3).

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use url::{Host, Url};

use super::callback::Callback;
use super::page::Page;
use super::{AuthorizationRequest, Login};
use crate::client::Client;
use crate::error::{Error, printable};

/// How long a user has to log in, when nothing else is said.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a connection has to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest request head that is read: a code in a URL, and a browser's headers and cookies for this host.
const MAX_REQUEST_HEAD: usize = 64 * 1024;

/// The most connections at once. When one more comes, the oldest goes: browsers open a few ahead of need, and a client that
/// opens many must not block the browser.
const MAX_CONNECTIONS: usize = 32;

/// How long the browser has to take its page once all is over.
const PAGE_TIMEOUT: Duration = Duration::from_secs(2);

impl Client {
    /// A login by the browser of this machine; for programs that a person runs. It listens on loopback for the browser
    /// to come back.
    ///
    /// The request's redirect URI is `http://127.0.0.1/…` or `http://[::1]/…`; without a port, or with port 0, any
    /// free one is taken, which servers have to allow (RFC 8252 section 7.3).
    pub fn login(&self, request: &AuthorizationRequest) -> LoopbackLogin {
        LoopbackLogin { client: self.clone(), request: request.clone(), timeout: LOGIN_TIMEOUT }
    }
}

/// A login that is about to begin; made by [`Client::login`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `open`"]
pub struct LoopbackLogin {
    client: Client,
    request: AuthorizationRequest,
    timeout: Duration,
}

impl LoopbackLogin {
    /// How long the person has: five minutes when not set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Listens, calls `open` with the address of the login page, and waits for the browser to come back. `open` starts
    /// a browser or prints the address.
    ///
    /// The first response that has the login's state ends it; whatever else arrives gets a page and is ignored. Dropping
    /// the future closes the listener and all connections.
    ///
    /// # Errors
    /// `config` when the redirect URI is not loopback or its port is taken, `login_timeout` when no browser came back in
    /// time; and the errors of [`Client::authorize`] and [`Client::finish`].
    pub async fn open(self, open: impl FnOnce(&Url)) -> Result<Login, Error> {
        let target = RedirectTarget::of(self.request.redirect_uri())?;
        let (listeners, port) = Listeners::bind(&target).await.map_err(|error| target.taken(&error))?;
        let target = target.at(port);
        // The login stays valid for as long as the listener waits.
        let lifetime = self.request.lifetime().max(self.timeout);
        let redirect_uri = target.redirect_uri.clone();
        let request = self.request.back_to(redirect_uri.clone()).valid_for(lifetime);
        let pending = self.client.authorize(&request).await?;
        open(pending.url());

        let (sender, mut callbacks) = mpsc::channel(1);
        // Not a task of its own: the port is free the moment this future is gone.
        let mut serving = pin!(serve(listeners, target, sender));
        let mut timeout = pin!(tokio::time::sleep(self.timeout));
        let mut stale = false;
        loop {
            let incoming = tokio::select! {
                incoming = callbacks.recv() => incoming,
                () = &mut serving => None,
                () = &mut timeout => None,
            };
            let Some(Incoming { query, reply }) = incoming else {
                return Err(timed_out(self.timeout, &redirect_uri, stale));
            };
            let callback = Callback::parse(&format!("?{query}"));
            let callback = match callback {
                Ok(callback) if callback.is_for(&pending) => callback,
                // Another callback, be it from an old tab or an attack: the right one may still come.
                _ => {
                    stale = true;
                    let _ = reply.send((Page::Stale, None));
                    continue;
                }
            };
            let outcome = self.client.finish_with(pending, callback).await;
            let page = match &outcome {
                Ok(_) => Page::LoggedIn,
                Err(error) => Page::Failed(error.code().to_owned()),
            };
            let (shown, was_shown) = oneshot::channel();
            if reply.send((page, Some(shown))).is_ok() {
                // The outcome stands, whether the browser sees it or not.
                let _ = tokio::time::timeout(PAGE_TIMEOUT, was_shown).await;
            }
            return outcome;
        }
    }
}

/// Whether a redirect URI is one that can be listened on.
pub(super) fn check(redirect_uri: &str) -> Result<(), Error> {
    RedirectTarget::of(redirect_uri).map(drop)
}

fn timed_out(timeout: Duration, redirect_uri: &str, stale: bool) -> Error {
    let also = if stale { "; a callback of another login came, and was ignored" } else { "" };
    Error::login(
        "login_timeout",
        format!(
            "no browser came back from the login page within {timeout:?}{also}; where the page showed an error, check that the redirect URI {} is registered for this client",
            printable(redirect_uri, 256)
        ),
    )
}

/// The listener; and a second one for the name `localhost`, which some machines resolve to `127.0.0.1` and others to
/// `::1`.
struct Listeners(TcpListener, Option<TcpListener>);

/// How often another free port is tried that is free for both.
const TRIES: usize = 8;

impl Listeners {
    async fn bind(target: &RedirectTarget) -> io::Result<(Self, u16)> {
        let mut last = None;
        for _ in 0..TRIES {
            let first = TcpListener::bind(target.address).await?;
            let port = first.local_addr()?.port();
            if !target.is_by_name {
                return Ok((Self(first, None), port));
            }
            match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
                Ok(second) => return Ok((Self(first, Some(second)), port)),
                // Another program would get what the browser brings.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    if target.address.port() != 0 {
                        return Err(error);
                    }
                    last = Some(error);
                }
                // A machine without IPv6.
                Err(_) => return Ok((Self(first, None), port)),
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let Self(first, second) = self;
        let second = async {
            match second {
                Some(second) => second.accept().await,
                None => std::future::pending().await,
            }
        };
        let (stream, _) = tokio::select! {
            accepted = first.accept() => accepted?,
            accepted = second => accepted?,
        };
        Ok(stream)
    }
}

/// Where the browser comes back to.
#[derive(Clone, Debug)]
struct RedirectTarget {
    address: SocketAddr,
    /// Whether it is `localhost`, which may mean either family.
    is_by_name: bool,
    /// As it goes to the server, to the letter.
    redirect_uri: String,
    /// `host:port`, as the browser will name it.
    authority: String,
    path: String,
}

impl RedirectTarget {
    fn of(redirect_uri: &str) -> Result<Self, Error> {
        let wrong = |what: &str| Error::config("redirect_uri", what);
        let url = Url::parse(redirect_uri)
            .map_err(|_| wrong("is not a URL; expected http://127.0.0.1/callback"))?;
        let ip = match url.host() {
            Some(Host::Ipv4(ip)) if ip.is_loopback() => IpAddr::V4(ip),
            Some(Host::Ipv6(ip)) if ip.is_loopback() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            Some(Host::Domain("localhost")) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            _ => {
                return Err(wrong(
                    "is not on this machine; expected http://127.0.0.1/callback or http://[::1]/callback",
                ));
            }
        };
        if url.scheme() != "http"
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
        {
            return Err(wrong(
                "is more than the listener serves; expected http://127.0.0.1/callback, without a query",
            ));
        }
        // RFC 8252 section 7.3 gives the port to the program; the default port of http is never meant.
        let port = url.port().unwrap_or(0);
        Ok(Self {
            address: SocketAddr::new(ip, port),
            is_by_name: matches!(url.host(), Some(Host::Domain(_))),
            redirect_uri: redirect_uri.to_owned(),
            authority: url.host_str().unwrap_or_default().to_owned(),
            path: url.path().to_owned(),
        })
    }

    /// The same with the port that was bound. A redirect URI that named its port stays as it was written.
    fn at(mut self, port: u16) -> Self {
        self.authority = format!("{}:{port}", self.authority);
        if self.address.port() == 0 {
            self.redirect_uri = format!("http://{}{}", self.authority, self.path);
        }
        self.address.set_port(port);
        self
    }

    fn taken(&self, error: &io::Error) -> Error {
        Error::config(
            "redirect_uri",
            format!(
                "cannot be listened on at {} ({}); give another port, or none for any that is free",
                self.address,
                error.kind()
            ),
        )
    }
}

/// What a browser brought, and where its page goes.
struct Incoming {
    query: String,
    reply: oneshot::Sender<(Page, Option<oneshot::Sender<()>>)>,
}

/// Takes connections for as long as it lives, which is until it is dropped; they end with it.
async fn serve(listeners: Listeners, target: RedirectTarget, sender: mpsc::Sender<Incoming>) {
    let mut connections = JoinSet::new();
    let mut by_age = VecDeque::new();
    loop {
        let stream = match listeners.accept().await {
            Ok(stream) => stream,
            // Out of file descriptors, for instance: it passes.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        by_age.retain(|one: &AbortHandle| !one.is_finished());
        if by_age.len() >= MAX_CONNECTIONS
            && let Some(oldest) = by_age.pop_front()
        {
            oldest.abort();
        }
        by_age.push_back(connections.spawn(handle(stream, target.clone(), sender.clone())));
    }
}

/// One connection: one request, one page.
async fn handle(mut stream: TcpStream, target: RedirectTarget, sender: mpsc::Sender<Incoming>) {
    let head = tokio::time::timeout(REQUEST_TIMEOUT, read_head(&mut stream)).await;
    // A peer that sends nothing in time, or no HTTP at all, is not a browser.
    let Ok(Some(head)) = head else { return };
    let (page, shown) = match callback_query(&head, &target) {
        Err(page) => (page, None),
        Ok(query) => {
            let (reply, replied) = oneshot::channel();
            if sender.send(Incoming { query, reply }).await.is_err() {
                return;
            }
            match replied.await {
                Ok(page) => page,
                Err(_) => return,
            }
        }
    };
    let writing = async {
        stream.write_all(page.to_http().as_bytes()).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(REQUEST_TIMEOUT, writing).await;
    if let Some(shown) = shown {
        let _ = shown.send(());
    }
}

/// Reads up to the empty line; `None` for what is too long, or not text.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    loop {
        let mut piece = [0; 2048];
        let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&piece[..count]);
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            head.truncate(end);
            return String::from_utf8(head).ok();
        }
        if head.len() > MAX_REQUEST_HEAD {
            return None;
        }
    }
}

/// The query of a request that is what a browser sends when it comes back; otherwise the page it gets.
fn callback_query(head: &str, target: &RedirectTarget) -> Result<String, Page> {
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let [method, uri, version] = first.split(' ').collect::<Vec<_>>()[..] else {
        return Err(Page::Refused);
    };
    if method != "GET" || !version.starts_with("HTTP/1.") {
        return Err(Page::Refused);
    }
    let hosts: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim())
        .collect();
    // A page elsewhere can have its own name resolve to this machine; the browser still says which name it was.
    if !matches!(hosts[..], [host] if host.eq_ignore_ascii_case(&target.authority)) {
        return Err(Page::Refused);
    }
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    if path != target.path {
        return Err(Page::NotFound);
    }
    if query.is_empty() { Err(Page::NotFound) } else { Ok(query.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> RedirectTarget {
        RedirectTarget::of("http://127.0.0.1/callback").unwrap().at(4711)
    }

    #[test]
    fn a_free_port_goes_into_the_redirect_uri_and_a_given_one_stays_as_it_is_written() {
        assert_eq!(target().redirect_uri, "http://127.0.0.1:4711/callback");
        assert_eq!(RedirectTarget::of("http://[::1]:0/cb").unwrap().at(9).redirect_uri, "http://[::1]:9/cb");
        assert_eq!(
            RedirectTarget::of("http://127.0.0.1:8400").unwrap().at(8400).redirect_uri,
            "http://127.0.0.1:8400"
        );
    }

    #[test]
    fn only_loopback_redirect_uris_are_accepted() {
        for uri in [
            "https://127.0.0.1/cb",
            "http://app.example.com/cb",
            "http://127.0.0.1.evil.test/cb",
            "http://10.0.0.1/cb",
            "http://127.0.0.1/cb?a=b",
            "http://user@127.0.0.1/cb",
            "com.example.app:/cb",
            "cb",
        ] {
            let error = RedirectTarget::of(uri).unwrap_err();
            assert_eq!(error.problems()[0].field, "redirect_uri", "{uri}");
        }
    }

    #[test]
    fn a_request_is_the_browsers_only_with_its_method_path_and_host() {
        let head = |line: &str, host: &str| format!("{line}\r\nHost: {host}\r\nAccept: */*");
        let good = head("GET /callback?code=a&state=b HTTP/1.1", "127.0.0.1:4711");
        assert_eq!(callback_query(&good, &target()).unwrap(), "code=a&state=b");
        for (line, host, page) in [
            ("GET /favicon.ico HTTP/1.1", "127.0.0.1:4711", Page::NotFound),
            ("GET /callback/x?code=a HTTP/1.1", "127.0.0.1:4711", Page::NotFound),
            ("GET /callback HTTP/1.1", "127.0.0.1:4711", Page::NotFound),
            ("POST /callback?code=a HTTP/1.1", "127.0.0.1:4711", Page::Refused),
            ("GET /callback?code=a HTTP/1.1", "evil.test:4711", Page::Refused),
            ("GET /callback?code=a HTTP/1.1", "127.0.0.1", Page::Refused),
            ("GET /callback?code=a HTTP/1.1", "127.0.0.1:4711\r\nHost: evil.test", Page::Refused),
            ("nonsense", "127.0.0.1:4711", Page::Refused),
        ] {
            assert_eq!(callback_query(&head(line, host), &target()).unwrap_err(), page, "{line} {host}");
        }
    }
}
