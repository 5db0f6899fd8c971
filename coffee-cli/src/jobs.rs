//! `coffee jobs` and `coffee cancel`: what a cluster works on.

use clap::{Args, builder::BoolishValueParser};
use coffee_core::frame::JobId;
use coffee_nodes::{
    client::{Client, ClientError, ClientOptions},
    job::{ErrorReport, JobState, JobSummary},
    sales::SalesError,
};
use serde::Serialize;

use crate::{failure::Failure, output, output::printable, signals};

/// Where the cluster is.
#[derive(Clone, Debug, Args)]
pub struct GatewaysArgs {
    /// The cluster's gateways; the first that answers is used
    #[arg(long, env = "COFFEE_GATEWAY", value_name = "HOST:PORT,...", value_delimiter = ',')]
    #[arg(default_value = "127.0.0.1:9000")]
    gateway: Vec<String>,
}

impl GatewaysArgs {
    /// For a client.
    pub fn options(&self) -> ClientOptions {
        ClientOptions::new(self.gateway.clone())
    }
}

/// Lists the jobs of a cluster, or tells about one
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  coffee jobs --gateway 127.0.0.1:9000 --json")]
pub struct JobsArgs {
    /// One job: with what went wrong
    id: Option<JobId>,
    #[command(flatten)]
    gateways: GatewaysArgs,
    /// Prints JSON, a job a line
    #[arg(long, env = "COFFEE_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

/// Cancels a job that has not ended
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  coffee cancel 0123456789abcdef-7")]
pub struct CancelArgs {
    /// The job
    id: JobId,
    #[command(flatten)]
    gateways: GatewaysArgs,
}

pub fn list(args: &JobsArgs) -> Result<(), Failure> {
    let (client, stop) = (Client::new(args.gateways.options()), signals::stop_on_interrupt()?);
    let text = match args.id {
        Some(job) => {
            let (summary, errors) = client.describe(job, &stop)?;
            show(&summary, &errors, args.json)
        }
        None => client.list(&stop)?.iter().map(|summary| show(summary, &[], args.json)).collect(),
    };
    output::print(text.as_bytes())
}

pub fn cancel(args: &CancelArgs) -> Result<(), Failure> {
    let stop = signals::stop_on_interrupt()?;
    let (summary, errors) = Client::new(args.gateways.options()).cancel(args.id, &stop)?;
    output::print(show(&summary, &errors, false).as_bytes())
}

/// A job as JSON has it.
#[derive(Serialize)]
struct Shown<'a> {
    job: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    minted_ms: u64,
    ended_ms: Option<u64>,
    bytes: u64,
    chunks: u64,
    uploaded: bool,
    errors: &'a [ErrorReport],
}

fn show(summary: &JobSummary, errors: &[ErrorReport], json: bool) -> String {
    let (state, before, reason) = match &summary.state {
        JobState::Waiting { before } => ("waiting", Some(*before), None),
        JobState::Running if summary.uploaded => ("computing", None, None),
        JobState::Running => ("uploading", None, None),
        JobState::Done => ("done", None, None),
        JobState::Failed { reason } => ("failed", None, Some(reason.as_str())),
        JobState::Cancelled => ("cancelled", None, None),
    };
    if json {
        let JobSummary { job, minted_ms, ended_ms, bytes, chunks, uploaded, .. } = *summary;
        let shown =
            Shown { job: job.to_string(), state, before, reason, minted_ms, ended_ms, bytes, chunks, uploaded, errors };
        // Texts and numbers always make JSON.
        return serde_json::to_string(&shown).unwrap_or_default() + "\n";
    }
    let mut text =
        format!("{}  {state:<9}  {:>9.1} MB  {} chunks", summary.job, summary.bytes as f64 / 1e6, summary.chunks);
    text += &before.map(|before| format!("  {before} before it")).unwrap_or_default();
    text += &reason.map(|reason| format!("  {}", printable(reason))).unwrap_or_default();
    text.push('\n');
    for ErrorReport { node, text: what, .. } in errors {
        text += &format!("  {}: {}\n", printable(node), printable(what));
    }
    text
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Interrupted => Failure::from(SalesError::Interrupted),
            error if error.is_bad_request() => Failure::usage("the cluster", error),
            error => Failure::work("the cluster", error),
        }
    }
}
