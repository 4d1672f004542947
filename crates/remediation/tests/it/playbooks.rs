//! What is said about playbooks that are wrong, and where.

use kubewise_remediation::playbook::{self, Playbooks};
use proptest::prelude::*;

const HEAD: &str = "name: test\ndescription: d\nreasons: [CrashLoopBackOff]\nrootCause: r\nreasoning: r\n";

const HANDS_OVER: &str = "candidates: [{action: HandOver, parameters: {reason: r}}]\n";

/// `test.yaml:LINE:COLUMN: message`, one for each fault; `tail` starts in line 6.
fn faults(tail: &str) -> Vec<String> {
    let loaded = Playbooks::load(&[("test.yaml", format!("{HEAD}{tail}"))]);
    loaded.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn check(tail: &str, expect: &[&str]) {
    assert_eq!(
        faults(tail),
        expect.iter().map(|fault| format!("test.yaml:{fault}")).collect::<Vec<_>>(),
        "{tail}"
    );
}

/// As they lie in their folder: each is built in, and each is right.
fn builtin_files() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn the_playbooks_of_kubewise_are_right() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&Playbooks::builtin());
    assert_eq!(Playbooks::load(&builtin_files()).err(), None);
    assert_eq!(Playbooks::builtin().list().count(), builtin_files().len());
    let mine = [("mine.yaml", format!("{HEAD}{HANDS_OVER}").replace("test", "oom-leak"))];
    let both = Playbooks::load(&mine).unwrap().with_builtin();
    let names: Vec<_> = both.list().map(|(name, _)| name).collect();
    assert_eq!(
        (names[0], names.len()),
        ("oom-leak", builtin_files().len()),
        "one of that name replaces ours and comes first"
    );
}

#[test]
fn what_playbooks_may_speak_of_is_told() {
    let variables = playbook::variables();
    let crash = variables.iter().find(|variable| variable.name == "crash").unwrap();
    let field = |name: &str| crash.fields.iter().find(|(field, ..)| field == name).unwrap().clone();
    assert_eq!(field("oom"), ("oom".into(), "bool".into(), "It was killed at its memory limit.".into()));
    assert!(variables.iter().all(|variable| !variable.description.is_empty()), "{variables:?}");
    // Each is what a condition may hold, by its name and type.
    for variable in &variables {
        for (field, kind, _) in &variable.fields {
            let name = format!("{}.{field}", variable.name);
            let condition = match kind.as_str() {
                "list" => format!("size({name}) >= 0"),
                kind => format!("{kind}({name}) == {name}"),
            };
            check(&format!("{HANDS_OVER}when: [\"{condition}\"]\n"), &[]);
        }
    }
}

