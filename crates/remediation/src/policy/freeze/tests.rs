use serde_json::{Value, json};

use super::*;

fn at(text: &str) -> Timestamp {
    format!("{text}:00Z").parse().unwrap()
}

#[test]
fn a_cron_expression_names_its_minutes() {
    // 2026-03-06 is a Friday.
    for (cron, time, matches) in [
        ("* * * * *", "2026-03-06T00:00", true),
        ("* 18-23 * * 5", "2026-03-06T18:00", true),
        ("* 18-23 * * 5", "2026-03-06T17:59", false),
        ("* 18-23 * * 5", "2026-03-07T18:00", false),
        ("* * * * 0", "2026-03-08T12:00", true),
        ("* * * * 7", "2026-03-08T12:00", true),
        ("*/15 * * * *", "2026-03-06T12:45", true),
        ("*/15 * * * *", "2026-03-06T12:46", false),
        ("5/20 * * * *", "2026-03-06T12:25", true),
        ("0 0 1,15 * *", "2026-03-15T00:00", true),
        ("0 0 1,15 * *", "2026-03-16T00:00", false),
        ("* * 1 * 5", "2026-03-06T12:00", true), // either day
        ("* * 1 * 5", "2026-03-01T12:00", true),
        ("* * 1 * 5", "2026-03-02T12:00", false),
        ("* * */2 * *", "2026-03-05T12:00", true), // odd days
        ("* * */2 * *", "2026-03-06T12:00", false),
        ("* * */2 * 5", "2026-03-06T12:00", false), // odd Fridays, since one begins with a star
        ("* * */2 * 5", "2026-03-13T12:00", true),
        ("* * * 12 *", "2026-03-06T12:00", false),
    ] {
        assert_eq!(cron.parse::<Cron>().unwrap().matches(at(time)), matches, "{cron} at {time}");
    }
    for wrong in
        ["", "* * * *", "* * * * * *", "60 * * * *", "* 5-2 * * *", "*/0 * * * *", "a * * * *", "* * 0 * *"]
    {
        assert!(wrong.parse::<Cron>().is_err(), "{wrong}");
    }
}

#[test]
fn a_freeze_holds_in_its_time_and_place_and_says_when_it_ends() {
    let freeze = |value: Value| serde_json::from_value::<Freeze>(value);
    let weekend =
        freeze(json!({ "name": "weekend", "cron": "* * * * 6,0", "namespaces": ["shop"] })).unwrap();
    let saturday = at("2026-03-07T10:30");
    assert!(weekend.holds("shop", saturday) && !weekend.holds("bank", saturday));
    assert_eq!(weekend.over("shop", saturday), at("2026-03-09T00:00"));
    let sale = json!({ "name": "sale", "from": "2026-11-27T00:00:00Z", "until": "2026-11-28T00:00:00Z" });
    let sale = freeze(sale).unwrap();
    assert!(!sale.holds("shop", saturday) && sale.holds("shop", at("2026-11-27T00:00")));
    assert!(!sale.holds("shop", at("2026-11-28T00:00")));
    assert_eq!(sale.over("shop", at("2026-11-27T12:00")), at("2026-11-28T00:00"));
    for (wrong, told) in [
        (json!({ "name": "ever" }), "never end"),
        (
            json!({ "name": "back", "from": "2026-11-28T00:00:00Z", "until": "2026-11-27T00:00:00Z" }),
            "before it begins",
        ),
        (json!({ "name": "typo", "crom": "* * * * *" }), "crom"),
        (json!({ "name": "cron", "cron": "hourly" }), "five are needed"),
    ] {
        let error = freeze(wrong.clone()).unwrap_err().to_string();
        assert!(error.contains(told), "{wrong}: {error}");
    }
}
