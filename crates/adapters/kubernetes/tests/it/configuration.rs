//! Options that cannot work are refused with what would be right.

use kubewise_core::{Kind, Period};
use kubewise_kubernetes::{LeaseOptions, Options, connect};

use crate::fake::kubeconfig;

async fn check(options: Options, expect: &[&str]) {
    let error = connect(options).await.unwrap_err();
    let text = kubewise_core::failure::chain(&error);
    assert!(expect.iter().all(|part| text.contains(part)), "{text}");
}

#[tokio::test]
async fn each_fault_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        Some(path)
    };
    let good = file("good", &kubeconfig("http://127.0.0.1:1"));
    let absent = Some(directory.path().join("absent"));
    check(Options { kubeconfig: absent, ..Options::default() }, &["absent", "No such file"]).await;
    check(Options { kubeconfig: file("bad", "{ not yaml"), ..Options::default() }, &["bad"]).await;
    let context =
        Options { kubeconfig: good.clone(), context: Some("elsewhere".into()), ..Options::default() };
    check(context, &["good", "elsewhere"]).await;
    check(Options { timeout: Period::ZERO, ..Options::default() }, &["kubernetes.timeout", "more than zero"])
        .await;
    let kinds = vec![Kind::from("Pods")];
    check(Options { kinds, ..Options::default() }, &["kubernetes.kinds", "`Pods`", "Pod, Deployment"]).await;
    let lease = LeaseOptions { renew_deadline: Period::from_secs(15), ..LeaseOptions::default() };
    check(Options { lease, ..Options::default() }, &["lease.renew_deadline", "less than lease.duration"])
        .await;
    assert!(connect(Options { kubeconfig: good, ..Options::default() }).await.is_ok(), "no call is made");
}

#[test]
fn unknown_keys_are_refused_and_durations_are_read() {
    let read = |text: &str| serde_json::from_str::<Options>(text);
    let options =
        read(r#"{"timeout": "3s", "lease": {"duration": "30s"}, "events": {"types": ["Warning"]}}"#);
    assert_eq!(options.unwrap().timeout, Period::from_secs(3));
    assert!(read(r#"{"time_out": "3s"}"#).unwrap_err().to_string().contains("`timeout`"));
}
