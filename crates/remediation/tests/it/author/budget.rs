//! How long a prompt may be, and what gives way.

use kubewise_core::author::Prompt;
use kubewise_remediation::author::Options;
use serde_json::json;

use super::{complete, data, draft, draft_within, event, ids, log};
use crate::fixture::{World, crash_loop, crashing, pod, template};

/// The estimate that is promised: three bytes a token.
fn tokens(prompt: &Prompt) -> usize {
    let schema = prompt.schema.as_ref().map_or(0, |schema| schema.to_string().len());
    let refused = prompt.refused.as_ref().map_or(0, |refused| refused.answer.len() + refused.objection.len());
    (prompt.instructions.len() + prompt.case.len() + schema + refused).div_ceil(3)
}

/// An incident with 500 Events, 100 pods and logs that no prompt holds.
fn large() -> World {
    let mut world = crash_loop();
    let words = ["alpha", "beta", "gamma", "delta", "epsilon"];
    for number in 0..500 {
        let name = format!("cart-bad-{}", number % 100);
        let message = format!(
            "{} {} happened to {name}: {}",
            words[number % 5],
            words[number / 5 % 5],
            "so ".repeat(300)
        );
        let reason = ["BackOff", "Unhealthy", "FailedMount", "Pulled"][number % 4];
        world.evidence.events.push(event(
            reason,
            &name,
            &message,
            &format!("11:{:02}:{:02}", number / 60, number % 60),
        ));
    }
    for number in 2..100 {
        let container = crashing("Error", 1, 5);
        world.evidence.pods.push(pod(
            &format!("cart-bad-{number}"),
            "bad",
            "n1",
            &template("cart:2", "128Mi"),
            &container,
        ));
    }
    for number in 0..3 {
        world.evidence.logs.push(log(format!("log {number} {}\n", "abc def ".repeat(40)).repeat(200)));
        world.did("Notify", "10:00:00", json!({}), Vec::new());
    }
    world
}

#[test]
fn a_prompt_keeps_to_its_budget_and_shows_something_of_everything() {
    let world = large();
    for prompt_tokens in [8_000, 5_000, 4_000, 3_500] {
        let drafted = draft_within(&world, Options { prompt_tokens, ..Options::default() }).unwrap();
        assert!(tokens(&drafted.prompt) <= prompt_tokens as usize, "{} tokens", tokens(&drafted.prompt));
        let answer = complete("no ".repeat(9_000));
        let second = drafted.second(&answer, &drafted.read(&answer).unwrap_err());
        assert!(tokens(&second) <= prompt_tokens as usize, "{} tokens again", tokens(&second));
    }
    let drafted = draft(&world);
    let used = tokens(&drafted.prompt);
    assert!(used > 6_500, "room is used: {used}");
    let ids = ids(&drafted.prompt);
    for id in [
        "anomaly:CrashLoopBackOff",
        "revision:current",
        "change:image",
        "container:app",
        "event:BackOff",
        "event:Unhealthy",
        "log:app",
        "log:app-2",
        "history:Notify",
        "object:Deployment",
        "event:Pulled",
    ] {
        assert!(ids.iter().any(|found| found == id), "{id} is not in {ids:?}");
    }
}

#[test]
fn what_is_least_telling_gives_way_first() {
    let world = large();
    let fewer = |prompt_tokens| {
        ids(&draft_within(&world, Options { prompt_tokens, ..Options::default() }).unwrap().prompt)
    };
    let (all, some) = (fewer(8_000), fewer(4_000));
    assert!(some.len() < all.len());
    // The first of each source stays as long as there is room: what was noticed before measures.
    for id in ["anomaly:CrashLoopBackOff", "revision:current", "container:app"] {
        assert!(some.iter().any(|found| found == id), "{id} is not in {some:?}");
    }
    // With no room at all the offers are still there, and nothing can be cited.
    let none = draft_within(&world, Options { prompt_tokens: 100, ..Options::default() }).unwrap();
    assert!(ids(&none.prompt).is_empty() && super::offers(&none.prompt).len() == 1);
}

#[test]
fn events_that_say_the_same_are_told_once_and_in_order() {
    let mut world = crash_loop();
    for (name, when) in [("cart-bad-1", "11:56:00"), ("cart-bad-2", "11:58:00"), ("cart-bad-3", "11:57:00")] {
        world.evidence.events.push(event("BackOff", name, &format!("Back-off restarting {name}"), when));
    }
    world.evidence.events.push(event("Unhealthy", "cart-bad-1", "Liveness probe failed", "11:55:30"));
    let drafted = draft(&world);
    let told: Vec<_> = data(&drafted.prompt).lines().filter(|line| line.starts_with("[event:")).collect();
    assert_eq!(
        told,
        [
            "[event:Unhealthy] 2026-03-01T11:55:30Z Unhealthy on Pod shop/cart-bad-1, 3 times since 2026-03-01T11:55:00Z: \
         Liveness probe failed",
            "[event:BackOff] 2026-03-01T11:58:00Z BackOff on Pod shop/cart-bad-2 and 2 more, 9 times since \
         2026-03-01T11:55:00Z: Back-off restarting cart-bad-2",
        ]
    );
}

#[test]
fn a_log_is_told_from_its_end() {
    let mut world = crash_loop();
    let lines: Vec<_> = (0..500).map(|number| format!("line {number} of a log that goes on")).collect();
    world.evidence.logs.push(log(lines.join("\n")));
    let drafted = draft_within(&world, Options { prompt_tokens: 3_500, ..Options::default() }).unwrap();
    let told = data(&drafted.prompt);
    assert!(told.contains("  | line 499 of") && !told.contains("line 300 of"), "{told}");
    let places: Vec<_> = lines.iter().filter_map(|line| told.find(line.as_str())).collect();
    assert!(places.is_sorted() && places.len() >= 8, "in order");
}

#[test]
fn the_same_trouble_has_one_fingerprint_whatever_it_comes_with() {
    let of = |change: fn(&mut World)| {
        let mut world = crash_loop();
        change(&mut world);
        draft(&world).fingerprint
    };
    let same = of(|_| {});
    let steady: [fn(&mut World); 6] = [
        |w| w.evidence.incident.opened_at = crate::fixture::at("11:00:00"),
        |w| w.evidence.incident.id = "i-2".into(),
        |w| w.pod("cart-bad-1")["metadata"]["name"] = json!("cart-bad-77"),
        |w| w.pod("cart-bad-1")["status"]["containerStatuses"][0]["restartCount"] = json!(40),
        |w| w.evidence.events.push(event("BackOff", "cart-bad-1", "again", "11:59:00")),
        |w| w.evidence.logs.push(log("another line")),
    ];
    for (number, change) in steady.into_iter().enumerate() {
        assert_eq!(of(change), same, "change {number}");
    }
    let other: [fn(&mut World); 4] = [
        |w| {
            w.evidence
                .anomalies
                .push(crate::fixture::anomaly(kubewise_core::anomaly::Reason::Unavailable, "11:56:00"));
        },
        |w| w.evidence.revisions[1].0["metadata"]["labels"]["pod-template-hash"] = json!("worse"),
        |w| w.annotate("meta.helm.sh/release-name", "cart"),
        |w| w.evidence.incident.workload.name = "catalog".into(),
    ];
    for (number, change) in other.into_iter().enumerate() {
        assert_ne!(of(change), same, "change {number}");
    }
}
