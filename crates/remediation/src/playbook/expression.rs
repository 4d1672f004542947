//! Conditions and parameters in CEL, bounded and checked.
//!
//! There are no macros, hence no loops: the cost of an expression is bounded by its length, which is bounded.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr, operators};
use cel::{Context, Env, ExecutionError, IdedExpr, Program};
use serde_json::Value;

use crate::facts::Facts;

/// Characters; a condition that a person cannot read at a glance belongs in two.
const MAX_LENGTH: usize = 512;
/// Nesting; far more than a readable condition has, far less than a stack has.
const MAX_DEPTH: u16 = 32;
/// Steps of one name, such as `revision.lastHealthy`.
const MAX_PATH: usize = 8;

/// What a playbook may call.
const FUNCTIONS: [&str; 9] =
    ["size", "contains", "startsWith", "endsWith", "matches", "int", "double", "string", "bool"];

/// CEL without macros.
static LANGUAGE: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::default().with_stdlib().with_optional_support(false)));

/// What is wrong with an expression, at a position within its source (from 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) message: String,
}

pub(crate) struct Expression {
    program: Program,
    source: String,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.source)
    }
}

/// Facts as CEL variables.
pub(crate) struct Scope {
    context: Context<'static, 'static>,
    /// The same as JSON: which names there are.
    names: Value,
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.names.fmt(f)
    }
}

impl Scope {
    pub(crate) fn of(facts: &Facts) -> Self {
        let mut context = Context::with_env(Arc::clone(&LANGUAGE));
        let names = serde_json::to_value(facts).unwrap_or_default();
        let variables = [
            ("incident", cel::to_value(&facts.incident)),
            ("workload", cel::to_value(&facts.workload)),
            ("revision", cel::to_value(&facts.revision)),
            ("crash", cel::to_value(&facts.crash)),
            ("probe", cel::to_value(&facts.probe)),
            ("memory", cel::to_value(&facts.memory)),
            ("throttling", cel::to_value(&facts.throttling)),
            ("replicas", cel::to_value(&facts.replicas)),
            ("ordinal", cel::to_value(&facts.ordinal)),
            ("autoscaler", cel::to_value(&facts.autoscaler)),
            ("service", cel::to_value(&facts.service)),
            ("claim", cel::to_value(&facts.claim)),
            ("node", cel::to_value(&facts.node)),
            ("job", cel::to_value(&facts.job)),
            ("deletion", cel::to_value(&facts.deletion)),
            ("network", cel::to_value(&facts.network)),
        ];
        for (name, value) in variables {
            // Plain structs of numbers and texts always convert; a variable that is left out would be told at load.
            if let Ok(value) = value {
                context.add_variable_from_value(name, value);
            }
        }
        Scope { context, names }
    }

    /// Whether all hold. What cannot be evaluated does not hold: then nothing is done.
    pub(super) fn all(&self, conditions: &[Expression]) -> bool {
        conditions
            .iter()
            .all(|condition| matches!(self.value(condition.program.expression()), Ok(cel::Value::Bool(true))))
    }

    pub(super) fn json(&self, expression: &Expression) -> Result<Value, String> {
        let value = self.value(expression.program.expression()).map_err(|error| error.to_string())?;
        value.json().map_err(|error| error.to_string())
    }

    /// The interpreter is not ours: should it panic, that is an error of the expression and not our end.
    fn value(&self, expression: &IdedExpr) -> Result<cel::Value, ExecutionError> {
        catch_unwind(AssertUnwindSafe(|| self.context.resolve(expression)))
            .unwrap_or_else(|cause| Err(ExecutionError::InternalError(panic_message(&*cause))))
    }
}

fn panic_message(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".into())
}

impl Expression {
    pub(super) fn compile(source: &str) -> Result<Self, Vec<Complaint>> {
        let at_start = |message: String| vec![Complaint { line: 1, column: 1, message }];
        let length = source.chars().count();
        if length > MAX_LENGTH {
            return Err(at_start(format!(
                "the expression has {length} characters; at most {MAX_LENGTH} are allowed"
            )));
        }
        // A generated parser may panic on hostile text.
        let parsed =
            catch_unwind(|| LANGUAGE.parser().max_recursion_depth(MAX_DEPTH).parse(source).map(|_| ()));
        let compiled = parsed.and_then(|parsed| match parsed {
            Ok(()) => catch_unwind(|| LANGUAGE.compile(source)),
            Err(errors) => Ok(Err(errors)),
        });
        match compiled {
            Ok(Ok(program)) => Ok(Expression { program, source: source.into() }),
            Ok(Err(errors)) => Err(errors
                .errors
                .into_iter()
                .map(|error| Complaint {
                    line: u64::try_from(error.pos.0).unwrap_or(1).max(1),
                    column: u64::try_from(error.pos.1).unwrap_or(1).max(1),
                    message: format!("not CEL: {}", error.msg),
                })
                .collect()),
            Err(cause) => Err(at_start(format!("not CEL: {}", panic_message(&*cause)))),
        }
    }

