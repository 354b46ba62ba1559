//! The settings in force: the file, with the ConfigMap over it, re-read when it changes. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;

use crate::config::{Config, ConfigError, KEY};

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Settings {
    base: Config,
    url: Option<String>,
    seen: Option<String>,
    current: Arc<Config>,
}

impl Settings {
    /// Begins with the text of a file, if there is one. `url` goes over `progress.url`.
    ///
    /// # Errors
    /// When the file cannot be read: a process that starts with wrong settings should not start.
    pub fn new(file: Option<&str>, url: Option<String>) -> Result<Self, ConfigError> {
        let base = Config::parse(file.unwrap_or_default())?;
        let mut settings = Self { base: base.clone(), url, seen: None, current: Arc::default() };
        settings.current = settings.with_url(base);
        Ok(settings)
    }

    /// The settings in force.
    pub fn current(&self) -> Arc<Config> {
        self.current.clone()
    }

    /// Takes a ConfigMap in. Settings that cannot be read change nothing: the last good ones stay in force.
    pub fn read(&mut self, map: Option<&ConfigMap>) {
        let version = map.and_then(|map| map.metadata.resource_version.clone());
        if version == self.seen {
            return;
        }
        self.seen = version;
        let Some(map) = map else {
            self.current = self.with_url(self.base.clone());
            return;
        };
        let text = map.data.as_ref().and_then(|data| data.get(KEY)).map(String::as_str).unwrap_or_default();
        match Config::parse(text) {
            Ok(config) => {
                tracing::info!(moves = config.moves.enabled, "settings are in force");
                self.current = self.with_url(config);
            }
            Err(error) => tracing::error!(%error, "the last good settings stay in force"),
        }
    }

    fn with_url(&self, mut config: Config) -> Arc<Config> {
        if let Some(url) = &self.url {
            config.progress.url.clone_from(url);
        }
        Arc::new(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(version: &str, text: &str) -> ConfigMap {
        serde_json::from_value(serde_json::json!({"metadata": {"resourceVersion": version}, "data": {KEY: text}}))
            .unwrap()
    }

    #[test]
    fn a_change_is_in_force_at_once_and_nonsense_changes_nothing() {
        let mut settings = Settings::new(None, Some("https://here:1".into())).unwrap();
        settings.read(Some(&map("1", "moves: {enabled: false}")));
        assert!(!settings.current().moves.enabled);
        settings.read(Some(&map("2", "moves: {enabled: maybe}")));
        assert!(!settings.current().moves.enabled);
        settings.read(Some(&map("3", "moves: {enabled: true}")));
        assert!(settings.current().moves.enabled);
        assert_eq!(settings.current().progress.url, "https://here:1");
    }
}
