//! The profiles and workloads that stand in the repository: traces/SOURCE.md has their origin and licence.

use std::collections::BTreeMap;

use crate::profile::ProfileText;

/// A file of the profile of an application.
macro_rules! file {
    ($application:literal, $($name:literal),+) => {
        include_str!(concat!("../traces/pollux-osdi21/profiles/", $application, "/", $($name),+))
    };
}

/// A profile on T4: its application and the batches that its validation runs have.
macro_rules! profile {
    ($application:literal, $($batch:literal),+) => {
        (
            $application.to_owned(),
            ProfileText {
                validation: vec![$(($batch as f64, file!($application, "validation-", $batch, ".csv").to_owned())),+],
                kinds: BTreeMap::from([(
                    "t4".to_owned(),
                    (file!($application, "placements.csv").to_owned(), file!($application, "scalability.csv").to_owned()),
                )]),
            },
        )
    };
}

/// The six applications of the Pollux paper, on T4.
pub fn profiles() -> BTreeMap<String, ProfileText> {
    BTreeMap::from([
        profile!("bert", 12, 24, 48, 96, 192, 384),
        profile!("cifar10", 128, 256, 512, 1024, 2048, 4096),
        profile!("deepspeech2", 20, 40, 80, 160, 320, 640),
        profile!("imagenet", 200, 400, 800, 1600, 3200, 6400, 12800),
        profile!("ncf", 256, 512, 1024, 2048, 4096, 8192, 16384, 32768),
        profile!("yolov3", 8, 16, 32, 64, 128, 256, 512),
    ])
}

/// The eight workloads of the Pollux paper, each as name and text.
pub const WORKLOADS: [(&str, &str); 8] = [
    ("pollux-1", include_str!("../traces/pollux-osdi21/workloads/workload-1.csv")),
    ("pollux-2", include_str!("../traces/pollux-osdi21/workloads/workload-2.csv")),
    ("pollux-3", include_str!("../traces/pollux-osdi21/workloads/workload-3.csv")),
    ("pollux-4", include_str!("../traces/pollux-osdi21/workloads/workload-4.csv")),
    ("pollux-5", include_str!("../traces/pollux-osdi21/workloads/workload-5.csv")),
    ("pollux-6", include_str!("../traces/pollux-osdi21/workloads/workload-6.csv")),
    ("pollux-7", include_str!("../traces/pollux-osdi21/workloads/workload-7.csv")),
    ("pollux-8", include_str!("../traces/pollux-osdi21/workloads/workload-8.csv")),
];
