//! What a training program reads from its pod. Pure.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Volume};
use plimsoll_protocol::env;

use crate::pod::{annotation, trainer, variables};

/// What a training program reads from its pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Pods that take part.
    pub pods: u32,
    /// Which revision it is.
    pub revision: u32,
    /// Samples that one data-parallel rank computes at once.
    pub micro_batch: u32,
    /// Micro-batches whose gradients are summed.
    pub accumulation: u32,
    /// Samples in one optimizer step over all ranks.
    pub global_batch: u32,
    /// Data-parallel ranks.
    pub data: u32,
    /// Tensor-parallel ranks.
    pub tensor: u32,
    /// What the ranks share out.
    pub sharding: String,
    /// What is computed again in the backward pass.
    pub recompute: String,
    /// Where it writes checkpoints; empty when it does not.
    pub checkpoint_dir: String,
    /// Where it resumes from; empty at the first start.
    pub resume_dir: String,
    /// Where it reports, if it can.
    pub report: Option<ReportTo>,
    /// What its job really needs, by name: annotation `fleet.plimsoll.dev/profile`.
    pub profile: String,
    /// Whether it reads its batch again in the loop: annotation `fleet.plimsoll.dev/live`.
    pub live: bool,
    /// Whether it writes a checkpoint on SIGTERM: annotation `fleet.plimsoll.dev/on-signal`.
    pub on_signal: bool,
    /// How long it writes a checkpoint: annotation `fleet.plimsoll.dev/checkpoint-seconds`.
    pub checkpoint_time: Duration,
    /// Training time between two checkpoints of its own, in seconds: annotation
    /// `fleet.plimsoll.dev/checkpoint-interval-seconds`.
    pub checkpoint_interval: f64,
}

/// Where a program reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportTo {
    /// The whole URL.
    pub url: String,
    /// Audience of its token; that of the apiserver unless given.
    pub audience: Option<String>,
    /// ConfigMap and key with the certificate authority.
    pub authority: Option<(String, String)>,
}

/// The pod does not say what the program needs.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// There is no container that trains.
    #[error("failed to find a container that trains")]
    NoTrainer,
    /// A variable is not set or no number.
    #[error("failed to read {name}: {value:?} is not a whole number above 0")]
    Number {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
}

impl Settings {
    /// Reads a pod.
    ///
    /// # Errors
    /// When it does not say how to train.
    pub fn of(pod: &Pod) -> Result<Self, SettingsError> {
        let container = trainer(pod).ok_or(SettingsError::NoTrainer)?;
        let known = variables(pod, container);
        let text = |name: &str| known.get(name).cloned().unwrap_or_default();
        let number = |name: &'static str| number(&known, name);
        let note = |key: &str| annotation(pod, &format!("fleet.plimsoll.dev/{key}"));
        let seconds =
            |key: &str, default: f64| note(key).and_then(|value| f64::from_str(value).ok()).unwrap_or(default);
        Ok(Self {
            pods: number("PET_NNODES")?,
            revision: number(env::REVISION)?,
            micro_batch: number(env::MICRO_BATCH)?,
            accumulation: number(env::GRADIENT_ACCUMULATION_STEPS)?,
            global_batch: number(env::GLOBAL_BATCH)?,
            data: number(env::DP)?,
            tensor: number(env::TP)?,
            sharding: text(env::SHARDING),
            recompute: text(env::RECOMPUTE),
            checkpoint_dir: text(env::CHECKPOINT_DIR),
            resume_dir: text(env::RESUME_DIR),
            report: report_to(pod, &known),
            profile: note("profile").unwrap_or_default().to_owned(),
            live: note("live") == Some("true"),
            on_signal: note("on-signal") != Some("false"),
            checkpoint_time: Duration::try_from_secs_f64(seconds("checkpoint-seconds", 1.0)).unwrap_or_default(),
            checkpoint_interval: seconds("checkpoint-interval-seconds", 300.0),
        })
    }
}

fn number(known: &BTreeMap<String, String>, name: &'static str) -> Result<u32, SettingsError> {
    let value = known.get(name).cloned().unwrap_or_default();
    match value.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(SettingsError::Number { name, value }),
    }
}

