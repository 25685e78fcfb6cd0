//! A running gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Answer, Client, Outgoing, chat_body, chat_request, whole};
use crate::exposition::Exposition;
use crate::flow::Flow;
use crate::program::{Program, Signal, weir, weir_that_resolves};
use crate::wait::{self, holds};

/// How a gateway is started.
#[derive(Debug, Default)]
pub struct Launch {
    document: Option<String>,
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    listen: Option<String>,
    stderr: Option<Stdio>,
    resolv_conf: Option<PathBuf>,
}

impl Launch {
    /// Without a document: the built-in trial.
    pub fn trial() -> Self {
        Self::default()
    }

    pub fn of(document: impl Into<String>) -> Self {
        Self { document: Some(document.into()), ..Self::default() }
    }

    /// With a document that the test has written itself.
    pub fn at(file: PathBuf) -> Self {
        Self { file: Some(file), ..Self::default() }
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Where it listens, in place of a port of loopback.
    #[must_use]
    pub fn listen(mut self, address: &str) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// Where its log goes, in place of a pipe that is read.
    #[must_use]
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// With this file in place of `/etc/resolv.conf`, for this process alone.
    #[must_use]
    pub fn resolv_conf(mut self, file: PathBuf) -> Self {
        self.resolv_conf = Some(file);
        self
    }

    /// Runs it until it has said where it listens.
    pub async fn say_listening(self) -> Gateway {
        let folder = tempfile::tempdir().unwrap();
        let file = self.file.clone().unwrap_or_else(|| folder.path().join("weir.toml"));
        let listen = self.listen.as_deref().unwrap_or("127.0.0.1:0");
        let arguments = ["serve", "--listen", listen, "--log-format", "json"];
        let mut command = match &self.resolv_conf {
            None => weir(&arguments),
            Some(file) => weir_that_resolves(&arguments, file),
        };
        if let Some(document) = &self.document {
            // Tests read what an operator reads, unless they say themselves who does.
            let says = document.lines().any(|line| line.trim_start().starts_with("public"));
            let public = if says { "" } else { "public = [\"explain\", \"metrics\", \"ready\"]\n" };
            std::fs::write(&file, format!("{public}{document}")).unwrap();
        }
        if self.document.is_some() || self.file.is_some() {
            command.arg("--config").arg(&file);
        }
        command.args(self.arguments).envs(self.environment).current_dir(folder.path());
        let mut program = Program::run_with(command, self.stderr.unwrap_or_else(Stdio::piped));
        let address = wait::until("`listening on`", async || {
            if let Some(status) = program.ended() {
                panic!("it ended: {status}\n{}", program.stderr.text());
            }
            let lines = program.stdout.now();
            let address = lines.iter().find_map(|line| line.strip_prefix("listening on http://"))?;
            Some(address.parse::<SocketAddr>().unwrap())
        })
        .await;
        Gateway { address, file, program, client: Client::new(), _folder: folder }
    }

    /// Runs it until it answers.
    pub async fn start(self) -> Gateway {
        let gateway = self.say_listening().await;
        assert_eq!(gateway.get("/health").await.status, 200);
        gateway
    }
}

/// A gateway of one test. Dropped, it is killed.
#[derive(Debug)]
pub struct Gateway {
    pub address: SocketAddr,
    /// Its document.
    pub file: PathBuf,
    pub program: Program,
    client: Client,
    _folder: TempDir,
}

impl Gateway {
    /// Serves `document`.
    pub async fn start(document: impl Into<String>) -> Self {
        Launch::of(document).start().await
    }

    /// Sends a request; only its path and query need to be set.
    pub async fn try_send(
        &self,
        mut request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        let target = request.uri().path_and_query().unwrap().as_str();
        *request.uri_mut() = format!("http://{}{target}", self.address).parse::<Uri>().unwrap();
        self.client.send(request).await
    }

    pub async fn send(&self, request: Request<Outgoing>) -> Answer {
        Answer::read(self.try_send(request).await.expect("an answer")).await
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.send(Request::get(target).body(whole("")).unwrap()).await
    }

    pub async fn post(&self, target: &str, body: &Value) -> Answer {
        let request = Request::post(target).header("content-type", "application/json");
        self.send(request.body(whole(body.to_string())).unwrap()).await
    }

    /// Everything that it has said so far, and what it shows of itself, to be searched for what must not be
    /// there.
    pub async fn everything_said(&self) -> String {
        let Program { stdout, stderr, .. } = &self.program;
        let (metrics, ready) = (self.get("/metrics").await.text(), self.get("/ready").await.text());
        [stdout.text(), stderr.text(), metrics, ready].join("\n")
    }

    /// A whole chat completion.
    pub async fn chat(&self, model: &str) -> Answer {
        self.send(chat_request(&chat_body(model))).await
    }

    /// The same, with what was decided.
    pub async fn explained_chat(&self, model: &str) -> Answer {
        let mut request = chat_request(&chat_body(model));
        request.headers_mut().insert("x-weir-explain", "1".parse().unwrap());
        self.send(request).await
    }

    /// A streamed chat completion.
    pub async fn stream(&self, model: &str) -> Flow {
        let mut body = chat_body(model);
        body["stream"] = true.into();
        self.flow(chat_request(&body)).await
    }

    /// An answer to be read as it comes.
    pub async fn flow(&self, request: Request<Outgoing>) -> Flow {
        Flow::new(self.try_send(request).await.expect("an answer"))
    }

    pub async fn metrics(&self) -> Exposition {
        let answer = self.get("/metrics").await;
        assert_eq!(answer.status, 200);
        Exposition(answer.text())
    }

    /// Waits until `/metrics` shows what is looked for.
    pub async fn until_metrics(&self, what: &str, found: impl Fn(&Exposition) -> bool) {
        wait::until(what, async || holds(found(&self.metrics().await))).await;
    }

    /// All requests are settled and no call is left at an upstream (invariant 5).
    pub async fn until_idle(&self) {
        self.until_metrics("nothing in flight", |metrics| {
            metrics.sum("weir_in_flight", &[]).abs() < 0.5
                && metrics.sum("weir_upstream_in_flight", &[]).abs() < 0.5
        })
        .await;
    }

    /// The log lines so far.
    pub fn logs(&self) -> Vec<Value> {
        let lines = self.program.stderr.now();
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The ledger so far.
    pub fn records(&self) -> Vec<Value> {
        let mut lines = self.logs();
        lines.retain(|line| line["message"] == "request");
        lines
    }

    /// Waits for that many records of the ledger.
    pub async fn until_records(&self, count: usize) -> Vec<Value> {
        wait::until(&format!("{count} records"), async || {
            let records = self.records();
            (records.len() >= count).then_some(records)
        })
        .await
    }

    /// The one record there is.
    pub async fn record(&self) -> Value {
        let records = self.until_records(1).await;
        assert_eq!(records.len(), 1, "{records:?}");
        records[0].clone()
    }

    pub fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    pub async fn end(&mut self, patience: Duration) -> ExitStatus {
        self.program.end(patience).await
    }
}
