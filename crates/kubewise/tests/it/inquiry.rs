//! What the command line tells about plans, their author and its cost, with no cluster at hand.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kubewise_core::Timestamp;
use kubewise_core::port::RecordStore as _;
use kubewise_core::record::{Record, RecordKind};
use kubewise_sqlite::Sqlite;
use kubewise_testbed::{ModelReply, ModelServer};
use serde_json::json;

use crate::installation::{END, Installation, kubewise, poll};

const KEY: &str = "key-that-nobody-may-see-81c4";

/// Neither a cluster nor Prometheus; a store with an incident about which a model was asked.
fn installation(config: &str) -> Result<Installation> {
    let installation = Installation::new(config)?
        .flag("--prometheus", "http://127.0.0.1:1")
        .variable("KUBEWISE_AUTHOR__API_KEY", KEY);
    let store = Sqlite::open(&kubewise_sqlite::Options { path: installation.store() })?;
    let now = Timestamp::now();
    let workload = json!({ "kind": "Deployment", "namespace": "shop", "name": "cart" });
    let incident = json!({
        "id": "i-1", "workload": workload, "reason": "CrashLoopBackOff", "severity": "Critical",
        "status": "HandedOver", "summary": "the cart crashes", "openedAt": now, "updatedAt": now,
        "closedAt": now, "anomalies": [],
    });
    let call = json!({
        "id": "c-1", "incident": "i-1", "workload": workload, "purpose": "Proposal", "round": 1, "attempt": 1,
        "author": "gemini/some-model", "fingerprint": "crash",
        "prompt": { "instructions": "Help the cart.", "case": "It crashes.", "maxAnswerTokens": 2000 },
        "outcome": "Accepted", "usage": { "inputTokens": 1200, "outputTokens": 300 }, "estimated": false,
        "cost": 0.0015, "askedAt": now, "endedAt": now,
    });
    let records = [
        Record::from_document(RecordKind::Incident, &incident.to_string())?,
        Record::from_document(RecordKind::Call, &call.to_string())?,
    ];
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    executor.block_on(store.save(&records))?;
    drop(store);
    let log = installation.store().with_extension("db-wal");
    poll("the store to be closed", Duration::from_mins(1), || Ok((!log.exists()).then_some(())))?;
    Ok(installation)
}

#[test]
fn what_was_sent_and_what_it_cost_is_told_and_the_key_never() -> Result<()> {
    let provider = ModelServer::scripted([ModelReply::raw("{}").status(503)])?;
    let installation = installation(&format!(
        "[author]\nprovider = \"openai-compatible\"\nmodel = \"mine\"\nendpoint = \"{}/v1\"\n\
         [author.prices]\ninput = 0.5\n[author.caps]\nday.tokens = 5000\nmonth.cost = 10\n",
        provider.url()
    ))?;
    let process = installation.start()?;
    let spending = process.ask(&["spend"])?;
    ensure!(spending["author"] == "openai-compatible/mine", "{spending:#}");
    ensure!(spending["day"]["tokens"] == 1500 && spending["month"]["cost"] == 0.0015, "{spending:#}");
    ensure!(spending["capped"] == "the cap of 5000 tokens in 24 hours is reached", "{spending:#}");
    let shown = String::from_utf8(process.client(&["spend"])?.stdout)?;
    for part in ["openai-compatible/mine", "1500", "5000 tokens", "10.0", "i-1", "Not asked any more"] {
        ensure!(shown.contains(part), "`{part}` is not in\n{shown}");
    }
    let prompt = String::from_utf8(process.client(&["plans", "prompt", "i-1"])?.stdout)?;
    for part in ["Sent to gemini/some-model", "Help the cart.", "It crashes."] {
        ensure!(prompt.contains(part), "`{part}` is not in\n{prompt}");
    }
    let told = String::from_utf8(process.client(&["explain", "i-1"])?.stdout)?;
    ensure!(told.contains("cart") && told.contains("told from a template"), "{told}");
    process.refused(&["explain", "i-none"], 3)?;
    process.refused(&["plan", "i-none", "--dry-run"], 3)?;
    process.refused(&["plan", "i-1"], 2)?;
    let config = process.get("/api/v1/config")?.1.to_string();
    ensure!(config.contains("api_key") && !config.contains(KEY), "{config}");
    process.await_log(&["kubewise runs"], Duration::from_secs(1))?;
    ensure!(process.tail(KEY, 1).is_empty(), "the key is in the log");
    ensure!(process.terminate(END)?.success(), "it does not end in order");
    Ok(())
}

#[test]
fn a_faulty_author_is_told_at_the_start_and_the_key_is_not() -> Result<()> {
    let printed = kubewise().args(["config", "print"]).env("KUBEWISE_AUTHOR__API_KEY", KEY).output()?;
    let text = String::from_utf8(printed.stdout)?;
    ensure!(text.contains("api_key") && !text.contains(KEY), "{text}");
    for (config, said) in [
        ("[author]\nprovider = \"opnai\"\n", "author.provider: `opnai` is not valid; did you mean `openai`?"),
        ("[author.caps.day]\ntokens = -5\n", "author.caps.day.tokens"),
        ("[author.prices]\ninput = \"cheap\"\n", "author.prices.input"),
        ("[author]\nprovider = \"openai\"\n", "author.model is missing"),
        (
            "[author]\nprovider = \"gemini\"\napi_key_file = \"key\"\n",
            "author.api_key and author.api_key_file exclude",
        ),
    ] {
        let installation = installation(config)?;
        let output = installation.run().output().context("kubewise run")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(2) && complaint.contains(said), "{config}: {complaint}");
        ensure!(!complaint.contains(KEY), "{complaint}");
    }
    Ok(())
}
