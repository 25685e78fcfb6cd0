//! A program that a step runs: announced, streamed, and a failure when it fails.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use crate::step::Failure;

#[derive(Debug)]
pub(crate) struct Program {
    command: Command,
    shown: String,
}

impl Program {
    pub(crate) fn new(program: &Path, directory: &Path) -> Self {
        let mut command = Command::new(program);
        command.current_dir(directory).stdin(Stdio::null());
        forget_our_package(&mut command);
        let name = program.file_name().unwrap_or(program.as_os_str());
        Self { command, shown: format!("$ {}", name.to_string_lossy()) }
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        for arg in args {
            let _ = write!(self.shown, " {}", arg.as_ref().to_string_lossy());
            self.command.arg(arg);
        }
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn directory(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Runs it with its output on ours.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        println!("{}", self.shown);
        let status = self.command.status();
        self.judge(status.map(|status| (status, ())))
    }

    /// Runs it and hands each line of its standard output to `each`, after showing it.
    pub(crate) fn watch(mut self, mut each: impl FnMut(&str)) -> Result<(), Failure> {
        println!("{}", self.shown);
        let watched = self.command.stdout(Stdio::piped()).spawn().and_then(|mut child| {
            for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).split(b'\n')) {
                let line = line?;
                let line = String::from_utf8_lossy(&line);
                println!("{line}");
                each(&line);
            }
            Ok((child.wait()?, ()))
        });
        self.judge(watched)
    }

    /// Runs it silently and returns its standard output.
    pub(crate) fn read(mut self) -> Result<String, Failure> {
        let output = self.command.stderr(Stdio::inherit()).output();
        self.judge(output.map(|output| (output.status, output.stdout)))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether it can be started and succeeds.
    pub(crate) fn works(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    fn judge<T>(self, ended: std::io::Result<(ExitStatus, T)>) -> Result<T, Failure> {
        match ended {
            Ok((status, value)) if status.success() => Ok(value),
            Ok((status, _)) => Err(Failure::new(format!("`{}` ended with {status}", &self.shown[2..]))),
            Err(error) => Err(Failure::new(format!("`{}` did not run: {error}", &self.shown[2..]))),
        }
    }
}

/// `cargo run` tells us about our own package in the environment, and build scripts that watch those names
/// would run again under every child: each `cargo xtask` would rebuild what a plain `cargo` has built.
fn forget_our_package(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}
