//! What KubeWise holds it may let go, and what somebody else holds it may not: by what a real API server says of whose a
//! field is.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kubewise_core::document::Document;
use kubewise_core::guard::Guards;
use kubewise_core::journal::{BeforeImage, Epoch};
use kubewise_core::plan::{Mode, Operation};
use kubewise_core::port::{ClusterActor as _, ClusterReader as _};
use kubewise_core::request::FENCE_ANNOTATION;
use kubewise_core::{Kind, ObjectRef};
use kubewise_kubernetes::{Kubernetes, Options};
use kubewise_remediation::evidence::Evidence;
use kubewise_remediation::planner::{self, Decision};
use kubewise_remediation::playbook::Playbooks;
use kubewise_remediation::policy;
use kubewise_remediation::saga::guarded_patch;
use kubewise_testbed::{Cluster, Options as ClusterOptions, Tier, for_test};
use serde_json::{Value, json};

/// Half a minute for what a controller does in a moment.
const LOOKS: u32 = 150;
const PAUSE: Duration = Duration::from_millis(200);

/// An object whose field somebody holds, and the actions of KubeWise that do so and undo it.
struct Held {
    object: ObjectRef,
    manifest: Value,
    /// In `spec`.
    field: &'static str,
    hold: &'static str,
    resume: &'static str,
}