    /// Evaluates every part of the expression in every example, so that a wrong name or type shows wherever it
    /// stands, also behind an `&&` that does not get that far.
    pub(super) fn complaints(&self, examples: &[Scope], must_be_bool: bool) -> Vec<Complaint> {
        let Some(names) = examples.first() else { return Vec::new() };
        let mut check = Check { expression: self, examples, names: &names.names, complaints: Vec::new() };
        let root = self.program.expression();
        check.visit(root);
        if check.complaints.is_empty()
            && must_be_bool
            && let Some(found) = check.type_of(root).filter(|found| *found != "bool")
        {
            check.complain(root, format!("a condition must be true or false, this is {found}"));
        }
        check.complaints
    }
}

struct Check<'a> {
    expression: &'a Expression,
    examples: &'a [Scope],
    names: &'a Value,
    complaints: Vec<Complaint>,
}

impl Check<'_> {
    /// About a node, at its first character.
    fn complain(&mut self, about: &IdedExpr, message: String) {
        let start = self.start(about);
        self.complain_at(start, message);
    }

    fn offset(&self, node: &IdedExpr) -> usize {
        self.expression.program.source_info().offset_for(node.id).map_or(0, |(start, _)| start as usize)
    }

    /// Where a node begins; what the parser notes of an operator, a field or a call is the place of its sign.
    fn start(&self, node: &IdedExpr) -> usize {
        let below = match &node.expr {
            Expr::Select(select) => Some(&*select.operand),
            Expr::Call(call) => call.target.as_deref().or(call.args.first()),
            Expr::Unspecified
            | Expr::Comprehension(_)
            | Expr::Ident(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Struct(_) => None,
        };
        let name = function(node).map_or(0, |name| name.chars().count());
        let own = self.offset(node).saturating_sub(name);
        below.map_or(usize::MAX, |below| self.start(below)).min(own)
    }

    fn complain_at(&mut self, start: usize, message: String) {
        let before: Vec<char> = self.expression.source.chars().take(start).collect();
        let line = before.iter().filter(|c| **c == '\n').count() as u64 + 1;
        let column = before.iter().rev().take_while(|c| **c != '\n').count() as u64 + 1;
        self.complaints.push(Complaint { line, column, message });
    }

    fn visit(&mut self, node: &IdedExpr) {
        let found = self.complaints.len();
        match &node.expr {
            Expr::Ident(_) | Expr::Select(_) => return self.visit_name(node),
            Expr::Call(call) => {
                if let Some(name) = function(node).filter(|name| !FUNCTIONS.contains(name)) {
                    let message = format!("`{name}` is no function here; {}", nearest(name, &FUNCTIONS));
                    return self.complain(node, message);
                }
                let operands: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
                for operand in &operands {
                    self.visit(operand);
                }
                if self.complaints.len() == found {
                    self.visit_operands(node, &call.func_name, &operands);
                }
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(element)),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.visit(&entry.key);
                        self.visit(&entry.value);
                    }
                }
            }
            Expr::Literal(_) => return,
            Expr::Struct(_) | Expr::Comprehension(_) | Expr::Unspecified => {
                return self.complain(node, "only values, names, operators and functions are allowed".into());
            }
        }
        if self.complaints.len() > found {
            return;
        }
        for example in self.examples {
            match example.value(node) {
                Ok(_)
                | Err(
                    // These depend on values, not on types.
                    ExecutionError::DivisionByZero(_)
                    | ExecutionError::RemainderByZero(_)
                    | ExecutionError::Overflow(..)
                    | ExecutionError::IndexOutOfBounds(_)
                    | ExecutionError::NoSuchKey(_),
                ) => {}
                Err(error) => return self.complain(node, error.to_string()),
            }
        }
    }

    fn visit_operands(&mut self, node: &IdedExpr, function: &str, operands: &[&IdedExpr]) {
        let logical = match function {
            operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => operands.len(),
            operators::CONDITIONAL => 1,
            _ => 0,
        };
        for operand in operands.iter().take(logical) {
            if let Some(found) = self.type_of(operand).filter(|found| *found != "bool") {
                return self.complain(operand, format!("this must be true or false, it is {found}"));
            }
        }
        if matches!(function, operators::EQUALS | operators::NOT_EQUALS)
            && let [left, right] = operands
            && let (Some(left), Some(right)) = (self.type_of(left), self.type_of(right))
            && left != right
        {
            self.complain(node, format!("{left} is compared with {right}; they are never equal"));
        }
    }

    /// A name: a variable and its fields, all of which must exist.
    fn visit_name(&mut self, node: &IdedExpr) {
        let mut path = Vec::new();
        let mut at = node;
        for _ in 0..MAX_PATH {
            if let Expr::Select(select) = &at.expr {
                path.push((select.field.as_str(), at));
                at = &select.operand;
            } else if let Expr::Ident(name) = &at.expr {
                path.push((name.as_str(), at));
                break;
            } else {
                return self.complain(node, "only a variable has fields".into());
            }
        }
        let mut known = self.names;
        for (name, at) in path.into_iter().rev() {
            if let Some(next) = known.get(name) {
                known = next;
            } else {
                let names = known.as_object().into_iter().flatten();
                let names: Vec<&str> = names.map(|(key, _)| key.as_str()).collect();
                let sign = usize::from(matches!(at.expr, Expr::Select(_)));
                let message = format!("`{name}` is not known; {}", nearest(name, &names));
                return self.complain_at(self.offset(at) + sign, message);
            }
        }
    }

    fn type_of(&self, node: &IdedExpr) -> Option<&'static str> {
        Some(match self.examples.first()?.value(node).ok()? {
            cel::Value::Bool(_) => "bool",
            cel::Value::Int(_) | cel::Value::UInt(_) | cel::Value::Float(_) => "a number",
            cel::Value::String(_) => "a text",
            cel::Value::List(_) => "a list",
            cel::Value::Map(_) => "a map",
            cel::Value::Null => "null",
            cel::Value::Bytes(_) => "bytes",
            cel::Value::Function(..) | cel::Value::Opaque(_) | cel::Value::Struct(_) => return None,
        })
    }
}

