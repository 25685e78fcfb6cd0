//! A case on stage: its upstreams, its gateway, and its steps one after the other.

mod request;
mod script;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use weir_native_tests::{Exposition, Seen, Upstream};

use crate::case::{Act, Amount, Body, Case, Expectation, Request, Step};
use crate::client::{Leaving, Reply, exchange};
use crate::ledger::{AT_UPSTREAMS, Change, IN_FLIGHT};
use crate::runtime::{Given, Running, Runtime};
use crate::words::Words;
use crate::{check, client};

/// Lets the stage read what an operator reads, unless the case says itself who does.
fn shown(config: String) -> String {
    let says = config.lines().any(|line| line.starts_with("public"));
    if says { config } else { format!("public = [\"explain\", \"metrics\", \"ready\"]\n{config}") }
}

/// Beyond it, what is waited for is taken not to happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(4);

/// Where requests are counted, stands for all upstreams together.
const ALL: &str = "*";

/// Lines of a log that a failure shows.
const LAST_WORDS: usize = 40;

/// Runs `case` on a gateway of its own; what is wrong is told in full.
pub async fn run(case: &Case, runtime: &dyn Runtime) -> Result<(), String> {
    let mut stage = Stage::set(case, runtime).await?;
    for (number, step) in case.steps.iter().enumerate() {
        if let Err(faults) = stage.play(step).await {
            let (name, log) = (&case.name, stage.last_words());
            let step = format!("step {} ({})", number + 1, describe(&step.act));
            return Err(format!("{name} on {}, {step}:\n{faults}\n\nits log:\n{log}", runtime.name()));
        }
    }
    stage.clear().await.map_err(|fault| {
        format!(
            "{} on {}, behind its last step: {fault}\n\nits log:\n{}",
            case.name,
            runtime.name(),
            stage.last_words()
        )
    })
}

struct Stage {
    gateway: Box<dyn Running>,
    /// Counters that the runtime does not keep.
    untold: &'static [&'static str],
    upstreams: BTreeMap<String, Upstream>,
    gates: BTreeMap<String, Arc<Semaphore>>,
    started: BTreeMap<String, Started>,
    words: Words,
    /// Keeps the port of `{refused}` from being given to anyone else: bound, and not listening.
    _refusing: TcpSocket,
}

/// A request on its way.
struct Started {
    answer: Coming,
    /// Opened, its client leaves.
    leave: Arc<Semaphore>,
    since: Moment,
    is_shells: bool,
}

enum Coming {
    Reading(JoinHandle<Result<Reply, String>>),
    Here(Reply),
}

impl Coming {
    async fn wait(self) -> Result<Reply, String> {
        match self {
            Self::Here(reply) => Ok(reply),
            Self::Reading(task) => {
                let answer = tokio::time::timeout(PATIENCE, task).await;
                answer.map_err(|_| format!("no answer within {PATIENCE:?}"))?.map_err(|e| e.to_string())?
            }
        }
    }
}

/// How things stood when a step began.
struct Moment {
    metrics: Exposition,
    seen: BTreeMap<String, usize>,
}

