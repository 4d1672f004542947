//! Hosts that a container is told of: what it probably depends on.
//!
//! Only names that stand where an address stands are taken (`redis:6379`, `http://cart/`, `db.shop.svc`, the value of
//! `CART_HOST`), and only the host: nothing else of a variable's value, which may be a secret, is kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

/// Of one pod; a pod that speaks to more services tells nothing by any of them.
const MOST: usize = 64;
/// The longest DNS name.
const LONGEST: usize = 253;
/// A variable whose name ends like this holds an address.
const ADDRESS_NAMES: [&str; 11] =
    ["HOST", "ADDR", "ADDRESS", "URL", "URI", "ENDPOINT", "SERVER", "SERVERS", "BROKERS", "DSN", "UPSTREAM"];

/// The hosts of a pod's containers, in order of name.
pub(crate) fn hosts(containers: &[Value]) -> Vec<Arc<str>> {
    let mut hosts = BTreeSet::new();
    for container in containers {
        for key in ["command", "args"] {
            for text in container[key].as_array().into_iter().flatten().filter_map(Value::as_str) {
                collect(text, false, &mut hosts);
            }
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            if let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str()) {
                let name = name.to_ascii_uppercase();
                let is_address = ADDRESS_NAMES.iter().any(|end| name.ends_with(end));
                collect(value, is_address, &mut hosts);
            }
        }
    }
    hosts.into_iter().take(MOST).map(Into::into).collect()
}

fn collect(text: &str, is_address: bool, hosts: &mut BTreeSet<String>) {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let mut from = 0;
    while let Some(start) = text[from..].find(is_of_name).map(|at| from + at) {
        let end = text[start..].find(|c| !is_of_name(c)).map_or(text.len(), |at| start + at);
        let (name, before, after) = (&text[start..end], &text[..start], &text[end..]);
        from = end;
        let port = after.strip_prefix(':').and_then(|rest| rest.chars().next());
        let placed = before.ends_with("://")
            || (before.ends_with('@') && before.contains("://"))
            || port.is_some_and(|first| first.is_ascii_digit())
            || name.contains(".svc")
            || (is_address && (before.is_empty() || before.ends_with(',')));
        let is_scheme = after.starts_with("://");
        // Of `user:password@host` neither is a host.
        let authority = after.split(['/', ',', ' ']).next().unwrap_or_default();
        let is_user = authority.contains('@');
        let is_host = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.len() <= LONGEST;
        if placed && is_host && !is_scheme && !is_user && hosts.len() < MOST {
            hosts.insert(name.trim_end_matches('.').to_ascii_lowercase());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::hosts;

    #[test]
    fn a_host_is_taken_where_an_address_stands_and_nothing_else() {
        let container = json!({
            "command": ["serve", "--upstream=cart:8080"],
            "args": ["https://user:hunter2@pay.shop.svc.cluster.local/v1", "--name", "web", "--level=info"],
            "env": [
                { "name": "REDIS_HOST", "value": "redis" },
                { "name": "BROKERS", "value": "kafka-0.kafka,kafka-1.kafka" },
                { "name": "APP", "value": "frontend" },
                { "name": "GREETING", "value": "hello from search.media.svc" },
                { "name": "PORT", "value": "8080" },
                { "name": "IP_HOST", "value": "10.0.0.1" },
                { "name": "PASSWORD", "value": "swordfish" },
                { "name": "FROM_ELSEWHERE", "valueFrom": {} },
            ],
        });
        assert_eq!(
            hosts(&[container]).iter().map(|host| &**host).collect::<Vec<_>>(),
            [
                "cart",
                "kafka-0.kafka",
                "kafka-1.kafka",
                "pay.shop.svc.cluster.local",
                "redis",
                "search.media.svc",
            ]
        );
    }

    #[test]
    fn many_hosts_are_bounded() {
        let many: Vec<String> = (0..1_000).map(|number| format!("host-{number}:80")).collect();
        assert_eq!(hosts(&[json!({ "args": many })]).len(), 64);
    }
}