fn held(namespace: &str) -> Vec<Held> {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]});
    let mut template = json!({"metadata": {"labels": {"app": "web"}}, "spec": pod});
    template["spec"]["restartPolicy"] = json!("Always");
    vec![
        Held {
            object: ObjectRef::namespaced(Kind::Deployment, namespace, "web"),
            manifest: json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {
                "selector": {"matchLabels": {"app": "web"}}, "template": template,
            }}),
            field: "paused",
            hold: "PauseRollout",
            resume: "ResumeRollout",
        },
        Held {
            object: ObjectRef::namespaced(Kind::CronJob, namespace, "report"),
            manifest: json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {
                "schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": pod}}},
            }}),
            field: "suspend",
            hold: "SuspendCronJob",
            resume: "ResumeCronJob",
        },
        Held {
            object: ObjectRef::cluster_scoped(Kind::Node, "elsewhere"),
            manifest: json!({"apiVersion": "v1", "kind": "Node", "spec": {}}),
            field: "unschedulable",
            hold: "CordonNode",
            resume: "UncordonNode",
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_kubewise_holds_it_lets_go() -> Result<()> {
    let Some(cluster) = for_test(ClusterOptions::new(Tier::ControlPlane)) else { return Ok(()) };
    let _ = rustls::crypto::ring::default_provider().install_default(); // another test may have done it
    let options = Options { kubeconfig: Some(cluster.kubeconfig().into()), ..Options::default() };
    let kubernetes = kubewise_kubernetes::connect(options).await?;
    let namespace = cluster.namespace("resuming")?;
    for held in held(&namespace) {
        plays(&cluster, &kubernetes, &held).await.with_context(|| held.resume)?;
    }
    Ok(())
}

async fn plays(cluster: &Cluster, kubernetes: &Kubernetes, held: &Held) -> Result<()> {
    let Held { object, field, hold, resume, .. } = held;
    let holds = async || anyhow::Ok(found(kubernetes, object).await?.0["spec"][field] == true);
    let mut manifest = held.manifest.clone();
    manifest["metadata"] = json!({"name": object.name, "namespace": object.namespace});
    cluster.apply(&manifest.to_string())?;

    ensure!(!does(kubernetes, object, resume).await?, "nobody holds it");
    ensure!(does(kubernetes, object, hold).await? && holds().await?, "KubeWise holds it");
    ensure!(does(kubernetes, object, resume).await? && !holds().await?, "and lets it go");

    let namespace = object.namespace_or_empty().to_owned();
    let target = format!("{}/{}", object.kind.to_string().to_lowercase(), object.name);
    let by_hand = |value: bool| {
        let change = json!({"spec": {*field: value}}).to_string();
        cluster.kubectl(&["-n", &namespace, "patch", &target, "--type=merge", "-p", &change])
    };
    by_hand(true)?;
    ensure!(!does(kubernetes, object, resume).await? && holds().await?, "a person holds it");
    by_hand(false)?;

    ensure!(does(kubernetes, object, hold).await?, "KubeWise holds it again");
    // What is applied is what is wanted, also where it is so already.
    let file = tempfile::NamedTempFile::new()?;
    let mut wanted = json!({"apiVersion": manifest["apiVersion"], "kind": manifest["kind"]});
    wanted["metadata"] = manifest["metadata"].clone();
    wanted["spec"] = json!({*field: true});
    std::fs::write(file.path(), wanted.to_string())?;
    let file = file.path().display().to_string();
    cluster.kubectl(&["apply", "--server-side", "--field-manager=argocd", "-f", &file])?;
    ensure!(!does(kubernetes, object, resume).await? && holds().await?, "Argo CD wants it held, too");
    Ok(())
}

/// Once its controller has seen it as it is.
async fn found(kubernetes: &Kubernetes, object: &ObjectRef) -> Result<Document> {
    for _ in 0..LOOKS {
        let found = kubernetes.get(object).await?.context("it is gone")?;
        let (spec, seen) = (found.number("/metadata/generation"), found.number("/status/observedGeneration"));
        if seen.is_none() || seen == spec {
            return Ok(found);
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("the controller of {object} does not look at it")
}

/// Whether a plan comes of the action; if so, its write is done.
async fn does(kubernetes: &Kubernetes, object: &ObjectRef, action: &str) -> Result<bool> {
    let now = jiff::Timestamp::now();
    let incident = json!({
        "id": "i-1", "workload": object, "reason": "CrashLoopBackOff", "severity": "Critical", "status": "Open",
        "summary": "", "openedAt": now, "updatedAt": now, "anomalies": [],
    });
    let anomaly = json!({
        "id": "a-1", "workload": object, "object": object, "reason": "CrashLoopBackOff", "detector": "Rule",
        "severity": "Critical", "score": 1.0, "threshold": 0.5, "features": [], "explanation": "", "status": "Firing",
        "time": now, "updatedAt": now, "remediationStatus": "None",
    });
    let workload = found(kubernetes, object).await?;
    let fence = workload.annotation(FENCE_ANNOTATION).map(ToOwned::to_owned);
    let annotated = workload.0.pointer("/metadata/annotations").is_some();
    let evidence = Evidence::assemble(
        serde_json::from_value(incident)?,
        vec![serde_json::from_value(anomaly)?],
        Some(workload),
        Vec::new(),
        now,
    );
    let playbook = json!({
        "name": "test", "description": "d", "reasons": ["CrashLoopBackOff"], "rootCause": "r", "reasoning": "r",
        "candidates": [{"action": action}],
    });
    let playbooks = Playbooks::load(&[("test.yaml", playbook.to_string())]);
    let playbooks = playbooks.map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
    let options = policy::Options { mode: Mode::Auto, ..policy::Options::default() };
    let around = policy::Surroundings { workloads: 20, ..policy::Surroundings::default() };
    let decision = planner::plan(&evidence, &playbooks, &options, &around, now);
    let Decision::Plan { plan, refused } = decision else { bail!("{decision:#?}") };
    if plan.hands_over() {
        ensure!(refused.iter().all(|refusal| refusal.rule == "Premise"), "{refused:#?}");
        return Ok(false);
    }
    let operation = &plan.actions[0].operation;
    let Operation::Write { changes, .. } = operation else { bail!("{operation:#?}") };
    let before = BeforeImage { fields: changes.clone(), fence, annotated };
    let request = guarded_patch(operation, &before, Epoch(1), Guards::default()).context("no request")?;
    kubernetes.perform(&request, false).await?;
    Ok(true)
}
