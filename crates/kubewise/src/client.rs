//! The client commands: ask the API, print for people or for scripts.

mod table;

use std::time::Duration;

use anyhow::{Context, Result};
use kubewise_core::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cli::{
    ApproveArgs, ClientArgs, ExplainArgs, FeedbackArgs, FeedbackLabel, Format, ListArgs, PauseArgs, PlanArgs,
    PlansArgs, PlansCommand, RecordArgs, RecordCommand, RejectArgs, ReleaseArgs, ResumeArgs, SuppressionArgs,
    SuppressionCommand,
};
use crate::exit::{Ended, Exit};
use crate::terminal::say;

/// People wait at the terminal: longer than this is as good as no answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Where a model is asked: as long as the API itself waits, and a little for the way.
const PATIENCE: Duration = Duration::from_secs(35);

pub(crate) async fn status(args: &ClientArgs) -> Result<()> {
    let status = Api::new(args)?.get("/api/v1/status", &[]).await?;
    print(args.output, &status, table::status)
}

pub(crate) async fn autonomy(args: &ClientArgs) -> Result<()> {
    let report = Api::new(args)?.get("/api/v1/autonomy", &[]).await?;
    print(args.output, &report, table::autonomy)
}

/// Lists records of a collection, or shows one.
pub(crate) async fn records(collection: &'static str, args: &RecordArgs) -> Result<()> {
    match &args.show {
        Some(RecordCommand::Show { id, client }) => show(collection, id, client).await,
        None => list(collection, &args.list).await,
    }
}

/// Lists plans, shows one, or shows what the author was asked.
pub(crate) async fn plans(args: &PlansArgs) -> Result<()> {
    match &args.command {
        Some(PlansCommand::Show { id, client }) => show("plans", id, client).await,
        Some(PlansCommand::Prompt { id, client }) => {
            let question = Api::new(client)?.get(&format!("/api/v1/plans/{id}/prompt"), &[]).await?;
            print(client.output, &question, table::question)
        }
        None => list("plans", &args.list).await,
    }
}

async fn show(collection: &'static str, id: &str, client: &ClientArgs) -> Result<()> {
    let api = Api::new(client)?;
    let mut record = api.get(&format!("/api/v1/{collection}/{id}"), &[]).await?;
    if collection == "incidents" {
        let captures = api.get("/api/v1/captures", &[("incident", id)]).await?;
        record["captures"] = captures["items"].clone();
    }
    print(client.output, &record, |record| table::one(collection, record))
}

async fn list(collection: &'static str, args: &ListArgs) -> Result<()> {
    let limit = args.limit.to_string();
    let filters = [
        ("namespace", args.namespace.as_deref()),
        ("workload", args.workload.as_deref()),
        ("status", args.status.as_deref()),
        ("incident", args.incident.as_deref()),
        ("since", args.since.as_deref()),
        ("limit", Some(limit.as_str())),
    ];
    let query: Vec<(&str, &str)> =
        filters.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
    let page = Api::new(&args.client)?.get(&format!("/api/v1/{collection}"), &query).await?;
    print(args.client.output, &page, |page| table::list(collection, page))
}

pub(crate) async fn try_plan(args: &PlanArgs) -> Result<()> {
    let trial =
        Api::new(&args.client)?.get(&format!("/api/v1/incidents/{}/plan", args.incident), &[]).await?;
    print(args.client.output, &trial, table::trial)
}

/// By the model only with the token: whoever may not change anything may not spend anything either.
pub(crate) async fn explain(args: &ExplainArgs) -> Result<()> {
    let api = Api::new(&args.client)?;
    let path = format!("/api/v1/incidents/{}/explanation", args.incident);
    let request = if api.token.is_some() {
        api.request(Method::POST, &path).timeout(PATIENCE)
    } else {
        api.request(Method::GET, &path)
    };
    let explanation = api.send(request).await?;
    print(args.client.output, &explanation, table::explanation)
}

pub(crate) async fn spend(args: &ClientArgs) -> Result<()> {
    let spending = Api::new(args)?.get("/api/v1/spending", &[]).await?;
    print(args.output, &spending, table::spending)
}

pub(crate) async fn approve(args: &ApproveArgs) -> Result<()> {
    let path = format!("/api/v1/plans/{}/approve", args.plan);
    let plan = Api::new(&args.client)?.post(&path, &json!({ "by": args.by.name() })).await?;
    print(args.client.output, &plan, |_| format!("plan {} approved", args.plan))
}

pub(crate) async fn reject(args: &RejectArgs) -> Result<()> {
    let path = format!("/api/v1/plans/{}/reject", args.plan);
    let body = json!({ "reason": args.reason, "by": args.by.name() });
    let plan = Api::new(&args.client)?.post(&path, &body).await?;
    print(args.client.output, &plan, |_| format!("plan {} rejected", args.plan))
}

