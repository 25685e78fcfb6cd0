//! The Spin component, built as it is shipped, and no larger than it may be: every node that starts one loads it.

use std::{fs, path::PathBuf};

use crate::{
    step::{Failure, Outcome, Tally},
    toolchain,
    workspace::Workspace,
};

const TARGET: &str = "wasm32-wasip2";

const PROFILE: &str = "component";

/// Bytes: 2.5 MiB.
const LARGEST: u64 = 5 << 19;

pub(crate) fn check(workspace: &Workspace) -> Outcome {
    toolchain::add_targets(workspace)?;
    let build = ["build", "--locked", "--package", "weir-spin", "--profile", PROFILE, "--target", TARGET];
    workspace.cargo().args(build).run()?;
    let path = artefact()?;
    let size = fs::metadata(&path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?
        .len();
    println!("{}: {}", path.display(), judge(size)?);
    Ok(Tally::PASSED)
}

/// Where it lies: beside the folder of this program's own profile.
pub(crate) fn artefact() -> Result<PathBuf, Failure> {
    let this = Workspace::built("xtask")?;
    let target = this.parent().and_then(|profile| profile.parent());
    let target = target.ok_or_else(|| Failure::new("xtask lies in no target directory"))?;
    Ok(target.join(TARGET).join(PROFILE).join("weir_spin.wasm"))
}

/// The size in words, unless it is too large.
fn judge(size: u64) -> Result<String, Failure> {
    let part = format!("{size} bytes, {} % of what it may have", size * 100 / LARGEST);
    if size <= LARGEST { Ok(part) } else { Err(Failure::new(format!("the component is too large: {part}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_may_have_so_many_bytes_and_not_one_more() {
        assert_eq!(judge(LARGEST).unwrap(), "2621440 bytes, 100 % of what it may have");
        assert!(judge(LARGEST + 1).unwrap_err().message.contains("too large: 2621441 bytes"));
    }
}