#[test]
fn faults_are_told_with_their_place_and_what_would_be_right() {
    check(
        &format!("{HANDS_OVER}wen: [true]\n"),
        &["7:1: `wen` is not a key of a playbook; did you mean `when`?"],
    );
    check("", &["1:1: the key `candidates` is missing"]);
    check("candidates: []\n", &["6:13: there is no candidate; `action: HandOver` leaves it to a person"]);
    check(
        "candidates: [{action: HandOver}]\n",
        &["6:23: the parameters of HandOver are wrong: missing field `reason`"],
    );
    for (condition, expect) in [
        ("revision.toBlam", "7:19: `toBlam` is not known; did you mean `toBlame`?"),
        ("revison.toBlame", "7:10: `revison` is not known; did you mean `revision`?"),
        ("true || workload.desird > 1", "7:27: `desird` is not known; did you mean `desired`?"),
        ("workload.desired", "7:10: a condition must be true or false, this is a number"),
        ("workload.desired == 'x'", "7:10: a number is compared with a text; they are never equal"),
        ("true || crash.restarts", "7:18: this must be true or false, it is a number"),
        (
            "false && memory.limit + 'x' == 'x'",
            "7:19: Unsupported binary operator 'add': Float(134217728.0), String(\"x\")",
        ),
        ("sise(incident.reasons) > 1", "7:10: `sise` is no function here; did you mean `size`?"),
        (
            "has(revision.current)",
            "7:10: `has` is no function here; known are size, contains, startsWith, endsWith, matches, int, double, string, bool",
        ),
        (
            "incident.reasons.exists(r, r == 'x')",
            "7:10: `exists` is no function here; known are size, contains, startsWith, endsWith, matches, int, double, string, bool",
        ),
    ] {
        let tail = format!("{HANDS_OVER}when: [ \"{condition}\" ]\n");
        let got = faults(&tail);
        let first = got.first().cloned().unwrap_or_default();
        assert_eq!(first, format!("test.yaml:{expect}"), "{condition}");
    }
    check(
        "candidates:\n  - action: RolloutUnd\n",
        &["7:13: `RolloutUnd` is not an action; did you mean `RolloutUndo`?"],
    );
    check(
        "candidates:\n  - action: RolloutUndo\n    parameters: { revison: x }\n",
        &["8:19: `revison` is not a key of the parameters of RolloutUndo; did you mean `revision`?"],
    );
    check(
        "candidates:\n  - action: ScaleWorkload\n    parameters: { replicas: \"=workload.name\" }\n",
        &["8:17: the parameters of ScaleWorkload are wrong: invalid type: string \"cart\", expected i64"],
    );
    check(
        &format!("{HANDS_OVER}maxMode: automatic\n"),
        &["7:10: `automatic` is not a mode; modes are observe, propose and auto"],
    );
    check(
        &format!("{HANDS_OVER}verification: {{ settle: 2 apples }}\n"),
        &["7:25: `2 apples` is not a duration; write a number with a unit, such as `15s`, `5m` or `1h 30m`"],
    );
}

#[test]
fn all_faults_of_all_files_are_told_at_once() {
    let files = [
        (
            "a.yaml",
            "name: a\nreasons: [OOMKiled]\nwhen: [crash.oon, \"1 +\"]\ncandidates: [{action: HandOver, parameters: {reason: r}}]\nrootCause: r\nreasoning: \"${crash.ontainer}\"\n",
        ),
        ("b.yaml", "name: [\n"),
        ("c.yaml", "just text"),
    ];
    let faults: Vec<_> = Playbooks::load(&files).unwrap_err().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(faults.join("\n"));
}

#[test]
fn what_is_too_large_is_refused_and_not_evaluated() {
    let long = format!("{HANDS_OVER}when: [ \"{}true\" ]\n", "true && ".repeat(100));
    check(&long, &["7:10: the expression has 804 characters; at most 512 are allowed"]);
    let huge = format!("# {}\n", "x".repeat(70_000));
    assert!(faults(&huge)[0].contains("at most 65536 are allowed"), "{:?}", faults(&huge));
    let many: Vec<_> = (0..201)
        .map(|i| (format!("{i}.yaml"), format!("{HEAD}{HANDS_OVER}").replace("test", &format!("p{i}"))))
        .collect();
    let faults = Playbooks::load(&many).unwrap_err();
    assert_eq!(faults[0].to_string(), "200.yaml:1:1: there are more than 200 playbooks");
    let twice = [("a.yaml", format!("{HEAD}{HANDS_OVER}")), ("b.yaml", format!("{HEAD}{HANDS_OVER}"))];
    assert_eq!(
        Playbooks::load(&twice).unwrap_err()[0].to_string(),
        "b.yaml:1:7: another playbook is named `test`, too"
    );
}

#[test]
fn deep_nesting_is_refused_and_does_not_end_the_process() {
    for (open, close) in
        [("(", ")"), ("[", "]"), ("!", ""), ("-", ""), ("{1:", "}"), ("true?", ":true"), ("size(", ")")]
    {
        let depth = 500 / (open.len() + close.len());
        let expression = format!("{}true{}", open.repeat(depth), close.repeat(depth));
        let faults = faults(&format!("{HANDS_OVER}when: [ '{expression}' ]\n"));
        // Any number of `!` or `-` is one operator.
        assert!(["!", "-"].contains(&open) || !faults.is_empty(), "{open}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_ends_the_process(text in "[a-z.()!&|\\[\\]{}'\"0-9 +*?:=<>\\\\\n$%]{0,60}") {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = faults(&format!("{HANDS_OVER}when: [ \"{quoted}\" ]\n"));
        let _ = faults(&text);
    }
}
