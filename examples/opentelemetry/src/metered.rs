//! A recorder for the `metrics` facade that hands everything on to a meter of OpenTelemetry.

use std::sync::Arc;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// The recorder. Install it with `metrics::set_global_recorder`.
#[derive(Clone, Debug)]
pub struct MeteredRecorder {
    meter: Meter,
}

impl MeteredRecorder {
    /// Hands everything on to this meter.
    #[must_use]
    pub fn new(meter: Meter) -> Self {
        Self { meter }
    }
}

/// An instrument, and the labels as attributes.
struct Metered<I> {
    instrument: I,
    attributes: Vec<KeyValue>,
}

impl<I> Metered<I> {
    fn new(instrument: I, key: &Key) -> Arc<Self> {
        let attribute =
            |label: &metrics::Label| KeyValue::new(label.key().to_owned(), label.value().to_owned());
        Arc::new(Self { instrument, attributes: key.labels().map(attribute).collect() })
    }
}

impl CounterFn for Metered<opentelemetry::metrics::Counter<u64>> {
    fn increment(&self, value: u64) {
        self.instrument.add(value, &self.attributes);
    }

    /// For counters that are read elsewhere: none of the crates here has one.
    fn absolute(&self, _: u64) {}
}

impl GaugeFn for Metered<opentelemetry::metrics::Gauge<f64>> {
    /// A gauge of OpenTelemetry cannot be changed by an amount, and those here never are.
    fn increment(&self, _: f64) {}

    fn decrement(&self, _: f64) {}

    fn set(&self, value: f64) {
        self.instrument.record(value, &self.attributes);
    }
}

impl HistogramFn for Metered<opentelemetry::metrics::Histogram<f64>> {
    fn record(&self, value: f64) {
        self.instrument.record(value, &self.attributes);
    }
}

impl Recorder for MeteredRecorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Metered::new(self.meter.u64_counter(key.name().to_owned()).build(), key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Metered::new(self.meter.f64_gauge(key.name().to_owned()).build(), key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let histogram = self.meter.f64_histogram(key.name().to_owned());
        // Every histogram of the crates is in seconds.
        Histogram::from_arc(Metered::new(histogram.with_unit("s").build(), key))
    }
}