fn report_to(pod: &Pod, known: &BTreeMap<String, String>) -> Option<ReportTo> {
    let url = known.get(env::SERVER_URL).filter(|url| !url.is_empty())?.clone();
    let file = |name: &str| known.get(name).map(String::as_str).unwrap_or_default();
    let volumes = || pod.spec.iter().filter_map(|spec| spec.volumes.as_ref()).flatten();
    Some(ReportTo {
        url,
        audience: volumes().find_map(|volume| audience(volume, file(env::SERVER_TOKEN))),
        authority: volumes().find_map(|volume| authority(volume, file(env::SERVER_CA_CERT))),
    })
}

/// The audience of the projected token whose file has this name.
fn audience(volume: &Volume, file: &str) -> Option<String> {
    let tokens = sources(volume).filter_map(|source| source.service_account_token.as_ref());
    tokens.filter(|token| ends_with(file, &token.path)).find_map(|token| token.audience.clone())
}

/// The projected ConfigMap and its key whose file has this name.
fn authority(volume: &Volume, file: &str) -> Option<(String, String)> {
    let maps = sources(volume).filter_map(|source| source.config_map.as_ref());
    maps.flat_map(|map| map.items.iter().flatten().map(|item| (map.name.clone(), item)))
        .find(|(_, item)| ends_with(file, &item.path))
        .map(|(name, item)| (name, item.key.clone()))
}

fn sources(volume: &Volume) -> impl Iterator<Item = &k8s_openapi::api::core::v1::VolumeProjection> {
    volume.projected.iter().filter_map(|projected| projected.sources.as_ref()).flatten()
}

fn ends_with(file: &str, path: &str) -> bool {
    file.strip_suffix(path).is_some_and(|folder| folder.ends_with('/'))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A pod as the operator builds it.
    pub(in crate::program) fn pod() -> Pod {
        let folder = "/var/run/secrets/plimsoll.dev";
        let variables = [
            ("PLIMSOLL_REVISION", "2"),
            ("PLIMSOLL_MICRO_BATCH", "8"),
            ("PLIMSOLL_GRADIENT_ACCUMULATION_STEPS", "4"),
            ("PLIMSOLL_GLOBAL_BATCH", "256"),
            ("PLIMSOLL_DP", "8"),
            ("PLIMSOLL_TP", "1"),
            ("PLIMSOLL_SHARDING", "None"),
            ("PLIMSOLL_RECOMPUTE", "None"),
            ("PLIMSOLL_CHECKPOINT_DIR", "/checkpoints/a/r2"),
            ("PLIMSOLL_RESUME_DIR", "/checkpoints/a/r1"),
            ("KUBEFLOW_TRAINER_SERVER_URL", "https://127.0.0.1:8443/v1alpha1/namespaces/n/trainingjobs/a/status"),
            ("KUBEFLOW_TRAINER_SERVER_TOKEN", &format!("{folder}/token")),
            ("KUBEFLOW_TRAINER_SERVER_CA_CERT", &format!("{folder}/ca.crt")),
            ("PET_NNODES", "2"),
        ]
        .map(|(name, value)| json!({"name": name, "value": value}));
        serde_json::from_value(json!({
            "metadata": {"name": "a-r2-0", "namespace": "n", "uid": "u",
                "annotations": {"fleet.plimsoll.dev/profile": "cifar10", "fleet.plimsoll.dev/live": "true"}},
            "spec": {
                "containers": [{"name": "side"},
                    {"name": "t", "env": variables, "resources": {"limits": {"nvidia.com/gpu": "4"}}}],
                "volumes": [{"name": "plimsoll-report", "projected": {"sources": [
                    {"serviceAccountToken": {"audience": "plimsoll.dev/n/a", "path": "token"}},
                    {"configMap": {"name": "plimsoll-progress-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                ]}}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_program_reads_its_pod() {
        let settings = Settings::of(&pod()).unwrap();
        assert_eq!((settings.pods, settings.revision, settings.micro_batch, settings.accumulation), (2, 2, 8, 4));
        assert_eq!((settings.live, settings.on_signal, settings.profile.as_str()), (true, true, "cifar10"));
        let report = settings.report.unwrap();
        assert_eq!(report.audience.as_deref(), Some("plimsoll.dev/n/a"));
        assert_eq!(report.authority, Some(("plimsoll-progress-ca".to_owned(), "ca.crt".to_owned())));
    }

    #[test]
    fn a_program_cannot_train_without_its_batch() {
        let mut pod = pod();
        pod.spec.as_mut().unwrap().containers[1].env.as_mut().unwrap().remove(1);
        let error = SettingsError::Number { name: "PLIMSOLL_MICRO_BATCH", value: String::new() };
        assert_eq!(Settings::of(&pod), Err(error));
    }
}
