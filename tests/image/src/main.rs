//! `weir-image --manifest spin.toml --component weir_spin.wasm --tag 0.1.0 --out DIR`
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for a terminal")]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use weir_image::{Failed, Found, Layout};

/// Writes the Spin component as an OCI layout.
#[derive(Debug, Parser)]
struct Cli {
    /// Spin's manifest.
    #[arg(long)]
    manifest: PathBuf,
    /// The component that it means, built.
    #[arg(long)]
    component: PathBuf,
    /// What the image is called in the index.
    #[arg(long)]
    tag: String,
    /// A directory, which is replaced if it is a layout.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(failed) => {
            eprintln!("{failed}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<String, Failed> {
    let manifest = fs::read_to_string(&cli.manifest)?;
    let layout = Layout::of(&manifest, fs::read(&cli.component)?, &cli.tag)?;
    if cli.out.join("oci-layout").is_file() {
        fs::remove_dir_all(&cli.out)?;
    }
    layout.write(&cli.out)?;
    let expected = Found { tag: cli.tag.clone(), digest: layout.digest().to_owned() };
    let found = Found::read(&cli.out)?;
    if found != expected {
        return Err(Failed::Layout(format!("{expected:?} was written, and {found:?} is there")));
    }
    Ok(format!("{}: {} {}", cli.out.display(), cli.tag, layout.digest()))
}
