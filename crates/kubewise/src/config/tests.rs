use std::io::Write;
use std::os::unix::ffi::OsStringExt as _;

use super::*;

fn file(extension: &str, text: &str) -> tempfile::TempPath {
    let mut file = tempfile::Builder::new().prefix("kubewise").suffix(extension).tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.into_temp_path()
}

fn sources(extension: &str, text: &str) -> (Sources, tempfile::TempPath) {
    let path = file(extension, text);
    (Sources { file: Some(path.to_path_buf()), ..Sources::default() }, path)
}

/// Every fault as `line:column key: message`, without the file's name.
fn faults(extension: &str, text: &str) -> Vec<String> {
    let (sources, path) = sources(extension, text);
    let prefix = format!("{}:", path.display());
    let Err(Faults(faults)) = load(&sources) else { return Vec::new() };
    faults.iter().map(|fault| fault.to_string().replace(&prefix, "")).collect()
}

fn with_environment(variables: &[(&str, &str)]) -> Result<Loaded, Faults> {
    let environment = variables.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    load(&Sources { environment, ..Sources::default() })
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let loaded = load(&Sources::default()).unwrap();
    let bare: Settings = serde_json::from_str("{}").unwrap();
    assert_eq!(format!("{:?}", loaded.settings), format!("{bare:?}"));
}

#[test]
fn the_default_file_documents_every_key() {
    fn keys(schema: &Value, root: &Value, path: &str, found: &mut Vec<String>) {
        if let Some(target) =
            schema.get("$ref").and_then(Value::as_str).and_then(|link| root.pointer(&link[1..]))
        {
            return keys(target, root, path, found);
        }
        for (key, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let before = found.len();
            let path = format!("{path}{key}.");
            keys(inner, root, &path, found);
            if found.len() == before {
                found.push(path.trim_end_matches('.').to_owned());
            }
        }
    }
    let root = schemars::schema_for!(Settings).to_value();
    let mut documented = Vec::new();
    keys(&root, &root, "", &mut documented);
    // A key that has no default stands there commented out.
    let uncommented: String = DEFAULT
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => rest,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut present = BTreeMap::new();
    remember(&tree::from_toml("", &uncommented).unwrap(), "", &mut present);
    let missing: Vec<_> = documented
        .iter()
        .filter(|key| !present.keys().any(|have| have == *key || have.starts_with(&format!("{key}."))))
        .collect();
    assert!(missing.is_empty(), "config/kubewise.toml does not mention {missing:?}");
}

#[test]
fn all_faults_are_told_at_once_with_place_key_and_what_would_be_right() {
    let text = "[policy]\nmoed = \"auto\"\ncooldown = \"5 parsecs\"\n\n[runtime.collect]\nconcurrency = \"many\"\n\n[polcy]\n";
    let found = faults(".toml", text);
    for expect in [
        "2:1: policy.moed: unknown key; did you mean `mode`?",
        "3:12: policy.cooldown: `5 parsecs` is not a duration; write a number with a unit, such as `15s`, `5m` or `1h 30m`",
        "6:15: runtime.collect.concurrency: \"many\" is not valid: a whole number of at least 0 is expected",
        "polcy: unknown key; did you mean `policy`?",
    ] {
        assert!(found.iter().any(|fault| fault.contains(expect)), "{expect}\nnot in {found:#?}");
    }
    assert_eq!(found.len(), 4, "{found:#?}");
}

#[test]
fn yaml_is_held_against_the_same_schema() {
    let found = faults(".yaml", "policy:\n  mode: atuo\nstore:\n  retention: 3\n");
    assert_eq!(
        found,
        [
            "2:9: policy.mode: `atuo` is not valid; did you mean `auto`?",
            "4:14: store.retention: 3 is not valid: a duration such as `15s` is expected",
        ]
    );
    let (sources, _path) = sources(".yaml", "policy:\n  mode: auto\n");
    assert_eq!(load(&sources).unwrap().settings.policy.mode, kubewise_core::plan::Mode::Auto);
}

