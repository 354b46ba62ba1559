//! The certificate of the progress endpoint, and the authority that signs it. Client required.
//!
//! Both stand in one Secret, so that replicas share them and a restart changes nothing that a running pod trusts. The
//! authority stays; the serving certificate is signed anew when its names change or its end is near.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use plimsoll_crds::labels;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// Name of the Secret.
pub const SECRET: &str = "plimsoll-progress-tls";
/// Names that the serving certificate is for.
const NAMES: &str = "plimsoll.dev/serving-names";
/// When the serving certificate ends.
const ENDS: &str = "plimsoll.dev/serving-ends";
/// Days for which a serving certificate holds.
const DAYS: i64 = 365;
/// Days before its end at which it is signed anew.
const RENEW_DAYS: i64 = 60;
/// Tries to agree with another replica that does the same.
const TRIES: usize = 5;

/// The certificate could not be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It could not be made.
    #[error("failed to make a certificate")]
    Make(#[from] rcgen::Error),
    /// The Secret could not be read or written.
    #[error("failed to {verb} Secret {namespace}/{SECRET}")]
    Secret {
        /// What was to be done.
        verb: &'static str,
        /// Where.
        namespace: String,
        /// What the apiserver said.
        #[source]
        source: Box<kube::Error>,
    },
    /// Replicas write it in turn.
    #[error("failed to agree on Secret {namespace}/{SECRET} with another replica")]
    Contended {
        /// Where.
        namespace: String,
    },
}

/// PEM texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// The authority.
    pub authority: String,
    /// Its key.
    pub authority_key: String,
    /// The serving certificate.
    pub serving: String,
    /// Its key.
    pub serving_key: String,
}

/// Reads the certificates, or makes and stores them.
///
/// # Errors
/// When they can neither be read nor stored.
pub async fn ensure(
    client: &Client,
    namespace: &str,
    names: &[String],
    now: Timestamp,
) -> Result<Certificates, TlsError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let failed =
        |verb| move |source| TlsError::Secret { verb, namespace: namespace.to_owned(), source: Box::new(source) };
    for _ in 0..TRIES {
        let stored = api.get_opt(SECRET).await.map_err(failed("read"))?;
        let kept = stored.as_ref().and_then(read);
        if let Some(certificates) = kept.clone()
            && stored.as_ref().is_some_and(|secret| is_current(secret, names, now))
        {
            return Ok(certificates);
        }
        let certificates = make(kept, names, now)?;
        let secret = written(&certificates, stored.as_ref(), names, now);
        let params = PostParams::default();
        let result = match stored {
            // The version that was read is in it: whoever wrote since then is not overwritten.
            Some(_) => api.patch(SECRET, &PatchParams::default(), &Patch::Merge(&secret)).await,
            None => api.create(&params, &secret).await,
        };
        match result {
            Ok(_) => return Ok(certificates),
            // Another replica was faster: what it stored holds for both.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(source) => return Err(failed("write")(source)),
        }
    }
    Err(TlsError::Contended { namespace: namespace.into() })
}

/// Names that the endpoint is reached by: the host of its URL, the usual ones of its Service, and this machine.
pub fn names(url: &str, namespace: &str) -> Vec<String> {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', '?']).next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let service = format!("plimsoll-progress.{namespace}.svc");
    let mut names = vec![host.to_owned(), service.clone(), format!("{service}.cluster.local")];
    names.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    names
}

fn read(secret: &Secret) -> Option<Certificates> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    Some(Certificates {
        authority: text("ca.crt")?,
        authority_key: text("ca.key")?,
        serving: text("tls.crt")?,
        serving_key: text("tls.key")?,
    })
}

fn is_current(secret: &Secret, names: &[String], now: Timestamp) -> bool {
    let annotations = secret.annotations();
    let same = annotations.get(NAMES).is_some_and(|stored| *stored == names.join(","));
    let ends = annotations.get(ENDS).and_then(|text| text.parse::<Timestamp>().ok());
    let renew = SignedDuration::from_hours(24 * RENEW_DAYS);
    same && ends.and_then(|at| at.checked_sub(renew).ok()).is_some_and(|at| now < at)
}