/// The name of the function that a node calls; operators have signs, not names.
fn function(node: &IdedExpr) -> Option<&str> {
    let Expr::Call(call) = &node.expr else { return None };
    Some(call.func_name.as_str()).filter(|name| name.starts_with(char::is_alphabetic))
}

/// The name that was probably meant, or all there are.
pub(super) fn nearest(name: &str, known: &[&str]) -> String {
    /// Normalised Damerau-Levenshtein similarity, from which on a name is probably a slip of another.
    const SIMILAR: f64 = 0.5;
    let similarity =
        |other: &str| strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    let best = known.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    match best.filter(|best| similarity(best) >= SIMILAR) {
        Some(best) => format!("did you mean `{best}`?"),
        None if known.is_empty() => "it has no fields".into(),
        None => format!("known are {}", known.join(", ")),
    }
}

/// A text with CEL in `${…}`.
#[derive(Debug, Default)]
pub(crate) struct Text {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Literal(String),
    Computed(Expression),
}

impl Text {
    /// The complaints are at positions within `source`.
    pub(super) fn compile(source: &str, examples: &[Scope]) -> Result<Self, Vec<Complaint>> {
        let mut parts = Vec::new();
        let mut complaints = Vec::new();
        let mut rest = source;
        while let Some((before, after)) = rest.split_once("${") {
            let offset = source.chars().count() - after.chars().count();
            parts.push(Part::Literal(before.into()));
            let Some((inner, tail)) = after.split_once('}') else {
                let column = offset as u64 - 1;
                let message = "`${` is never closed by `}`".into();
                complaints.push(Complaint { line: 1, column, message });
                rest = "";
                break;
            };
            match Expression::compile(inner) {
                Ok(expression) => {
                    complaints.extend(shifted(expression.complaints(examples, false), offset));
                    parts.push(Part::Computed(expression));
                }
                Err(found) => complaints.extend(shifted(found, offset)),
            }
            rest = tail;
        }
        parts.push(Part::Literal(rest.into()));
        if complaints.is_empty() { Ok(Text { parts }) } else { Err(complaints) }
    }

    pub(crate) fn told(&self, scope: &Scope) -> String {
        let part = |part: &Part| match part {
            Part::Literal(text) => text.clone(),
            Part::Computed(expression) => match scope.json(expression) {
                Ok(Value::String(text)) => text,
                Ok(value) => value.to_string(),
                Err(_) => "?".into(),
            },
        };
        self.parts.iter().map(part).collect()
    }
}

fn shifted(complaints: Vec<Complaint>, by: usize) -> impl Iterator<Item = Complaint> {
    complaints.into_iter().map(move |mut complaint| {
        if complaint.line == 1 {
            complaint.column += by as u64;
        }
        complaint
    })
}
