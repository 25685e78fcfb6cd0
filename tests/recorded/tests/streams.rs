//! The streams of this folder through a running gateway, as recordings of providers go through it by
//! `cargo xtask recorded DIR`.

use std::path::Path;

use weir_recorded::{Trouble, Verdict};

#[tokio::test(flavor = "multi_thread")]
async fn every_stream_of_ours_comes_through_as_it_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("streams");
    let report = weir_recorded::run(&folder).await.expect("streams");
    assert_eq!(report.differing(), 0, "{report}");
    let not_spoken = report.verdicts.iter().filter(|(_, verdict)| matches!(verdict, Verdict::NotSpoken(_)));
    let names: Vec<_> = not_spoken.map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["anthropic-text.chunks.txt"]);
}

#[tokio::test]
async fn a_folder_without_recordings_is_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(matches!(weir_recorded::run(&folder.join("src")).await, Err(Trouble::Empty { .. })));
    let missing = weir_recorded::run(&folder.join("nowhere")).await.expect_err("no folder");
    assert!(missing.to_string().starts_with("cannot read "), "{missing}");
}