fn written(certificates: &Certificates, old: Option<&Secret>, names: &[String], now: Timestamp) -> Secret {
    let Certificates { authority, authority_key, serving, serving_key } = certificates;
    let bytes = |text: &String| ByteString(text.clone().into_bytes());
    let data = [("ca.crt", authority), ("ca.key", authority_key), ("tls.crt", serving), ("tls.key", serving_key)];
    let mut metadata = old.map_or_else(
        || ObjectMeta { name: Some(SECRET.into()), ..ObjectMeta::default() },
        |secret| ObjectMeta { managed_fields: None, ..secret.metadata.clone() },
    );
    let marks = metadata.annotations.get_or_insert_default();
    marks.insert(NAMES.into(), names.join(","));
    marks.insert(ENDS.into(), days_after(now, DAYS).to_string());
    let texts = metadata.labels.get_or_insert_default();
    texts.insert(labels::PART_OF.into(), "plimsoll".into());
    Secret {
        metadata,
        data: Some(data.map(|(key, text)| (key.to_owned(), bytes(text))).into_iter().collect::<BTreeMap<_, _>>()),
        type_: old.map_or_else(|| Some("Opaque".into()), |secret| secret.type_.clone()),
        ..Secret::default()
    }
}

/// Signs a serving certificate with the authority that is kept, or with a new one.
fn make(kept: Option<Certificates>, names: &[String], now: Timestamp) -> Result<Certificates, rcgen::Error> {
    let (authority, authority_key) = match kept {
        Some(kept) => (kept.authority, kept.authority_key),
        None => make_authority(now)?,
    };
    // The issuer is told by name and key, which are the same for as long as the authority is.
    let issuer = Issuer::new(authority_params(), KeyPair::from_pem(&authority_key)?);
    let mut params = CertificateParams::new(names.to_vec())?;
    let first = names.iter().find(|name| name.parse::<IpAddr>().is_err() && name.len() <= 64);
    params.distinguished_name.push(DnType::CommonName, first.map_or("plimsoll-progress", String::as_str));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    valid(&mut params, now, DAYS);
    let key = KeyPair::generate()?;
    let serving = params.signed_by(&key, &issuer)?;
    Ok(Certificates { serving: serving.pem(), serving_key: key.serialize_pem(), authority, authority_key })
}

fn make_authority(now: Timestamp) -> Result<(String, String), rcgen::Error> {
    let mut params = authority_params();
    valid(&mut params, now, 10 * DAYS);
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Plimsoll progress authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

/// Valid from yesterday, so that clocks may differ, for so many days.
fn valid(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let date = |at: Timestamp| {
        let date = at.to_zoned(TimeZone::UTC).date();
        (i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    let ((year, month, day), (end_year, end_month, end_day)) = (date(days_after(now, -1)), date(days_after(now, days)));
    params.not_before = date_time_ymd(year, month, day);
    params.not_after = date_time_ymd(end_year, end_month, end_day);
}

fn days_after(now: Timestamp, days: i64) -> Timestamp {
    now.checked_add(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-25T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_host_of_the_url_is_among_the_names() {
        let names = names("https://progress.example.com:8443/x", "plimsoll-system");
        assert!(names.contains(&"progress.example.com".to_owned()));
        assert!(names.contains(&"plimsoll-progress.plimsoll-system.svc".to_owned()));
        assert!(super::names("https://[::1]:1", "a").contains(&"::1".to_owned()));
        assert!(super::names("https://10.0.0.1", "a").contains(&"10.0.0.1".to_owned()));
    }

    #[test]
    fn a_new_serving_certificate_keeps_the_authority() {
        let first = make(None, &names("https://a:1", "ns"), now()).unwrap();
        let second = make(Some(first.clone()), &names("https://b:1", "ns"), now()).unwrap();
        assert_eq!((&first.authority, &first.authority_key), (&second.authority, &second.authority_key));
        assert_ne!(first.serving, second.serving);
    }

    #[test]
    fn what_is_stored_is_read_back_and_is_current_until_names_or_time_change() {
        let names = names("https://a:1", "ns");
        let made = make(None, &names, now()).unwrap();
        let secret = written(&made, None, &names, now());
        assert_eq!(read(&secret), Some(made));
        assert!(is_current(&secret, &names, now()));
        assert!(!is_current(&secret, &["other".to_owned()], now()));
        assert!(!is_current(&secret, &names, days_after(now(), DAYS - RENEW_DAYS + 1)));
    }
}