#[test]
fn broken_syntax_names_the_line() {
    assert!(
        faults(".toml", "[policy\nmode = 1\n")[0].starts_with("1:"),
        "{:?}",
        faults(".toml", "[policy\nmode = 1\n")
    );
    assert!(faults(".yaml", "policy: [\n")[0].contains(':'));
    assert!(faults(".json", "{}")[0].contains("neither .toml nor .yaml"));
}

#[test]
fn later_layers_win_and_lists_and_numbers_read_from_text() {
    let (mut sources, _path) =
        sources(".toml", "[policy]\nmode = \"propose\"\n[api]\nlisten = \"127.0.0.1:1\"\n");
    sources.dotenv = Some(Ok("KUBEWISE_POLICY__MAX_ATTEMPTS=7\nKUBEWISE_MODE=observe\n".into()));
    sources.environment.insert("KUBEWISE_MODE".into(), "auto".into());
    sources.environment.insert("KUBEWISE_POLICY__PROTECTED_NAMESPACES".into(), "a, b".into());
    sources.flags.push(("--listen", &["api", "listen"], "127.0.0.1:2".into()));
    let settings = load(&sources).unwrap().settings;
    assert_eq!(settings.policy.mode, kubewise_core::plan::Mode::Auto);
    assert_eq!(settings.policy.max_attempts, 7);
    assert_eq!(settings.policy.protected_namespaces, ["a", "b"]);
    assert_eq!(settings.api.listen.port(), 2);
}

#[test]
fn what_cannot_be_read_of_the_environment_is_told_without_its_text() {
    let dotenv = |text: Result<&str, &str>| {
        let dotenv = Some(text.map(Into::into).map_err(Into::into));
        load(&Sources { dotenv, ..Sources::default() }).unwrap_err().to_string()
    };
    let told = dotenv(Ok("KUBEWISE_MODE=auto\n\nKUBEWISE_TOKEN=a secret phrase\n"));
    assert!(told.contains(".env:3:1: ") && told.contains("is not NAME=VALUE"), "{told}");
    assert!(!told.contains("phrase"), "{told}");
    let told = dotenv(Err("stream did not contain valid UTF-8"));
    assert!(told.contains(".env:1:1: ") && told.contains("cannot be read: stream"), "{told}");

    let bytes = || OsString::from_vec(vec![b'a', 0xff]);
    let environment = BTreeMap::from([("KUBEWISE_TOKEN".into(), bytes()), ("OTHER".into(), bytes())]);
    let told = load(&Sources { environment, ..Sources::default() }).unwrap_err().to_string();
    assert_eq!(told.matches("UTF-8").count(), 1, "{told}");
    assert!(told.contains("environment variable KUBEWISE_TOKEN: is not UTF-8"), "{told}");
}

#[test]
fn only_keys_count_as_keys_in_the_environment() {
    // What Kubernetes injects for a Service named kubewise.
    let injected = [
        ("KUBEWISE_SERVICE_HOST", "10.0.0.9"),
        ("KUBEWISE_PORT", "tcp://10.0.0.9:80"),
        ("KUBEWISE_PORT_80_TCP", "x"),
    ];
    assert!(with_environment(&injected).unwrap().origins.is_empty());
    let wrong =
        with_environment(&[("KUBEWISE_POLICY__COOLDWN", "5m"), ("KUBEWISE_MODE", "bold")]).unwrap_err();
    let told = wrong.to_string();
    assert!(told.contains("environment variable KUBEWISE_POLICY__COOLDWN: policy.cooldwn: unknown key; did you mean `cooldown`?"), "{told}");
    assert!(told.contains("environment variable KUBEWISE_MODE: policy.mode: `bold` is not valid"), "{told}");
}

#[test]
fn secrets_are_not_shown() {
    let loaded = with_environment(&[
        ("KUBEWISE_TOKEN", "s3cret-one"),
        ("KUBEWISE_PROMETHEUS__PASSWORD", "s3cret-two"),
        ("KUBEWISE_PROMETHEUS_URL", "https://me:s3cret-three@prometheus:9090"),
    ])
    .unwrap();
    let shown = format!("{} {:?}", loaded.effective, loaded.settings);
    assert!(!loaded.effective.to_string().contains("s3cret"), "{}", loaded.effective);
    assert!(!shown.contains("s3cret-one") && !shown.contains("s3cret-two"), "{shown}");
}
