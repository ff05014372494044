//! HTTP/1.1 on the bare socket: a hole may lie below what an HTTP library hands on.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::api::Api;

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: String,
    /// Where it comes from.
    pub(crate) peer: Option<IpAddr>,
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Request {
    /// The values of a header that are text.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let of_name = self.headers.iter().filter(|(known, _)| known == name);
        of_name.filter_map(|(_, value)| std::str::from_utf8(value).ok()).collect()
    }
}

impl Response {
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }
}

/// Serves until the API falls over.
pub(crate) async fn serve(api: Arc<Api>, listener: TcpListener) {
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            () = api.fallen.notified() => return,
        };
        tokio::spawn(one(Arc::clone(&api), stream, Some(peer.ip())));
    }
}

/// The same over TLS.
#[cfg(feature = "tls")]
pub(crate) async fn serve_tls(api: Arc<Api>, listener: TcpListener, acceptor: tokio_rustls::TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let (api, acceptor) = (Arc::clone(&api), acceptor.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                one(api, stream, None).await;
            }
        });
    }
}

async fn one(api: Arc<Api>, mut stream: impl AsyncRead + AsyncWrite + Unpin, peer: Option<IpAddr>) {
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 16 * 1024]);
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        match stream.read(&mut chunk).await {
            Ok(length @ 1..) => bytes.extend_from_slice(&chunk[..length]),
            _ => return,
        }
    };
    let mut body = bytes.split_off(end + 4);
    let response = match head(&bytes[..end], api.has("http-folded-header")) {
        None => {
            let mut response = Response::new(400, "");
            response.headers.push(("WWW-Authenticate", "Bearer error=\"invalid_request\"".to_owned()));
            Some(response)
        }
        Some(mut request) => {
            let length = request.values("content-length").first().and_then(|text| text.parse().ok());
            while body.len() < length.unwrap_or(0) {
                match stream.read(&mut chunk).await {
                    Ok(length @ 1..) => body.extend_from_slice(&chunk[..length]),
                    _ => return,
                }
            }
            request.body = String::from_utf8_lossy(&body).into_owned();
            request.peer = peer;
            let headless = request.method == "HEAD";
            let response = api.respond(&request).await;
            response.map(
                |response| if headless { Response { body: String::new(), ..response } } else { response },
            )
        }
    };
    // No response: the API fell over.
    let Some(response) = response else { return };
    let mut text = format!("HTTP/1.1 {} Status\r\nConnection: close\r\n", response.status);
    for (name, value) in &response.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{}", response.body.len(), response.body));
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// `None` where a server has to respond 400 by itself.
fn head(bytes: &[u8], joins_folded_lines: bool) -> Option<Request> {
    let mut lines = Vec::<Vec<u8>>::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = rest.windows(2).position(|two| two == b"\r\n").unwrap_or(rest.len());
        let line = &rest[..at];
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            let (true, Some(last)) = (joins_folded_lines, lines.last_mut()) else { return None };
            last.extend_from_slice(line);
        } else {
            lines.push(line.to_vec());
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    let first = String::from_utf8(lines.first()?.clone()).ok()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |line: &Vec<u8>| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8(line[..at].to_ascii_lowercase()).ok()?;
        Some((name, line[at + 1..].trim_ascii().to_vec()))
    };
    Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: lines[1..].iter().map(header).collect::<Option<_>>()?,
        body: String::new(),
        peer: None,
    })
}
