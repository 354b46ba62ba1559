//! The metrics of one process.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGauge, Opts, TextEncoder};

/// The metrics of one process, with those of the process itself and `plimsoll_build_info` in it. Clones share them.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: prometheus::Registry,
}

/// Why metrics could not be kept or shown.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A metric has a wrong or a known name.
    #[error("failed to register metrics")]
    Register(#[source] prometheus::Error),
    /// Two metrics contradict each other.
    #[error("failed to encode metrics")]
    Encode(#[source] prometheus::Error),
}

impl Registry {
    /// Media type of [`Registry::encode`].
    pub const MEDIA_TYPE: &'static str = prometheus::TEXT_FORMAT;

    /// The registry of a component (`operator`, `agent`) in a version.
    pub fn new(component: &str, version: &str) -> Result<Self, RegistryError> {
        let registry = Self { inner: prometheus::Registry::new() };
        registry.register(ProcessCollector::for_self())?;
        let options = Opts::new("plimsoll_build_info", "Which program this is; always 1.")
            .const_label("component", component)
            .const_label("version", version);
        let build = IntGauge::with_opts(options).map_err(RegistryError::Register)?;
        build.set(1);
        registry.register(build)?;
        Ok(registry)
    }

    /// Adds metrics.
    pub fn register(&self, collector: impl Collector + 'static) -> Result<(), RegistryError> {
        self.inner.register(Box::new(collector)).map_err(RegistryError::Register)
    }

    /// Every metric in Prometheus' text format.
    pub fn encode(&self) -> Result<String, RegistryError> {
        TextEncoder::new().encode_to_string(&self.inner.gather()).map_err(RegistryError::Encode)
    }

    /// The registry below, for the `register_*_with_registry!` macros.
    #[must_use]
    pub fn inner(&self) -> &prometheus::Registry {
        &self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_registry_tells_the_process_and_the_build() {
        let text = Registry::new("agent", "1.2.3").unwrap().encode().unwrap();
        assert!(text.contains(r#"plimsoll_build_info{component="agent",version="1.2.3"} 1"#), "{text}");
        let resident = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes ")).unwrap();
        assert!(resident.parse::<f64>().unwrap() > 0.0);
    }

    #[test]
    fn a_name_is_taken_once() {
        let registry = Registry::new("agent", "1.2.3").unwrap();
        registry.register(IntGauge::new("plimsoll_things", "Things.").unwrap()).unwrap();
        let again = registry.register(IntGauge::new("plimsoll_things", "Things.").unwrap());
        assert!(matches!(again, Err(RegistryError::Register(_))));
    }
}
