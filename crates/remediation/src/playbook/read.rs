//! From YAML to playbooks, with every fault at its place.

use kubewise_core::Period;
use kubewise_core::anomaly::Reason;
use kubewise_core::plan::{HAND_OVER, Mode};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use super::expression::{Complaint, Expression, Text, nearest};
use super::{Candidate, Fault, Parameter, Playbook, Scope};
use crate::action::{ActionType, REGISTRY};
use crate::facts::Facts;

/// Bytes of one file; a long playbook has 2 KB.
const MAX_FILE: usize = 64 << 10;
/// Files; each is evaluated for every incident.
const MAX_PLAYBOOKS: usize = 200;
/// Entries of any list or map in a playbook.
const MAX_ENTRIES: usize = 32;

const KEYS: [&str; 9] = [
    "name",
    "description",
    "reasons",
    "when",
    "candidates",
    "maxMode",
    "rootCause",
    "reasoning",
    "verification",
];

pub(super) fn playbooks<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<Vec<Playbook>, Vec<Fault>> {
    let examples: Vec<Scope> = Facts::examples().iter().map(Scope::of).collect();
    let mut playbooks: Vec<Playbook> = Vec::new();
    let mut faults = Vec::new();
    for (index, (file, text)) in files.iter().enumerate() {
        let mut reader =
            Reader { file: file.as_ref(), text: text.as_ref(), examples: &examples, faults: Vec::new() };
        if index >= MAX_PLAYBOOKS {
            reader.fault_at(1, 1, format!("there are more than {MAX_PLAYBOOKS} playbooks"));
            faults.append(&mut reader.faults);
            break;
        }
        if let Some((playbook, name_at)) = reader.file() {
            if playbooks.iter().any(|other| other.name == playbook.name) {
                reader.fault(name_at, format!("another playbook is named `{}`, too", playbook.name));
            }
            playbooks.push(playbook);
        }
        faults.append(&mut reader.faults);
    }
    if faults.is_empty() { Ok(playbooks) } else { Err(faults) }
}

/// YAML as it stands, every part with its place.
#[derive(Debug)]
enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Node;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("YAML")
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Scalar(Value::Null))
            }

            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Scalar(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = entries.next_element()? {
                    list.push(entry);
                }
                Ok(Node::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
                let mut map = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    map.push(entry);
                }
                Ok(Node::Map(map))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    examples: &'a [Scope],
    faults: Vec<Fault>,
}

type Place<'a> = &'a Spanned<Node>;