pub(crate) async fn release(args: &ReleaseArgs) -> Result<()> {
    let path = format!("/api/v1/incidents/{}/release", args.incident);
    let body = json!({ "reason": args.reason, "by": args.by.name() });
    let incident = Api::new(&args.client)?.post(&path, &body).await?;
    print(args.client.output, &incident, |_| format!("incident {} released", args.incident))
}

pub(crate) async fn feedback(args: &FeedbackArgs) -> Result<()> {
    let api = Api::new(&args.client)?;
    let label = match args.label {
        FeedbackLabel::True => "True",
        FeedbackLabel::False => "False",
        FeedbackLabel::Expected => "Expected",
    };
    let mut word = json!({ "label": label, "by": args.by.name() });
    if let Some(reason) = &args.reason {
        word["reason"] = json!(reason);
    }
    if let Some(period) = args.period {
        word["until"] = json!(period.after(Timestamp::now()));
    }
    let feedback = api.post(&format!("/api/v1/incidents/{}/feedback", args.incident), &word).await?;
    print(args.client.output, &feedback, |feedback| {
        let until = feedback["until"].as_str().map(|until| format!(" until {until}")).unwrap_or_default();
        format!(
            "incident {} is {label}{until} ({})",
            args.incident,
            feedback["id"].as_str().unwrap_or_default()
        )
    })
}

pub(crate) async fn suppressions(args: &SuppressionArgs) -> Result<()> {
    if let Some(SuppressionCommand::End { id, by, client }) = &args.command {
        let path = format!("/api/v1/feedback/{id}/end");
        let feedback = Api::new(client)?.post(&path, &json!({ "by": by.name() })).await?;
        return print(client.output, &feedback, |_| format!("suppression {id} ended"));
    }
    let page =
        Api::new(&args.client)?.get("/api/v1/feedback", &[("status", "Expected"), ("limit", "500")]).await?;
    print(args.client.output, &page, |page| table::list("suppressions", page))
}

pub(crate) async fn pause(args: &PauseArgs) -> Result<()> {
    let body = json!({ "reason": args.reason, "by": args.by.name() });
    let pause = Api::new(&args.client)?.post("/api/v1/pause", &body).await?;
    print(args.client.output, &pause, |_| "paused: nothing is begun until `kubewise resume`".into())
}

pub(crate) async fn resume(args: &ResumeArgs) -> Result<()> {
    let pause = Api::new(&args.client)?.post("/api/v1/resume", &json!({ "by": args.by.name() })).await?;
    print(args.client.output, &pause, |_| "resumed".into())
}

/// Prints for people by `table`, for scripts as it came.
fn print(format: Format, value: &Value, table: impl FnOnce(&Value) -> String) -> Result<()> {
    match format {
        Format::Table => say!("{}", table(value)),
        Format::Json => say!("{}", serde_json::to_string_pretty(value)?),
        Format::Yaml => {
            let yaml = serde_saphyr::to_string(value).context("cannot be written as YAML")?;
            say!("{}", yaml.trim_end());
        }
    }
    Ok(())
}

struct Api<'a> {
    client: reqwest::Client,
    server: &'a str,
    token: Option<&'a str>,
}

impl<'a> Api<'a> {
    fn new(args: &'a ClientArgs) -> Result<Self> {
        let client = reqwest::Client::builder().timeout(TIMEOUT).build().context("no HTTP client")?;
        Ok(Api { client, server: args.server.trim_end_matches('/'), token: args.token.as_deref() })
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        self.send(self.request(Method::GET, path).query(query)).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.server));
        if let Some(token) = self.token { request.bearer_auth(token) } else { request }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let answer = request.send().await.map_err(|error| {
            let cause = kubewise_core::failure::chain(&error);
            Ended::error(
                Exit::Unreachable,
                format!(
                    "{} cannot be reached: {cause}; is `kubewise run` up, and is --server right?",
                    self.server
                ),
            )
        })?;
        let status = answer.status();
        let body = answer.bytes().await.context("the answer broke off")?;
        let value: Option<Value> = serde_json::from_slice(&body).ok();
        if status.is_success() {
            return value.context("the answer is not JSON; is --server KubeWise's API?");
        }
        let detail = value
            .as_ref()
            .and_then(|problem| problem.get("detail").or_else(|| problem.get("title"))?.as_str())
            .unwrap_or("no further detail");
        let exit = match status {
            StatusCode::NOT_FOUND => Exit::NotFound,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::Forbidden,
            StatusCode::CONFLICT => Exit::Conflict,
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Exit::Usage,
            _ => Exit::Failed,
        };
        Err(Ended::error(exit, format!("{detail} ({status})")))
    }
}
