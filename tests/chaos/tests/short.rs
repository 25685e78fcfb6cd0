//! The faults that are tried with every change.

#[tokio::test(flavor = "multi_thread")]
async fn parts_fail_and_all_is_well_again_within_half_a_minute() {
    let broken = weir_chaos::try_all(&weir_chaos::cell::short(), 2).await;
    assert!(broken.is_empty(), "{broken:#?}");
}
