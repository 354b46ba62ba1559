//! What a device plugin calls its devices.

/// An accelerator by the id that NVIDIA's device plugin gives it, shares stripped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceId {
    /// A whole GPU, or a share of it (`GPU-<uuid>::N`).
    Gpu(String),
    /// A MIG instance.
    Mig(String),
}

impl DeviceId {
    /// Reads an id. None for what is no accelerator: other plugins hand out devices too, and the resource's name does
    /// not tell, because administrators rename it.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let uuid = id.split_once("::").map_or(id, |(uuid, _)| uuid);
        if uuid.starts_with("GPU-") {
            Some(Self::Gpu(uuid.to_owned()))
        } else if uuid.starts_with("MIG-") {
            Some(Self::Mig(uuid.to_owned()))
        } else {
            None
        }
    }

    /// The UUID as the driver gives it.
    #[must_use]
    pub fn into_uuid(self) -> String {
        match self {
            Self::Gpu(uuid) | Self::Mig(uuid) => uuid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_by_their_form() {
        assert_eq!(DeviceId::parse("GPU-5f2c"), Some(DeviceId::Gpu("GPU-5f2c".to_owned())));
        assert_eq!(DeviceId::parse("GPU-5f2c::3"), Some(DeviceId::Gpu("GPU-5f2c".to_owned())));
        assert_eq!(DeviceId::parse("MIG-77aa::0"), Some(DeviceId::Mig("MIG-77aa".to_owned())));
        assert_eq!(DeviceId::parse("0000:17:00.0"), None);
    }
}
