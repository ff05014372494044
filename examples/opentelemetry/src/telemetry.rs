//! The providers. In production, give them the exporters of `opentelemetry-otlp`, and the batch processor.

use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;

use crate::metered::MeteredRecorder;

/// Where spans and metrics go.
#[derive(Debug)]
pub struct Telemetry {
    spans: SdkTracerProvider,
    metrics: SdkMeterProvider,
}

impl Telemetry {
    /// Everything to these exporters.
    pub fn new(spans: impl SpanExporter + 'static, metrics: impl PushMetricExporter) -> Self {
        let resource = Resource::builder().with_service_name("orders").build();
        Self {
            spans: SdkTracerProvider::builder()
                .with_resource(resource.clone())
                .with_simple_exporter(spans)
                .build(),
            metrics: SdkMeterProvider::builder()
                .with_resource(resource)
                .with_reader(PeriodicReader::builder(metrics).build())
                .build(),
        }
    }

    /// For `tracing`. Refreshes have a span at debug level.
    pub fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        let filter = EnvFilter::new("info,oauth_client=debug,hyper_util=off");
        let layer = tracing_opentelemetry::layer()
            .with_tracer(self.spans.tracer("observed"))
            // What the conventions do not name, and costs bytes in each span.
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        tracing_subscriber::registry().with(filter).with(layer)
    }

    /// For `metrics`.
    #[must_use]
    pub fn recorder(&self) -> MeteredRecorder {
        MeteredRecorder::new(self.metrics.meter("observed"))
    }

    /// Exports what is left.
    ///
    /// # Errors
    /// An exporter fails.
    pub fn shutdown(self) -> OTelSdkResult {
        self.spans.shutdown()?;
        self.metrics.shutdown()
    }
}
