//! The agent and the kubelet.

use plimsoll_agent::attribution::Attribution;

use crate::rig::Rig;

#[tokio::test]
async fn holders_are_those_of_the_kubelet_and_go_with_their_pods() {
    let rig = Rig::new();
    rig.kubelet.set(&[("a-r1-0", &["GPU-0"]), ("notebook", &["GPU-1::0"]), ("web", &["eth0"])]);
    let mut agent = rig.work().await;
    agent.until("holders", |snapshot| !snapshot.devices.is_empty() && snapshot.attribution.all().count() == 2).await;
    let series = |uuid, pod| {
        format!(
            "plimsoll_gpu_allocated{{container=\"train\",gpu_uuid=\"{uuid}\",namespace=\"lab\",node=\"node-1\",pod=\"{pod}\"}} 1"
        )
    };
    let (_, text) = agent.get("/metrics").await;
    assert!(text.contains(&series("GPU-0", "a-r1-0")) && text.contains(&series("GPU-1", "notebook")), "{text}");

    rig.kubelet.set(&[("a-r1-0", &["GPU-0"])]);
    agent.until("one holder", |snapshot| snapshot.attribution.all().count() == 1).await;
    let (_, text) = agent.get("/metrics").await;
    assert!(text.contains(&series("GPU-0", "a-r1-0")) && !text.contains("notebook"), "{text}");
}

#[tokio::test]
async fn a_window_begins_with_its_holder() {
    let mut rig = Rig::new();
    rig.kubelet.set(&[("a-r1-0", &["GPU-0"])]);
    let mut agent = rig.work().await;
    let full = agent.until_device(0, "a full window", |device| device.window.is_some_and(|w| w.full)).await;
    let busy = full.devices[0].window.unwrap().busy.unwrap();
    assert!((busy - 0.97).abs() < 1e-9, "{busy}");

    // The next holder does nothing; what the last one did must not be its doing.
    rig.change(0, |gpu| gpu.busy_percent = 0);
    agent.until_device(0, "idleness", |device| device.reading().is_some_and(|reading| reading.busy == Some(0.0))).await;
    rig.kubelet.set(&[("b-r1-0", &["GPU-0"])]);
    let fresh = agent
        .until("a window of the next holder", |snapshot| {
            let holders = snapshot.attribution.holders("GPU-0");
            let window = snapshot.devices[0].window;
            holders.first().is_some_and(|holder| holder.pod == "b-r1-0") && window.is_some_and(|w| !w.full)
        })
        .await;
    assert_eq!(fresh.devices[0].window.unwrap().busy, Some(0.0));
}

#[tokio::test]
async fn a_kubelet_that_restarts_cuts_no_window_and_is_heard_again() {
    let rig = Rig::new();
    rig.install_driver();
    rig.kubelet.set(&[("a-r1-0", &["GPU-0"])]);
    let socket = &rig.settings.pod_resources_socket;
    let serving = rig.kubelet.serve(socket);
    let mut agent = rig.work_without_help().await;
    agent.until_device(0, "a full window", |device| device.window.is_some_and(|window| window.full)).await;
    agent.until("the holder", |snapshot| snapshot.attribution.holders("GPU-0").len() == 1).await;

    serving.stop(socket).await;
    agent.until_metric("plimsoll_agent_attribution_polls_total", "outcome=\"failed\"").await;
    let still = agent.until("a snapshot", |_| true).await;
    assert_eq!(still.attribution.holders("GPU-0")[0].pod, "a-r1-0");
    assert!(still.devices[0].window.unwrap().full);

    rig.kubelet.set(&[("b-r1-0", &["GPU-0"])]);
    rig.kubelet.serve(socket);
    agent
        .until("the next holder", |snapshot| {
            snapshot.attribution.holders("GPU-0").first().is_some_and(|holder| holder.pod == "b-r1-0")
        })
        .await;
}

#[tokio::test]
async fn a_device_is_held_when_one_of_its_instances_is() {
    let mut rig = Rig::new();
    rig.change(0, |gpu| gpu.instances = vec!["MIG-7".to_owned(), "MIG-8".to_owned()]);
    rig.kubelet.set(&[("a-r1-0", &["MIG-8"])]);
    let mut agent = rig.work().await;
    let status = agent.api.status(|status| status["heldCount"] == 1).await;
    assert_eq!(status["devices"][0]["holder"]["pod"], "a-r1-0");
}

#[tokio::test]
async fn without_the_kubelet_holders_are_unknown_and_nothing_is_called_free() {
    let rig = Rig::new();
    rig.install_driver();
    let mut agent = rig.work_without_help().await;
    agent.until_device(0, "a reading", |device| device.reading().is_some()).await;
    assert!(!agent.until("a snapshot", |_| true).await.attribution.is_known());
    assert_eq!(agent.api.waiting(), 0, "a status without holders would say that everything is free");

    rig.kubelet.serve(&rig.settings.pod_resources_socket);
    let known = agent.until("the kubelet", |snapshot| snapshot.attribution.is_known()).await;
    assert!(matches!(&*known.attribution, Attribution::Known(holders) if holders.is_empty()));
    let status = agent.api.status(|_| true).await;
    assert_eq!((&status["deviceCount"], &status["heldCount"]), (&2.into(), &0.into()));
    assert_eq!(agent.get("/readyz").await, (200, "ok\n".to_owned()));
}
