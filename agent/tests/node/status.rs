//! The agent and the apiserver.

use std::time::Duration;

use crate::rig::{PATIENCE, Rig};

#[tokio::test]
async fn the_status_is_applied_to_the_node_s_own_object_and_nothing_else_is_asked() {
    let rig = Rig::new();
    rig.kubelet.set(&[("a-r1-0", &["GPU-0"])]);
    let mut agent = rig.work().await;
    let asked = loop {
        let asked = agent.api.next().await;
        assert_eq!(asked.method, "PATCH");
        assert_eq!(
            asked.path_and_query,
            "/apis/plimsoll.dev/v1alpha1/acceleratornodes/node-1/status?&force=true&fieldManager=plimsoll-agent"
        );
        if asked.body["status"]["devices"][0]["window"]["seconds"] == 1 {
            break asked;
        }
    };
    let keys: Vec<_> = asked.body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["apiVersion", "kind", "metadata", "status"]);
    let status = &asked.body["status"];
    assert_eq!(status["heldCount"], 1);
    assert_eq!(status["devices"][0]["holder"]["pod"], "a-r1-0");
    assert_eq!(status["devices"][0]["window"]["busyPercent"], 97);
    assert_eq!(status["devices"][0]["window"]["memoryUsedBytes"], 3_u64 << 30);
    assert!(status["devices"][1]["holder"].is_null());
}

#[tokio::test]
async fn an_object_that_is_not_there_yet_is_waited_for_and_never_created() {
    let rig = Rig::new();
    let mut agent = rig.work().await;
    agent.api.set_present(false);
    for _ in 0..2 {
        assert_eq!(agent.api.next().await.method, "PATCH");
    }
    agent.api.set_present(true);
    agent.api.status(|status| status["deviceCount"] == 2).await;
}

#[tokio::test]
async fn a_steady_node_is_written_once() {
    let mut rig = Rig::new();
    rig.settings.status_interval = Duration::from_secs(3600);
    // So that no window completes meanwhile.
    rig.settings.window = Duration::from_secs(3600);
    let mut agent = rig.work().await;
    agent.api.status(|status| status["deviceCount"] == 2).await;
    let looks = agent.until("a snapshot", |_| true).await.taken;
    agent.until("a hundred looks", |snapshot| snapshot.taken > looks + Duration::from_secs(1)).await;
    assert_eq!(agent.api.waiting(), 0);
}

#[tokio::test]
async fn a_new_holder_is_news() {
    let mut rig = Rig::new();
    // Within the patience of this test only news is written.
    rig.settings.status_interval = PATIENCE / 2;
    let mut agent = rig.work().await;
    agent.api.status(|status| status["heldCount"] == 0).await;
    rig.kubelet.set(&[("a-r1-0", &["GPU-0"])]);
    agent.api.status(|status| status["devices"][0]["holder"]["pod"] == "a-r1-0").await;
}

#[tokio::test]
async fn the_agent_ends_when_told() {
    let rig = Rig::new();
    let mut agent = rig.work().await;
    agent.until_device(0, "a reading", |device| device.reading().is_some()).await;
    agent.end.raise();
    tokio::time::timeout(PATIENCE, agent.ended).await.unwrap().unwrap().unwrap();
}
