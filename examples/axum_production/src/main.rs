//! Run with `cargo run -p example-axum-production -- examples/axum_production/service.toml`.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use orders::service::Service;
use orders::settings::Settings;
use orders::{admin, app, run};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("service.toml"), PathBuf::from);
    let settings = Settings::read(&file, |name| std::env::var(name).ok())?;
    let metrics = admin::record()?;
    tokio::spawn(admin::upkeep(metrics.clone()));
    let service = Service::from_file(settings.guard.clone())?;
    let api = app::app(service.clone(), &settings)?;
    let admin = admin::admin(service.clone(), metrics);
    run::run(service, &settings, api, admin).await?;
    Ok(())
}