impl Stage {
    async fn set(case: &Case, runtime: &dyn Runtime) -> Result<Self, String> {
        let mut words = Words::default();
        let mut gates = BTreeMap::new();
        let mut upstreams = BTreeMap::new();
        for (name, answers) in &case.upstreams {
            for gate in script::gates(answers) {
                gates.entry(gate.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(0)));
            }
            let upstream = Upstream::start(script::script(answers, &gates)).await;
            words.add(format!("upstream.{name}"), format!("http://{}", upstream.address));
            upstreams.insert(name.clone(), upstream);
        }
        let refusing = TcpSocket::new_v4().map_err(|e| e.to_string())?;
        refusing.bind(([127, 0, 0, 1], 0).into()).map_err(|e| e.to_string())?;
        let refused = refusing.local_addr().map_err(|e| e.to_string())?;
        words.add("refused", format!("http://{refused}"));
        let given = Given { config: shown(words.spell(&case.config)), environment: case.environment.clone() };
        let gateway = runtime.start(&given).await?;
        words.add("gateway", gateway.address().to_string());
        Ok(Self {
            gateway,
            untold: runtime.untold(),
            upstreams,
            gates,
            started: BTreeMap::new(),
            words,
            _refusing: refusing,
        })
    }

    async fn play(&mut self, step: &Step) -> Result<(), String> {
        let nothing = Expectation::default();
        let expect = step.expect.as_deref().unwrap_or(&nothing);
        match &step.act {
            Act::Send(request, amount) => {
                let since = self.moment().await?;
                let replies = self.send(request, *amount).await?;
                self.judge(expect, &replies, is_of_shell(request))?;
                self.judge_effects(expect, &since).await
            }
            Act::Start { name, request } => {
                let since = self.moment().await?;
                let (address, leave) = (self.gateway.address(), Arc::new(Semaphore::new(0)));
                let pieces = request::pieces(request, address, &self.words)?;
                let (signal, is_head) = (Arc::clone(&leave), request.method == "HEAD");
                let leave_after = request.leave_after;
                let answer = tokio::spawn(async move {
                    let leaving = leave_after.map_or(Leaving::On(&signal), Leaving::After);
                    exchange(address, &pieces, is_head, leaving).await
                });
                let is_shells = is_of_shell(request);
                let answer = Coming::Reading(answer);
                self.started.insert(name.clone(), Started { answer, leave, since, is_shells });
                Ok(())
            }
            Act::Finish(name) => self.finish(name, expect).await,
            Act::Leave(name) => {
                let started = self.started.remove(name).ok_or_else(|| not_started(name))?;
                started.leave.add_permits(1);
                let answer = Coming::Here(started.answer.wait().await?);
                self.started.insert(name.clone(), Started { answer, ..started });
                if step.expect.is_some() { self.finish(name, expect).await } else { Ok(()) }
            }
            Act::Wait(pause) => {
                tokio::time::sleep(*pause).await;
                Ok(())
            }
            Act::Open(gate) => {
                let gate = self.gates.get(gate).ok_or_else(|| format!("there is no gate {gate}"))?;
                gate.add_permits(Semaphore::MAX_PERMITS / 2);
                Ok(())
            }
            Act::Seen(counts) => self.until(counts, "seen", |upstream| upstream.seen().len()).await,
            Act::Gone(counts) => self.until(counts, "gone", Upstream::gone).await,
        }
    }

    async fn send(&self, request: &Request, amount: Amount) -> Result<Vec<Reply>, String> {
        let address = self.gateway.address();
        let pieces = request::pieces(request, address, &self.words)?;
        let leaving = request.leave_after.map_or(Leaving::Never, Leaving::After);
        let once = || async {
            let answer = exchange(address, &pieces, request.method == "HEAD", leaving);
            let answer = tokio::time::timeout(PATIENCE, answer).await;
            answer.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
        };
        match amount {
            Amount::InTurn(times) => {
                let mut replies = Vec::new();
                for _ in 0..times {
                    replies.push(once().await?);
                }
                Ok(replies)
            }
            Amount::Together(count) => join_all((0..count).map(|_| once())).await.into_iter().collect(),
        }
    }

    async fn finish(&mut self, name: &str, expect: &Expectation) -> Result<(), String> {
        let started = self.started.remove(name).ok_or_else(|| not_started(name))?;
        let reply = started.answer.wait().await?;
        // Of an answer that a client has left there may be nothing.
        let is_exempt = started.is_shells || reply.ended == client::Ended::Left;
        self.judge(expect, &[reply], is_exempt)?;
        self.judge_effects(expect, &started.since).await
    }

    fn judge(&self, expect: &Expectation, replies: &[Reply], is_exempt: bool) -> Result<(), String> {
        let addresses: Vec<String> =
            self.upstreams.values().map(|upstream| upstream.address.to_string()).collect();
        for reply in replies {
            let mut faults = check::against(expect, reply, &self.words);
            if !is_exempt && reply.status != 0 {
                faults.extend(check::against_house_rules(reply, &addresses));
            }
            if !faults.is_empty() {
                return Err(format!("{}\n\nthe answer: {}", faults.join("\n"), show(reply)));
            }
        }
        let Some(statuses) = &expect.statuses else { return Ok(()) };
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for reply in replies {
            *counts.entry(reply.status.to_string()).or_default() += 1;
        }
        let is_known = counts.keys().all(|status| statuses.contains_key(status));
        let all_hold =
            statuses.iter().all(|(status, wanted)| wanted.holds(counts.get(status).copied().unwrap_or(0)));
        if is_known && all_hold {
            Ok(())
        } else {
            Err(format!("statuses: expected {statuses:?}, got {counts:?}"))
        }
    }

    /// What upstreams saw and what the books say, once they are closed; while other requests are on their way
    /// they never are, and then it must come to be so in time.
    async fn judge_effects(&self, expect: &Expectation, since: &Moment) -> Result<(), String> {
        let started = std::time::Instant::now();
        loop {
            let is_final = self.started.is_empty();
            if is_final {
                self.until_idle().await?;
            }
            let faults = self.effects(expect, since).await?;
            if faults.is_empty() {
                return Ok(());
            }
            if is_final || started.elapsed() > PATIENCE {
                return Err(faults.join("\n"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn effects(&self, expect: &Expectation, since: &Moment) -> Result<Vec<String>, String> {
        let after = self.metrics().await?;
        let mut faults =
            Change { before: &since.metrics, after: &after, untold: self.untold }.differences(expect);
        for (name, count) in &expect.calls {
            let got = self.seen(name, since)?.len() as u64;
            if !count.holds(got) {
                faults.push(format!("calls at {name}: expected {count}, got {got}"));
            }
        }
        for (name, wanted) in &expect.sent {
            let seen = self.seen(name, since)?;
            if seen.len() != wanted.len() {
                faults.push(format!("calls at {name}: expected {}, got {}", wanted.len(), seen.len()));
            }
            for (wanted, seen) in wanted.iter().zip(&seen) {
                faults.extend(check::request(wanted, seen, &self.words));
            }
        }
        Ok(faults)
    }

    fn upstream(&self, name: &str) -> Result<&Upstream, String> {
        self.upstreams.get(name).ok_or_else(|| format!("there is no upstream {name}"))
    }

    /// Requests at the upstream `name` since then.
    fn seen(&self, name: &str, since: &Moment) -> Result<Vec<Seen>, String> {
        let upstream = self.upstream(name)?;
        let before = since.seen.get(name).copied().unwrap_or(0);
        Ok(upstream.seen().into_iter().skip(before).collect())
    }

    async fn until(
        &self,
        counts: &BTreeMap<String, usize>,
        what: &str,
        count: impl Fn(&Upstream) -> usize,
    ) -> Result<(), String> {
        for (name, wanted) in counts {
            if name != ALL {
                self.upstream(name)?;
            }
            let count = || {
                let named = self.upstreams.iter().filter(|(have, _)| name == ALL || *have == name);
                named.map(|(_, upstream)| count(upstream)).sum::<usize>()
            };
            let started = std::time::Instant::now();
            while count() < *wanted {
                if started.elapsed() > PATIENCE {
                    return Err(format!("{what} at {name}: expected {wanted}, got {}", count()));
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    async fn moment(&self) -> Result<Moment, String> {
        let seen = self.upstreams.iter().map(|(name, upstream)| (name.clone(), upstream.seen().len()));
        Ok(Moment { metrics: self.metrics().await?, seen: seen.collect() })
    }

    async fn metrics(&self) -> Result<Exposition, String> {
        let address = self.gateway.address();
        let request = format!(
            "GET /metrics HTTP/1.1\r\nhost: {address}\r\nx-weir-admin-key: sk-admin\r\nconnection: close\r\n\r\n"
        );
        let request = [client::Piece::Bytes(request.into_bytes())];
        let reply = exchange(address, &request, false, Leaving::Never).await?;
        if reply.status == 200 {
            Ok(Exposition(reply.text()))
        } else {
            Err(format!("/metrics: {}", show(&reply)))
        }
    }

    /// All books are closed and no call is left at an upstream (invariant 5).
    async fn until_idle(&self) -> Result<(), String> {
        let started = std::time::Instant::now();
        loop {
            let metrics = self.metrics().await?;
            let open = [IN_FLIGHT, AT_UPSTREAMS].map(|name| metrics.sum(name, &[]));
            if open.iter().all(|count| count.abs() < 0.5) {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("never idle: {} requests, {} calls at upstreams", open[0], open[1]));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What was started is left, and nothing stays open.
    async fn clear(&mut self) -> Result<(), String> {
        if let Some(name) = self.started.keys().next() {
            return Err(format!("{name} was neither finished nor left"));
        }
        self.until_idle().await
    }

    fn last_words(&self) -> String {
        let log = self.gateway.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }
}

/// Whether the answer may come from the shell around the gateway, which dresses nothing.
fn is_of_shell(request: &Request) -> bool {
    matches!(request.body, Body::Raw(_)) || request.target == "/metrics"
}

fn not_started(name: &str) -> String {
    format!("{name} was not started")
}

fn describe(act: &Act) -> String {
    match act {
        Act::Send(request, _) => format!("{} {}", request.method, request.target),
        Act::Start { name, .. } => format!("start {name}"),
        Act::Finish(name) => format!("finish {name}"),
        Act::Leave(name) => format!("leave {name}"),
        Act::Wait(pause) => format!("wait {pause:?}"),
        Act::Open(gate) => format!("open {gate}"),
        Act::Seen(counts) => format!("seen {counts:?}"),
        Act::Gone(counts) => format!("gone {counts:?}"),
    }
}

fn show(reply: &Reply) -> String {
    let headers: Vec<String> =
        reply.headers.iter().map(|(name, value)| format!("  {name}: {value}")).collect();
    let body: String = reply.text().chars().take(2000).collect();
    format!("{} after {:?}\n{}\n\n{body}", reply.status, reply.took, headers.join("\n"))
}
