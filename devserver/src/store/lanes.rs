//! Connections for what is long, a few of them, each for one command at a time: nobody's reply comes behind it.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use weir::store::redis::{Cause, Command, Value};

use super::exchange::{cause, exchange, is_reply};
use super::fault::Fault;
use super::link::Line;
use super::traffic::Traffic;

/// Connections of one worker at most.
const MOST: usize = 2;

/// To come to one's turn and to have all of an answer, however steadily it comes.
const LONGEST: Duration = Duration::from_secs(10);

/// A connection that was not used for so long may be forgotten by a firewall.
const STALE: Duration = Duration::from_secs(15);

pub(super) struct Lanes {
    turns: Semaphore,
    /// Those that nobody uses, and since when.
    idle: Mutex<Vec<(Line, Instant)>>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { turns: Semaphore::new(MOST), idle: Mutex::default() }
    }
}

impl Lanes {
    /// Sends a command when its turn comes and waits for its reply for as long as something of it comes. A fault is the
    /// command's own.
    pub(super) async fn send(
        &self,
        command: &Command,
        dial: impl Future<Output = Option<Line>>,
        patience: Duration,
    ) -> Result<(Value, Line), Fault> {
        let deadline = Instant::now() + LONGEST;
        let Ok(Ok(_turn)) = timeout_at(deadline, self.turns.acquire()).await else {
            return Err(Fault::Timeout);
        };
        let mut line = match self.take() {
            Some(line) => line,
            None => dial.await.ok_or(Fault::Unconnected)?,
        };
        let traffic = line.traffic.clone();
        let guard = Unfinished(Some(line.clone()));
        let reply =
            unless_silent(exchange(&mut line.connection, command), &traffic, patience, deadline).await;
        match reply {
            Some(Ok(value)) => {
                self.give_back(guard.finish());
                Ok((value, line))
            }
            Some(Err(error)) if is_reply(&error) => {
                self.give_back(guard.finish());
                Err(if cause(&error) == Some(Cause::Forbidden) { Fault::Forbidden } else { Fault::Refused })
            }
            Some(Err(_)) => Err(Fault::Connection),
            None => Err(Fault::Timeout),
        }
    }

    fn take(&self) -> Option<Line> {
        let mut idle = self.idle();
        idle.retain(|(line, since)| {
            let is_fresh = since.elapsed() < STALE && !line.driver.is_finished();
            if !is_fresh {
                line.driver.abort();
            }
            is_fresh
        });
        idle.pop().map(|(line, _)| line)
    }

    fn give_back(&self, line: Option<Line>) {
        self.idle().extend(line.map(|line| (line, Instant::now())));
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Line, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection whose reply has not come: it ends with whoever waits.
struct Unfinished(Option<Line>);

impl Unfinished {
    fn finish(mut self) -> Option<Line> {
        self.0.take()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(line) = &self.0 {
            line.driver.abort();
        }
    }
}

/// `None` where nothing moves for as long as `patience`, or the deadline comes.
async fn unless_silent<T>(
    work: impl Future<Output = T>,
    traffic: &Traffic,
    patience: Duration,
    deadline: Instant,
) -> Option<T> {
    let mut work = pin!(work);
    loop {
        let before = traffic.moved();
        if let Ok(done) = timeout(patience, &mut work).await {
            return Some(done);
        }
        if traffic.moved() == before || Instant::now() >= deadline {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::sleep;

    use super::super::traffic::Counted;
    use super::*;

    /// Whether an answer of ten pieces, with such a pause before each, is waited for to its end.
    async fn is_awaited(pause: Duration) -> bool {
        let (stream, mut peer) = duplex(64);
        let traffic = Traffic::default();
        let mut counted = Counted { stream, traffic: traffic.clone() };
        let sending = async {
            for _ in 0..10 {
                sleep(pause).await;
                peer.write_all(b"piece").await.unwrap();
            }
            drop(peer);
        };
        let mut read = Vec::new();
        let patience = Duration::from_secs(1);
        let reading =
            unless_silent(counted.read_to_end(&mut read), &traffic, patience, Instant::now() + LONGEST);
        tokio::select! {
            read = reading => read.is_some(),
            () = async { sending.await; std::future::pending().await } => false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_slowly_is_awaited_and_one_that_has_stopped_is_not() {
        for (millis, is_all) in [(10, true), (600, true), (900, true), (2500, false), (60_000, false)] {
            assert_eq!(is_awaited(Duration::from_millis(millis)).await, is_all, "{millis} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_answer_is_waited_for_without_end() {
        let (traffic, begin) = (Traffic::default(), Instant::now());
        let (stream, mut peer) = duplex(64);
        let mut counted = Counted { stream, traffic: traffic.clone() };
        let endless = async {
            loop {
                sleep(Duration::from_millis(10)).await;
                peer.write_all(b"x").await.unwrap();
                counted.read_u8().await.unwrap();
            }
        };
        let deadline = begin + LONGEST;
        let waited: Option<()> = unless_silent(endless, &traffic, Duration::from_secs(1), deadline).await;
        assert!(waited.is_none() && begin.elapsed() < LONGEST * 2);
    }
}
