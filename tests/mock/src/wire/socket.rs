//! The server on a socket: HTTP/1.1, with or without TLS, and connections that can be cut without a goodbye.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::shared::Shared;
use crate::tls::Acceptor;
use crate::wire::http1::{self, check_host};
use crate::wire::peer::Peer;
use crate::wire::transport::{TransportError, gather};

/// Accepts until the task is aborted; that ends every connection too.
pub(crate) async fn serve(listener: TcpListener, tls: Option<Acceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            stream = http1::accept(&listener) => {
                connections.spawn(connection(stream, tls.clone(), Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<Acceptor>, shared: Arc<Shared>) {
    let reset = Arc::new(AtomicBool::new(false));
    let stream = Cuttable { stream, reset: Arc::clone(&reset) };
    let mut paused = shared.paused.subscribe();
    let cut = Arc::clone(&reset);
    let serving = async move {
        match tls {
            None => speak(stream, None, reset, shared).await,
            // Who gives up the handshake, or never trusted this server, said so already.
            Some(tls) => {
                if let Ok((stream, peer)) = tls.accept(stream).await {
                    speak(stream, peer, reset, shared).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        // While the server is paused its port stays its own, but every connection is cut off at once.
        _ = paused.wait_for(|paused| *paused) => cut.store(true, Ordering::Release),
        () = serving => {}
    }
}

async fn speak<S>(stream: S, peer: Option<Peer>, reset: Arc<AtomicBool>, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|mut request: Request<Incoming>| {
        let (shared, reset) = (Arc::clone(&shared), Arc::clone(&reset));
        if let Some(peer) = &peer {
            request.extensions_mut().insert(peer.clone());
        }
        async move {
            let response = async {
                if let Err(why) = check_host(&request) {
                    let request = request.map(|_| Bytes::new());
                    return shared.refused(request, StatusCode::BAD_REQUEST, why).await;
                }
                gather(request).await?.respond(&shared).await
            };
            let response = response.await;
            if let Err(TransportError::Reset | TransportError::Refused) = response {
                reset.store(true, Ordering::Release);
            }
            response.map(|response| response.map(|body| body.reports_reset_to(reset)))
        }
    });
    let http = server::http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    // A client that breaks the protocol, or a fault that broke it, ends this connection and nothing else.
    let _ = http.await;
}

/// A connection that ends with RST instead of FIN when `reset` is set.
struct Cuttable {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Cuttable {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Acquire) {
            // Without it the connection still closes, only more politely.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.reset.load(Ordering::Acquire) {
            // TLS would say goodbye (RFC 8446 section 6.1) before the RST.
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Acquire) {
            // A FIN now would reach the client before the RST.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
