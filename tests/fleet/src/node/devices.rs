//! The devices of one node: who holds which, and what each does.

use std::collections::BTreeMap;

use crate::truth::hash;

/// The resource that a device plugin of NVIDIA offers.
pub const RESOURCE: &str = "nvidia.com/gpu";

/// Devices of one node. Every device is held by one container at most.
#[derive(Debug, Default)]
pub struct Devices {
    all: Vec<Device>,
}

/// One device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its UUID, always the same for a node and an index.
    pub uuid: String,
    /// The container that holds it.
    pub holder: Option<Holder>,
    /// What it does.
    pub load: Load,
    /// Energy since the fleet was started, in millijoules.
    pub energy_millijoules: u64,
}

/// The container that holds a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// UID of its pod.
    pub uid: String,
    /// Namespace of its pod.
    pub namespace: String,
    /// Name of its pod.
    pub pod: String,
    /// Its name.
    pub container: String,
}

/// What a device does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Share of time in which a kernel is resident, 0 to 1.
    pub busy: f64,
    /// SM activity, 0 to 1.
    pub sm: f64,
    /// Memory in use by the program, its context included, in bytes.
    pub memory_bytes: u64,
}

/// The node has fewer devices free than were asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Allocate failed due to requested number of devices unavailable for {RESOURCE}. Requested: {requested}, \
     Available: {available}, which is unexpected"
)]
pub struct Unavailable {
    /// How many were asked for.
    pub requested: usize,
    /// How many are free.
    pub available: usize,
}

impl Devices {
    /// The devices of a node.
    pub fn of(node: &str, count: u32) -> Self {
        let device =
            |index| Device { uuid: uuid(node, index), holder: None, load: Load::default(), energy_millijoules: 0 };
        Self { all: (0..count).map(device).collect() }
    }

    /// All of them, by index.
    pub fn all(&self) -> &[Device] {
        &self.all
    }

    /// All of them, to be changed.
    pub fn all_mut(&mut self) -> &mut [Device] {
        &mut self.all
    }

    /// Gives a pod's containers their devices, all or none. A pod that has some already keeps them: a kubelet that is
    /// asked twice answers the same.
    ///
    /// # Errors
    /// When too few are free.
    pub fn allocate(&mut self, wanted: &[(Holder, u32)]) -> Result<Vec<usize>, Unavailable> {
        let uid = wanted.first().map(|(holder, _)| holder.uid.as_str()).unwrap_or_default();
        let has = self.held_by(uid);
        if !has.is_empty() {
            return Ok(has);
        }
        let requested = wanted.iter().map(|(_, count)| *count as usize).sum();
        let free: Vec<usize> = (0..self.all.len()).filter(|i| self.all[*i].holder.is_none()).collect();
        if free.len() < requested {
            return Err(Unavailable { requested, available: free.len() });
        }
        let holders = wanted.iter().flat_map(|(holder, count)| std::iter::repeat_n(holder, *count as usize));
        let given: Vec<usize> = free.into_iter().take(requested).collect();
        for (index, holder) in given.iter().zip(holders) {
            self.all[*index].holder = Some(holder.clone());
        }
        Ok(given)
    }

    /// Takes all devices back from a pod.
    pub fn release(&mut self, uid: &str) {
        for device in self.all.iter_mut().filter(|d| d.holder.as_ref().is_some_and(|h| h.uid == uid)) {
            device.holder = None;
            device.load = Load::default();
        }
    }

    /// Lets the devices of a pod do something.
    pub fn work(&mut self, uid: &str, load: Load) {
        for device in self.all.iter_mut().filter(|d| d.holder.as_ref().is_some_and(|h| h.uid == uid)) {
            device.load = load;
        }
    }

    /// Takes over who holds what and what it does, by UUID; a device that is not named is free.
    pub fn assign(&mut self, uses: &BTreeMap<String, (Holder, Load)>) {
        for device in &mut self.all {
            let used = uses.get(&device.uuid).cloned();
            (device.holder, device.load) = used.map(|(holder, load)| (Some(holder), load)).unwrap_or_default();
        }
    }

    fn held_by(&self, uid: &str) -> Vec<usize> {
        let is_held = |i: &usize| self.all[*i].holder.as_ref().is_some_and(|holder| holder.uid == uid);
        (0..self.all.len()).filter(is_held).collect()
    }
}

/// A UUID as a driver writes it, from the node's name and the device's index.
fn uuid(node: &str, index: u32) -> String {
    let words = [node, &index.to_string()];
    let hex = format!("{:016x}{:016x}", hash(0, &words), hash(1, &words));
    format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn holder(uid: &str) -> Holder {
        Holder { uid: uid.into(), namespace: "ns".into(), pod: format!("pod-{uid}"), container: "train".into() }
    }

    #[test]
    fn uuids_differ_and_stay() {
        let uuids: BTreeSet<String> = (0..8).map(|index| uuid("h100-0", index)).collect();
        assert_eq!(uuids.len(), 8);
        assert_eq!(uuid("h100-0", 0), uuid("h100-0", 0));
        assert_ne!(uuid("h100-0", 0), uuid("h100-1", 0));
        assert_eq!(uuid("h100-0", 0).len(), "GPU-".len() + 36);
    }

    #[test]
    fn no_device_is_given_twice() {
        let mut devices = Devices::of("n", 8);
        let first = devices.allocate(&[(holder("a"), 3)]).unwrap();
        let second = devices.allocate(&[(holder("b"), 5)]).unwrap();
        let both: BTreeSet<usize> = first.iter().chain(&second).copied().collect();
        assert_eq!(both.len(), 8);
        assert_eq!(devices.allocate(&[(holder("c"), 1)]), Err(Unavailable { requested: 1, available: 0 }));
        devices.release("a");
        assert_eq!(devices.allocate(&[(holder("c"), 4)]), Err(Unavailable { requested: 4, available: 3 }));
        assert_eq!(devices.allocate(&[(holder("c"), 3)]).unwrap(), first);
    }

    #[test]
    fn a_pod_that_is_admitted_again_keeps_its_devices() {
        let mut devices = Devices::of("n", 4);
        let given = devices.allocate(&[(holder("a"), 2)]).unwrap();
        assert_eq!(devices.allocate(&[(holder("a"), 2)]).unwrap(), given);
        assert_eq!(devices.all().iter().filter(|d| d.holder.is_some()).count(), 2);
    }

    #[test]
    fn a_device_that_nobody_is_said_to_hold_is_free() {
        let mut devices = Devices::of("n", 2);
        let load = Load { busy: 1.0, sm: 0.5, memory_bytes: 7 };
        devices.assign(&BTreeMap::from([(devices.all()[1].uuid.clone(), (holder("a"), load))]));
        assert_eq!((devices.all()[0].holder.as_ref(), devices.all()[1].load), (None, load));
        devices.assign(&BTreeMap::new());
        assert_eq!((devices.all()[1].holder.as_ref(), devices.all()[1].load), (None, Load::default()));
    }

    #[test]
    fn a_released_device_does_nothing() {
        let mut devices = Devices::of("n", 1);
        devices.allocate(&[(holder("a"), 1)]).unwrap();
        devices.work("a", Load { busy: 1.0, sm: 0.5, memory_bytes: 7 });
        assert_eq!(devices.all()[0].load.memory_bytes, 7);
        devices.release("a");
        assert_eq!(devices.all()[0].load, Load::default());
    }
}
