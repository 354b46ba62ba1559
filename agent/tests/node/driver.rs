//! The agent and the driver.

use std::collections::BTreeMap;

use nvidia_ml_mock::{Code, ProcessState};
use plimsoll_agent::snapshot::DriverState;
use plimsoll_crds::accelerator_node::{Health, SmSignal};

use crate::rig::Rig;

#[tokio::test]
async fn readings_are_those_of_the_driver() {
    let rig = Rig::new();
    let mut agent = rig.work().await;
    let snapshot = agent
        .until_device(0, "SM activity by monitoring", |device| {
            device.reading().and_then(|reading| reading.sm).is_some_and(|sm| sm.signal == SmSignal::Gpm)
        })
        .await;
    assert_eq!(snapshot.driver, DriverState::Present { version: Some("580.95.05".to_owned()) });
    let reading = snapshot.devices[0].reading().unwrap();
    assert_eq!((reading.busy, reading.sm.unwrap().ratio), (Some(0.97), 0.5));
    assert_eq!((reading.tensor, reading.dram), (Some(0.25), Some(0.125)));
    assert_eq!((reading.power_watts, reading.temperature_celsius), (Some(412.5), Some(61)));
    assert_eq!(reading.memory.unwrap().used_bytes, 3 << 30);
    assert_eq!(snapshot.devices[0].energy_total_joules, Some(1_234.5));
    assert_eq!(snapshot.devices[0].identity.memory_total_bytes, Some(80 << 30));
}

#[tokio::test]
async fn a_t4_tells_sm_activity_by_its_processes_and_no_tensor_activity() {
    let mut rig = Rig::new();
    let mut agent = rig.work().await;
    let sm = |ratio| {
        move |device: &plimsoll_agent::snapshot::DeviceSnapshot| {
            let sm = device.reading().and_then(|reading| reading.sm);
            sm.is_some_and(|sm| sm.signal == SmSignal::ProcessSm && sm.ratio == ratio)
        }
    };
    let idle = agent.until_device(1, "an idle T4", sm(0.0)).await;
    assert_eq!(idle.devices[1].reading().unwrap().tensor, None);
    let process = |pid, sm_percent| ProcessState { pid, sm_percent, memory_used_bytes: 1 << 30 };
    rig.change(1, |gpu| gpu.processes = vec![process(7, 40), process(8, 25)]);
    agent.until_device(1, "two processes", sm(0.65)).await;
}

#[tokio::test]
async fn what_a_device_cannot_tell_is_absent_and_energy_comes_from_power() {
    let mut rig = Rig::new();
    rig.change(1, |gpu| {
        gpu.errors = BTreeMap::from([
            ("nvmlDeviceGetTotalEnergyConsumption".to_owned(), Code::NOT_SUPPORTED),
            ("nvmlDeviceGetTemperature".to_owned(), Code::NOT_SUPPORTED),
        ]);
    });
    let mut agent = rig.work().await;
    let snapshot = agent
        .until_device(1, "energy from power", |device| device.energy_total_joules.is_some_and(|joules| joules > 0.0))
        .await;
    assert_eq!(snapshot.devices[1].reading().unwrap().temperature_celsius, None);
    assert_eq!(snapshot.devices[1].health, Health::Healthy);
}

