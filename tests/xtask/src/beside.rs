//! A task that runs beside others, in a process of its own. What it says stands between what they say, with its name
//! before each line.

use std::{
    cell::Cell,
    env,
    io::{self, BufRead, BufReader},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    rc::Rc,
    thread,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::step::{Failure, Outcome, Step, Tally};

/// Two steps: the first begins `task`, the second waits for its end and gives its outcome.
pub(crate) fn beside(task: &'static str) -> [Step; 2] {
    let running = Rc::new(Cell::new(None));
    let begun = Rc::clone(&running);
    let begin = move |_: &_| {
        let started = Running::start(task).map_err(|error| Failure::new(format!("{task}: {error}")))?;
        begun.set(Some(started));
        Ok(Tally::default())
    };
    let wait = move |_: &_| match running.take() {
        Some(running) => running.finish(),
        None => Err(Failure::new(format!("{task} was not begun"))),
    };
    [Step::new(task, begin), Step::new(task, wait)]
}

/// Dropped, it is ended with whatever it has started.
struct Running {
    task: &'static str,
    child: Child,
    said: Option<thread::JoinHandle<Option<Tally>>>,
}

impl Running {
    fn start(task: &'static str) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(env::current_exe()?);
        command.arg(task).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
        let child = command.spawn()?;
        let said = thread::spawn(move || show(task, reader));
        Ok(Self { task, child, said: Some(said) })
    }

    fn finish(mut self) -> Outcome {
        let status = self.child.wait();
        let tally = self.said.take().and_then(|said| said.join().ok()).flatten();
        let task = self.task;
        match (status, tally) {
            (Ok(status), Some(tally)) if status.success() => Ok(tally),
            (Ok(status), tally) => {
                Err(Failure::of_suite(format!("it ended with {status}"), tally.unwrap_or_default()))
            }
            (Err(error), _) => Err(Failure::new(format!("{task} was lost: {error}"))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // What cannot be ended has ended.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Shows each line, and gives what the last one counts.
fn show(task: &str, said: impl io::Read) -> Option<Tally> {
    let mut tally = None;
    for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        println!("{task}| {line}");
        tally = Tally::read(&line);
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        let said = "1 passed, 1 failed\nstep seconds\n7 passed, 0 failed\n";
        assert_eq!(show("edges", said.as_bytes()), Some(Tally { passed: 7, failed: 0 }));
        assert_eq!(show("edges", "7 passed, 0 failed\nkilled\n".as_bytes()), None);
    }
}
