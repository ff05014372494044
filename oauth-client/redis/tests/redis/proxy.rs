//! A TCP proxy in front of Redis, which delays, swallows and cuts.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does to connections, those that are open included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Each piece takes so long, each way.
    Delay(Duration),
    /// Takes everything, and passes nothing on: a half-open connection.
    BlackHole,
    /// Closes connections, and refuses new ones.
    Cut,
    /// Passes the next piece to the server and closes the connection before its response: then passes again.
    CutResponse,
    /// Passes half of the next piece to the server and closes the connection: then passes again.
    CutRequest,
}

pub(crate) struct Proxy {
    port: u16,
    mode: Arc<watch::Sender<Mode>>,
    server: Arc<AtomicU16>,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(watch::Sender::new(Mode::Pass));
        let modes = Arc::clone(&mode);
        let server = Arc::new(AtomicU16::new(server));
        let leads_to = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *modes.borrow() == Mode::Cut {
                    continue;
                }
                tokio::spawn(relay(client, leads_to.load(Ordering::Relaxed), Arc::clone(&modes)));
            }
        });
        Self { port, mode, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on new connections go to another server, as after a failover. Those that are open stay.
    pub(crate) fn lead_to(&self, server: u16) {
        self.server.store(server, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn relay(mut client: TcpStream, server: u16, modes: Arc<watch::Sender<Mode>>) {
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else { return };
    let mut changes = modes.subscribe();
    let (mut request, mut response) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut last_request = false;
    loop {
        if *modes.borrow() == Mode::BlackHole {
            // Nothing is read and nothing closed, until that changes.
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() || *modes.borrow() == Mode::Cut {
                    return;
                }
            }
            read = client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let mode = *modes.borrow();
                match mode {
                    Mode::Cut => return,
                    Mode::Delay(time) => tokio::time::sleep(time).await,
                    Mode::CutRequest => {
                        let _ = server.write_all(&request[..length / 2]).await;
                        modes.send_replace(Mode::Pass);
                        return;
                    }
                    Mode::CutResponse => last_request = true,
                    Mode::Pass | Mode::BlackHole => {}
                }
                if server.write_all(&request[..length]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut response) => {
                let Ok(length @ 1..) = read else { return };
                if last_request {
                    modes.send_replace(Mode::Pass);
                    return;
                }
                let mode = *modes.borrow();
                if let Mode::Delay(time) = mode {
                    tokio::time::sleep(time).await;
                }
                if mode == Mode::BlackHole {
                    continue;
                }
                if client.write_all(&response[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