#[tokio::test]
async fn a_lost_device_is_failed_and_its_neighbour_goes_on() {
    let mut rig = Rig::new();
    let mut agent = rig.work().await;
    agent.until_device(0, "a first reading", |device| device.reading().is_some()).await;
    rig.change(0, |gpu| {
        gpu.errors = BTreeMap::from([("nvmlDeviceGetMemoryInfo_v2".to_owned(), Code::GPU_IS_LOST)]);
    });
    let lost = agent.until_device(0, "the loss", |device| device.health == Health::Failed).await;
    let before = lost.devices[1].latest.unwrap().0;
    agent.until_device(1, "another reading", |device| device.latest.unwrap().0 > before).await;
    let (_, text) = agent.get("/metrics").await;
    assert!(text.contains(r#"plimsoll_gpu_health{gpu_uuid="GPU-0",node="node-1",state="failed"} 1"#), "{text}");
    assert!(!text.contains(r#"plimsoll_gpu_busy_ratio{gpu_uuid="GPU-0""#), "{text}");
}

#[tokio::test]
async fn a_driver_that_hangs_under_one_device_keeps_no_other_waiting() {
    let mut rig = Rig::new();
    rig.change(0, |gpu| gpu.hang_seconds = BTreeMap::from([("nvmlDeviceGetPowerUsage".to_owned(), 3600.0)]));
    let mut agent = rig.work().await;
    let hung = agent.until_device(0, "silence", |device| device.health == Health::Unresponsive).await;
    let before = hung.devices[1].latest.unwrap().0;
    let snapshot = agent.until_device(1, "another reading", |device| device.latest.unwrap().0 > before).await;
    assert_eq!(snapshot.devices[1].health, Health::Healthy);
    assert_eq!(agent.get("/livez").await.0, 200);

    rig.change(0, |gpu| gpu.hang_seconds.clear());
    agent.until_device(0, "an answer at last", |device| device.reading().is_some()).await;
}

#[tokio::test]
async fn a_device_that_was_lost_may_come_back() {
    let mut rig = Rig::new();
    rig.change(0, |gpu| {
        gpu.errors = BTreeMap::from([("nvmlDeviceGetPowerUsage".to_owned(), Code::RESET_REQUIRED)]);
    });
    let mut agent = rig.work().await;
    agent.until_device(0, "the need of a reset", |device| device.health == Health::Failed).await;
    rig.change(0, |gpu| gpu.errors.clear());
    agent.until_device(0, "a reading", |device| device.reading().is_some()).await;
}

#[tokio::test]
async fn a_hang_in_monitoring_leaves_the_others_their_second_best_signal() {
    let mut rig = Rig::new();
    rig.change(0, |gpu| gpu.hang_seconds = BTreeMap::from([("nvmlGpmSampleGet".to_owned(), 3600.0)]));
    rig.change(1, |gpu| gpu.gpm = true);
    let mut agent = rig.work().await;
    agent.until_device(0, "silence", |device| device.health == Health::Unresponsive).await;
    let signal = |signal| {
        move |device: &plimsoll_agent::snapshot::DeviceSnapshot| {
            device.reading().and_then(|reading| reading.sm).is_some_and(|sm| sm.signal == signal)
        }
    };
    agent.until_device(1, "process samples", signal(SmSignal::ProcessSm)).await;
    rig.change(0, |gpu| gpu.hang_seconds.clear());
    agent.until_device(1, "monitoring", signal(SmSignal::Gpm)).await;
}

#[tokio::test]
async fn a_scrape_calls_neither_the_driver_nor_waits_for_it() {
    let mut rig = Rig::new();
    // One look, and none after it.
    rig.settings.sample_interval = std::time::Duration::from_secs(3600);
    rig.settings.driver_timeout = std::time::Duration::from_secs(7200);
    let mut agent = rig.work().await;
    agent
        .until("the first look", |snapshot| {
            !snapshot.devices.is_empty() && snapshot.devices.iter().all(|device| device.latest.is_some())
        })
        .await;
    let calls = rig.driver_calls();
    assert!(calls > 10);
    for _ in 0..50 {
        let (code, text) = agent.get("/metrics").await;
        assert_eq!(code, 200);
        assert!(text.contains(r#"plimsoll_gpu_busy_ratio{gpu_uuid="GPU-0",node="node-1"} 0.97"#), "{text}");
    }
    assert_eq!(rig.driver_calls(), calls);
}

#[tokio::test]
async fn without_a_driver_the_agent_says_so_and_finds_it_later() {
    let rig = Rig::new();
    rig.kubelet.serve(&rig.settings.pod_resources_socket);
    let mut agent = rig.work_without_help().await;
    agent.until("no driver", |snapshot| snapshot.driver == DriverState::Missing).await;
    let (code, body) = agent.get("/readyz").await;
    assert_eq!(code, 503);
    assert!(body.contains("driver: failed to start driver library"), "{body}");
    assert_eq!(agent.get("/livez").await.0, 200);
    assert!(agent.get("/metrics").await.1.contains(r#"plimsoll_agent_driver_up{node="node-1"} 0"#));

    rig.install_driver();
    agent.until("a driver", |snapshot| snapshot.devices.len() == 2).await;
    assert!(agent.get("/metrics").await.1.contains(r#"plimsoll_agent_driver_up{node="node-1"} 1"#));
}

#[tokio::test]
async fn a_driver_without_a_device_is_a_fault_until_one_appears() {
    let mut rig = Rig::new();
    let devices = std::mem::take(&mut rig.state.gpus);
    rig.write_state();
    let mut agent = rig.work().await;
    agent.until("no device", |snapshot| snapshot.driver == DriverState::Missing).await;
    let (code, body) = agent.get("/readyz").await;
    assert_eq!(code, 503);
    assert!(body.contains("driver: failed to find a device"), "{body}");
    rig.state.gpus = devices;
    rig.write_state();
    agent.until("the devices", |snapshot| snapshot.devices.len() == 2).await;
}
