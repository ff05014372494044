//! From start to end: listeners, signals, and a shutdown that loses no request.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::service::Service;
use crate::settings::Settings;

/// Serves until SIGTERM or SIGINT, and reloads the guard at SIGHUP.
///
/// # Errors
/// An address cannot be listened on.
pub async fn run(service: Service, settings: &Settings, app: Router, admin: Router) -> io::Result<()> {
    let (api, probes) =
        (TcpListener::bind(settings.listen).await?, TcpListener::bind(settings.admin_listen).await?);
    println!("READY http://{} http://{}", api.local_addr()?, probes.local_addr()?);
    tokio::spawn(reload_at_hangup(service.clone())?);
    // Keys before the first request needs them. The readiness probe says when they are there.
    let warm = service.clone();
    tokio::spawn(async move { warm.guard().warm_up().await });

    let (end, ended) = watch::channel(false);
    let drain = Duration::from_secs(settings.drain_seconds);
    tokio::spawn(async move {
        told_to_end().await;
        tracing::info!(seconds = drain.as_secs(), "told to end: not ready any more, and still serving");
        service.begin_to_end();
        tokio::time::sleep(drain).await;
        // Both sides may be gone: then no one hears of it.
        let _ = end.send(true);
    });
    let until = |mut ended: watch::Receiver<bool>| async move {
        let _ = ended.wait_for(|ended| *ended).await;
    };
    // What the guard believes of proxies is decided by the caller's address.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let api = axum::serve(api, app).with_graceful_shutdown(until(ended.clone()));
    let probes = axum::serve(probes, admin).with_graceful_shutdown(until(ended));
    tokio::try_join!(api.into_future(), probes.into_future())?;
    Ok(())
}

fn reload_at_hangup(service: Service) -> io::Result<impl Future<Output = ()>> {
    let mut hangups = signal(SignalKind::hangup())?;
    Ok(async move {
        while hangups.recv().await.is_some() {
            match service.reload() {
                Ok(()) => println!("RELOADED"),
                // All of them, by key. The configuration in force stays.
                Err(error) => {
                    error.problems().iter().for_each(|problem| eprintln!("not reloaded: {problem}"));
                }
            }
        }
    })
}

async fn told_to_end() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminations) => terminations.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
