//! Run with `cargo run -p example-opentelemetry`. Two calls to a protected API, and the spans and metrics of both sides on
//! stdout: no collector is needed. The authorization server is a mock in this process.

use std::error::Error;

use observed::scene;
use observed::telemetry::Telemetry;
use tracing::subscriber::set_global_default;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = Telemetry::new(
        opentelemetry_stdout::SpanExporter::default(),
        opentelemetry_stdout::MetricExporter::default(),
    );
    set_global_default(telemetry.subscriber())?;
    metrics::set_global_recorder(telemetry.recorder())?;
    let statuses = scene::play().await?;
    telemetry.shutdown()?;
    println!("{statuses:?}");
    Ok(())
}
