//! What HTTP/1.1 asks of every request, whichever port it comes to, and how connections are accepted.

use std::future::Future;
use std::io;
use std::time::Duration;

use http::header::HOST;
use http::uri::Authority;
use http::{Request, Version};
use tokio::net::{TcpListener, TcpStream};

/// How long to wait after a connection could not be accepted, out of file descriptors most likely: others must get a
/// chance to close theirs, and the processor something better to do.
const PAUSE: Duration = Duration::from_millis(50);

/// Where connections come from.
pub(crate) trait Accept {
    /// The next one.
    fn next(&self) -> impl Future<Output = io::Result<TcpStream>> + Send;
}

impl Accept for TcpListener {
    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// The next connection, however often accepting one fails.
pub(crate) async fn accept(listener: &impl Accept) -> TcpStream {
    loop {
        match listener.next().await {
            Ok(stream) => return stream,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Why a request is no HTTP/1.1: what it lacks or has too often is what tells servers of one address apart.
///
/// # Errors
/// RFC 9112 section 3.2: without `Host`, with several, or with one that names no host, the response is 400.
pub(crate) fn check_host<B>(request: &Request<B>) -> Result<(), &'static str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() < Version::HTTP_11 => Ok(()),
        (None, _) => Err("a request of HTTP/1.1 needs a Host header (RFC 9112 section 3.2)\n"),
        (Some(_), Some(_)) => Err("more than one Host header (RFC 9112 section 3.2)\n"),
        (Some(host), None) => {
            let named = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
            let good = named.is_some_and(|named| !named.host().is_empty() && !named.as_str().contains('@'));
            if good { Ok(()) } else { Err("the Host header names no host (RFC 9110 section 7.2)\n") }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Full(AtomicUsize);

    impl Accept for Full {
        async fn next(&self) -> io::Result<TcpStream> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(io::Error::from_raw_os_error(24))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_without_file_descriptors_waits_for_one() {
        let listener = Full(AtomicUsize::new(0));
        let second = tokio::time::timeout(Duration::from_secs(1), accept(&listener));
        assert!(second.await.is_err());
        let tries = listener.0.load(Ordering::Relaxed);
        assert!((10..=21).contains(&tries), "{tries} tries in one second");
    }

    #[test]
    fn a_request_names_one_host() {
        let request = |version, hosts: &[&str]| {
            let request = hosts.iter().fold(Request::get("/"), |request, host| request.header(HOST, *host));
            check_host(&request.version(version).body(()).unwrap()).is_ok()
        };
        assert!(request(Version::HTTP_11, &["a:1"]) && request(Version::HTTP_10, &[]));
        for bad in [&[][..], &["a", "a"], &[""], &["a b"], &["u@a"], &["a/b"]] {
            assert!(!request(Version::HTTP_11, bad), "{bad:?}");
        }
    }
}
