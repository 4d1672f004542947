use kubewise_core::author::Cap;

use super::*;

fn at(minutes: u64) -> Timestamp {
    Period::from_mins(minutes).after(Timestamp::UNIX_EPOCH)
}

fn call(number: u32) -> CallId {
    CallId::derive(&[&number])
}

fn incident(number: u32) -> IncidentId {
    IncidentId::derive(&[&number])
}

fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage { input_tokens, output_tokens }
}

fn ledger(caps: Caps) -> Ledger {
    let price = |amount| Money::from_number(amount).unwrap_or_default();
    Ledger::new(caps, Prices { input: price(1.0), output: price(10.0) })
}

#[test]
fn calls_at_one_time_cannot_pass_a_cap_together() {
    let mut ledger = ledger(Caps { day: Cap::of_tokens(1_000), ..Caps::default() });
    assert_eq!(ledger.reserve(&call(1), &incident(1), usage(300, 300), at(0)), Ok(()));
    let refused = ledger.reserve(&call(2), &incident(2), usage(300, 300), at(0)).unwrap_err();
    assert_eq!(refused.to_string(), "the cap of 1000 tokens in 24 hours is reached");

    // The first one was cheaper than thought.
    ledger.settle(&call(1), usage(200, 100));
    assert_eq!(ledger.reserve(&call(2), &incident(2), usage(300, 300), at(1)), Ok(()));
    assert_eq!(ledger.day(at(1)).tokens, 900);
    ledger.release(&call(2));
    assert_eq!(ledger.day(at(1)), Spent { calls: 1, tokens: 300, cost: Money::from_millionths(1_200) });
}

#[test]
fn each_cap_counts_what_it_names() {
    let price = |amount| Money::from_number(amount);
    for (caps, said) in [
        (
            Caps { incident: Cap::of_tokens(500), ..Caps::default() },
            "the cap of 500 tokens for one incident is reached",
        ),
        (
            Caps { month: Cap::of_tokens(500), ..Caps::default() },
            "the cap of 500 tokens in 30 days is reached",
        ),
        (
            Caps { day: Cap { tokens: None, cost: price(0.0022) }, ..Caps::default() },
            "the cap of 0.0022 in 24 hours is reached",
        ),
    ] {
        let mut ledger = ledger(caps);
        assert_eq!(ledger.reserve(&call(1), &incident(1), usage(300, 100), at(0)), Ok(()), "{said}");
        let refused = ledger.reserve(&call(2), &incident(1), usage(300, 100), at(0));
        assert_eq!(refused.map_err(|capped| capped.to_string()), Err(said.into()));
    }
    let mut ledger = ledger(Caps { incident: Cap::of_tokens(500), ..Caps::default() });
    assert_eq!(ledger.reserve(&call(1), &incident(1), usage(300, 100), at(0)), Ok(()));
    assert_eq!(ledger.reserve(&call(2), &incident(2), usage(300, 100), at(0)), Ok(()), "another incident");
}

#[test]
fn a_day_and_a_month_pass() {
    let mut ledger = ledger(Caps { day: Cap::of_tokens(500), month: Cap::of_tokens(700), ..Caps::default() });
    assert_eq!(ledger.reserve(&call(1), &incident(1), usage(400, 0), at(0)), Ok(()));
    assert!(ledger.reserve(&call(2), &incident(2), usage(300, 0), at(23 * 60)).is_err());
    assert_eq!(ledger.reserve(&call(3), &incident(3), usage(300, 0), at(25 * 60)), Ok(()));
    assert!(ledger.reserve(&call(4), &incident(4), usage(300, 0), at(60 * 60)).is_err(), "the month is full");
    let later = at(31 * 24 * 60);
    assert_eq!(ledger.reserve(&call(5), &incident(5), usage(300, 0), later), Ok(()));
    let dearest: Vec<_> = ledger.by_incident(later).into_iter().map(|one| one.incident).collect();
    assert_eq!(dearest.len(), 2, "what is older than a month is forgotten: {dearest:?}");
}
