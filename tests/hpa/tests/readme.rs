//! The table in `k8s/README.md` is what the command prints.

use std::process::Command;

const README: &str = include_str!("../../../k8s/README.md");

#[test]
fn the_readmes_table_is_what_the_command_prints() {
    let output = Command::new(env!("CARGO_BIN_EXE_weir-hpa")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let (_, rest) = README.split_once("<!-- flood table -->\n").expect("where the table begins");
    let (written, _) = rest.split_once("<!-- /flood table -->").expect("where the table ends");
    assert!(
        written.trim() == printed.trim(),
        "replace what is between the markers of k8s/README.md with what `cargo xtask hpa` prints:\n\n{printed}"
    );
}
