//! `weir-recorded DIR`: a line for each recording below DIR, and the sums. It fails when anything differs.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its report is what it is for")]

use std::path::PathBuf;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: weir-recorded DIR, a folder with recordings (NAME.chunks.txt, NAME.json)");
        return ExitCode::from(2);
    };
    match weir_recorded::run(&folder).await {
        Ok(report) => {
            println!("{report}");
            if report.differing() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(trouble) => {
            eprintln!("{trouble}");
            ExitCode::from(2)
        }
    }
}