impl Reader<'_> {
    fn fault_at(&mut self, line: u64, column: u64, message: String) {
        self.faults.push(Fault { file: self.file.into(), line, column, message });
    }

    fn fault(&mut self, at: Location, message: impl Into<String>) {
        self.fault_at(at.line(), at.column(), message.into());
    }

    fn file(&mut self) -> Option<(Playbook, Location)> {
        if self.text.len() > MAX_FILE {
            let size = self.text.len();
            self.fault_at(1, 1, format!("the file has {size} bytes; at most {MAX_FILE} are allowed"));
            return None;
        }
        match serde_saphyr::from_str::<Spanned<Node>>(self.text) {
            Ok(root) => self.playbook(&root),
            Err(error) => {
                let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
                let message = error.without_snippet().to_string();
                self.fault_at(
                    line,
                    column,
                    format!("not YAML: {}", message.lines().next().unwrap_or_default()),
                );
                None
            }
        }
    }

    fn playbook(&mut self, root: Place<'_>) -> Option<(Playbook, Location)> {
        let before = self.faults.len();
        let fields = self.map(root, "a playbook", Some(&KEYS))?;
        let field = |key: &str| fields.iter().find(|(name, _)| name.value == key).map(|(_, node)| node);
        for key in ["name", "description", "reasons", "candidates", "rootCause", "reasoning"] {
            if field(key).is_none() {
                self.fault(root.referenced, format!("the key `{key}` is missing"));
            }
        }
        let playbook = Playbook {
            name: self.text_of(field("name")),
            description: self.text_of(field("description")),
            reasons: self.reasons(field("reasons")),
            when: self.conditions(field("when")),
            candidates: self.candidates(field("candidates")),
            max_mode: self.parsed(field("maxMode")).unwrap_or(Mode::Auto),
            root_cause: self.template(field("rootCause")),
            reasoning: self.template(field("reasoning")),
            settle: None,
            checks: Vec::new(),
        };
        let (settle, checks) = self.verification(field("verification"));
        let name_at = field("name")?.referenced;
        (self.faults.len() == before).then_some((Playbook { settle, checks, ..playbook }, name_at))
    }

    /// The entries of a map; keys that are not among the known ones are faults.
    fn map<'n>(
        &mut self,
        node: Place<'n>,
        what: &str,
        known: Option<&[&str]>,
    ) -> Option<&'n [(Spanned<String>, Spanned<Node>)]> {
        let Node::Map(entries) = &node.value else {
            self.fault(node.referenced, format!("{what} must be a map of keys and values"));
            return None;
        };
        if entries.len() > MAX_ENTRIES {
            self.fault(node.referenced, format!("{what} has more than {MAX_ENTRIES} entries"));
        }
        for (key, _) in entries {
            if let Some(known) = known.filter(|known| !known.contains(&key.value.as_str())) {
                self.fault(
                    key.referenced,
                    format!("`{}` is not a key of {what}; {}", key.value, nearest(&key.value, known)),
                );
            }
        }
        Some(entries)
    }

    /// The entries of a list; a single text stands for a list of one.
    fn list<'n>(&mut self, node: Option<Place<'n>>) -> Vec<Place<'n>> {
        let Some(node) = node else { return Vec::new() };
        match &node.value {
            Node::List(entries) if entries.len() <= MAX_ENTRIES => entries.iter().collect(),
            Node::List(_) => {
                self.fault(node.referenced, format!("the list has more than {MAX_ENTRIES} entries"));
                Vec::new()
            }
            Node::Scalar(Value::String(_)) => vec![node],
            Node::Scalar(_) | Node::Map(_) => {
                self.fault(node.referenced, "this must be a list");
                Vec::new()
            }
        }
    }

    fn text_of(&mut self, node: Option<Place<'_>>) -> String {
        let Some(node) = node else { return String::new() };
        if let Node::Scalar(Value::String(text)) = &node.value
            && !text.trim().is_empty()
        {
            return text.trim().into();
        }
        self.fault(node.referenced, "this must be a text");
        String::new()
    }

    fn parsed<T: std::str::FromStr>(&mut self, node: Option<Place<'_>>) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        let node = node?;
        let text = match &node.value {
            Node::Scalar(Value::String(text)) => text.clone(),
            Node::Scalar(other) => other.to_string(),
            Node::List(_) | Node::Map(_) => return self.text_of(Some(node)).parse().ok(),
        };
        text.parse().map_err(|error: T::Err| self.fault(node.referenced, error.to_string())).ok()
    }

    fn reasons(&mut self, node: Option<Place<'_>>) -> Vec<Reason> {
        let known: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        let mut reasons = Vec::new();
        for entry in self.list(node) {
            let name = self.text_of(Some(entry));
            match Reason::ALL.iter().find(|reason| reason.as_str() == name) {
                Some(reason) => reasons.push(*reason),
                None if name.is_empty() => {}
                None => self
                    .fault(entry.referenced, format!("`{name}` is not a reason; {}", nearest(&name, &known))),
            }
        }
        reasons
    }

    fn conditions(&mut self, node: Option<Place<'_>>) -> Vec<Expression> {
        let mut conditions = Vec::new();
        for entry in self.list(node) {
            if let Node::Scalar(Value::String(source)) = &entry.value {
                conditions.extend(self.expression(entry.referenced, source, 0, true));
            } else {
                self.fault(entry.referenced, "a condition must be a CEL expression that is true or false");
            }
        }
        conditions
    }

    /// Compiles and tries an expression that begins `skip` characters after the start of its text.
    fn expression(&mut self, at: Location, source: &str, skip: u64, condition: bool) -> Option<Expression> {
        let complaints = match Expression::compile(source) {
            Ok(expression) => {
                let complaints = expression.complaints(self.examples, condition);
                if complaints.is_empty() {
                    return Some(expression);
                }
                complaints
            }
            Err(complaints) => complaints,
        };
        self.complaints(at, complaints, skip);
        None
    }

    /// Puts complaints at their place in the file: a text begins after its quote, if it has one, and in a block
    /// the lines are not counted.
    fn complaints(&mut self, at: Location, complaints: Vec<Complaint>, skip: u64) {
        let line = self.text.lines().nth((at.line() as usize).saturating_sub(1)).unwrap_or_default();
        let first = line.chars().nth((at.column() as usize).saturating_sub(1));
        let quote = u64::from(matches!(first, Some('"' | '\'')));
        let in_place = !matches!(first, Some('|' | '>'));
        for complaint in complaints {
            let on_line =
                if in_place && complaint.line == 1 { complaint.column - 1 + skip + quote } else { 0 };
            self.fault_at(at.line(), at.column() + on_line, complaint.message);
        }
    }

    fn template(&mut self, node: Option<Place<'_>>) -> Text {
        let source = self.text_of(node);
        match (Text::compile(&source, self.examples), node) {
            (Ok(text), _) => return text,
            (Err(complaints), Some(node)) => self.complaints(node.referenced, complaints, 0),
            (Err(_), None) => {}
        }
        Text::default()
    }

    fn candidates(&mut self, node: Option<Place<'_>>) -> Vec<Candidate> {
        if let Some(node) = node
            && matches!(&node.value, Node::List(entries) if entries.is_empty())
        {
            let message = format!("there is no candidate; `action: {HAND_OVER}` leaves it to a person");
            self.fault(node.referenced, message);
        }
        self.list(node).into_iter().filter_map(|entry| self.candidate(entry)).collect()
    }

    fn candidate(&mut self, node: Place<'_>) -> Option<Candidate> {
        let fields = self.map(node, "a candidate", Some(&["action", "when", "parameters"]))?;
        let field = |key: &str| fields.iter().find(|(name, _)| name.value == key).map(|(_, node)| node);
        let when = self.conditions(field("when"));
        let Some(action_node) = field("action") else {
            self.fault(node.referenced, "the key `action` is missing");
            return None;
        };
        let name = self.text_of(Some(action_node));
        let Some(action) = ActionType::named(&name) else {
            let known: Vec<&str> = REGISTRY.iter().map(|action| action.name).collect();
            self.fault(
                action_node.referenced,
                format!("`{name}` is not an action; {}", nearest(&name, &known)),
            );
            return None;
        };
        let before = self.faults.len();
        let parameters = field("parameters").map(|node| self.parameters(node, action)).unwrap_or_default();
        let candidate = Candidate { action, when, parameters };
        if self.faults.len() == before {
            let at = field("parameters").unwrap_or(action_node).referenced;
            let trial = self.examples.iter().find_map(|example| {
                candidate
                    .parameters(example)
                    .and_then(|values| (action.check)(&values).map_err(|unmet| unmet.0))
                    .err()
            });
            if let Some(message) = trial {
                self.fault(at, message);
            }
        }
        Some(candidate)
    }

    fn parameters(&mut self, node: Place<'_>, action: &ActionType) -> Vec<(String, Parameter)> {
        let schema = (action.schema)();
        let known = schema.get("properties").and_then(Value::as_object);
        let known: Vec<&str> = known.into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let what = format!("the parameters of {}", action.name);
        let mut parameters = Vec::new();
        for (key, value) in self.map(node, &what, Some(&known)).unwrap_or_default() {
            let parameter = match &value.value {
                Node::Scalar(Value::String(text)) => match text.strip_prefix('=') {
                    Some(source) => match self.expression(value.referenced, source, 1, false) {
                        Some(expression) => Parameter::Computed(expression),
                        None => continue,
                    },
                    None => Parameter::Literal(text.clone().into()),
                },
                Node::Scalar(value) => Parameter::Literal(value.clone()),
                Node::List(_) | Node::Map(_) => {
                    self.fault(value.referenced, "a parameter must be a single value");
                    continue;
                }
            };
            parameters.push((key.value.clone(), parameter));
        }
        parameters
    }

    fn verification(&mut self, node: Option<Place<'_>>) -> (Option<Period>, Vec<String>) {
        let Some(node) = node else { return (None, Vec::new()) };
        let fields = self.map(node, "verification", Some(&["settle", "checks"])).unwrap_or_default();
        let field = |key: &str| fields.iter().find(|(name, _)| name.value == key).map(|(_, node)| node);
        let settle = self.parsed(field("settle"));
        let checks = self.list(field("checks")).into_iter().map(|check| self.text_of(Some(check))).collect();
        (settle, checks)
    }
}
